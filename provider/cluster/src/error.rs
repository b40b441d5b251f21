//! What can go wrong on the way to the cluster and in it.
//!
//! **Invariant**: no variant holds a token, a key or the output of a credential plugin; causes
//! that could quote one are described, not carried.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;
use mesh::{Connection, Id};
use thiserror::Error;

use crate::call::Call;

/// Any cause, as `source`.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the cluster could not be used.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// Nothing says where the cluster is.
    #[error(
        "no cluster is configured: set kubernetes.config_path or kubernetes.host in the provider block, \
         or KUBE_CONFIG_PATH, KUBE_CONFIG_PATHS or KUBECONFIG in the environment"
    )]
    NoConfiguration,
    /// Attributes of the provider's `kubernetes` block do not fit; all of them at once.
    #[error("the kubernetes block of the provider cannot be used: {}", joined(.0))]
    Settings(Vec<SettingProblem>),
    /// A kubeconfig cannot be read or names what it does not hold.
    #[error("kubeconfig {} cannot be used: {reason}", path.display())]
    Kubeconfig {
        /// Which file; several are joined as in `KUBECONFIG`.
        path: PathBuf,
        /// What is wrong; never a part of the file.
        reason: String,
    },
    /// A kubeconfig is not there; it may still come, from another resource of the same apply.
    #[error("kubeconfig {} does not exist", path.display())]
    NoKubeconfig {
        /// Which file.
        path: PathBuf,
    },
    /// The credentials cannot be had: plugin, token file, client certificate.
    #[error("the credentials for the cluster cannot be used: {reason}")]
    Credentials {
        /// What is wrong; never a part of a credential.
        reason: String,
    },
    /// No answer: name, route, TLS, proxy or time.
    #[error("cannot {call}: {server} does not answer")]
    Unreachable {
        /// URL of the API server.
        server: String,
        /// What was asked.
        call: Call,
        /// What the connection says.
        source: Cause,
    },
    /// 401: the server does not know who asks.
    #[error("cannot {call}: {server} does not accept the credentials")]
    Unauthorized {
        /// URL of the API server.
        server: String,
        /// What was asked.
        call: Call,
    },
    /// 403: known, but not allowed. `rule` of the call is what is missing.
    #[error("not allowed to {call}: {message}")]
    Forbidden {
        /// What was asked.
        call: Call,
        /// The server's own words.
        message: String,
    },
    /// 404 for this very object.
    #[error("cannot {call}: {message}")]
    NotFound {
        /// What was asked.
        call: Call,
        /// The server's own words, or what is missing in the object.
        message: String,
    },
    /// The API server does not know the kind.
    #[error("cannot {call}: the API server does not serve {kind} in {version}")]
    MissingCrd {
        /// What was asked.
        call: Call,
        /// Kind of the object.
        kind: &'static str,
        /// `networking.istio.io/v1`.
        version: String,
    },
    /// 409 of a server-side apply: others own the fields.
    #[error("cannot {call}: {}", joined(.fields))]
    Conflict {
        /// What was asked.
        call: Call,
        /// Each field with its owner.
        fields: Vec<FieldConflict>,
    },
    /// The object exists and is not ours.
    #[error(
        "cannot {call}: it exists and is not managed by {}",
        mesh::objects::MANAGER
    )]
    Exists {
        /// What was asked.
        call: Call,
        /// What `terraform import` takes.
        import_id: String,
    },
    /// 400 or 422: the server's schema refuses the object.
    #[error("cannot {call}: {message}")]
    Invalid {
        /// What was asked.
        call: Call,
        /// The server's own words.
        message: String,
        /// Field by field, as far as the server tells.
        causes: Vec<FieldCause>,
    },
    /// A webhook or a policy refuses the object.
    #[error("cannot {call}: {message}")]
    Denied {
        /// What was asked.
        call: Call,
        /// The webhook's own words.
        message: String,
    },
    /// 429 for longer than a request may take.
    #[error("cannot {call}: the API server is overloaded and asks to wait {} s", wait.as_secs())]
    Busy {
        /// What was asked.
        call: Call,
        /// `Retry-After` of the last answer.
        wait: Duration,
    },
    /// 5xx and every other refusal.
    #[error("cannot {call}: the API server answers {status}: {message}")]
    Server {
        /// What was asked.
        call: Call,
        /// HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// An answer, or an object of Istio's, that cannot be understood.
    #[error("cannot {call}: {reason}")]
    Answer {
        /// What was asked.
        call: Call,
        /// What is wrong with it.
        reason: String,
    },
    /// istiod did not report the proxy in time.
    #[error("istiod did not report the proxy of {id} as connected in time")]
    NotConnected {
        /// The workload.
        id: Id,
        /// What istiod says of it.
        last: Connection,
    },
}

/// An attribute of the provider's `kubernetes` block that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Its name, e.g. `cluster_ca_certificate`.
    pub attribute: &'static str,
    /// What is wrong and what to write instead; never a secret's value.
    pub text: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubernetes.{} {}", self.attribute, self.text)
    }
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// Name of the owner, e.g. `kubectl-edit`.
    pub owner: String,
    /// The field, e.g. `.spec.weight`.
    pub field: String,
}

impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is owned by {}", self.field, self.owner)
    }
}

/// A field that the server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCause {
    /// The field, e.g. `spec.ports[0].number`; may be empty.
    pub field: String,
    /// Why.
    pub message: String,
}

fn joined<T: fmt::Display>(parts: &[T]) -> String {
    parts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl ClusterError {
    /// Returns the RBAC rule that is missing, as YAML; `None` for every other error.
    pub fn missing_rule(&self) -> Option<String> {
        let Self::Forbidden { call, .. } = self else {
            return None;
        };
        let verbs = match call.verb {
            crate::Verb::Patch => "patch, create".to_owned(),
            verb => verb.to_string(),
        };
        Some(format!(
            "- apiGroups: [\"{}\"]\n  resources: [{}]\n  verbs: [{verbs}]",
            call.resource.group, call.resource.plural
        ))
    }

    /// Whether the server says of this very object that it does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Returns what a refusal of the API server means.
pub(crate) fn refused(server: &str, call: Call, code: u16, status: Status) -> ClusterError {
    let message = if status.message.is_empty() {
        status.reason.clone()
    } else {
        status.message.clone()
    };
    if is_denial(&message) {
        return ClusterError::Denied { call, message };
    }
    match code {
        401 => ClusterError::Unauthorized {
            server: server.into(),
            call,
        },
        403 => ClusterError::Forbidden { call, message },
        404 if names_an_object(&status) => ClusterError::NotFound { call, message },
        404 => {
            let (kind, version) = (call.resource.kind, call.resource.api_version());
            ClusterError::MissingCrd {
                call,
                kind,
                version,
            }
        }
        409 if !field_conflicts(&status).is_empty() => ClusterError::Conflict {
            fields: field_conflicts(&status),
            call,
        },
        _ if matches!(code, 400 | 422) || is_unknown_field(&message) => ClusterError::Invalid {
            causes: field_causes(status),
            call,
            message,
        },
        _ => ClusterError::Server {
            call,
            status: code,
            message,
        },
    }
}

/// Admission has no reason of its own in a Status: only these words tell it from RBAC and schema.
fn is_denial(message: &str) -> bool {
    message.starts_with("admission webhook ") || message.contains("denied request:")
}

/// Server-side apply answers 500 to a field that the schema does not have.
fn is_unknown_field(message: &str) -> bool {
    message.starts_with("failed to create typed patch object")
}

/// A 404 for a path that is not served comes without details.
fn names_an_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty())
}

fn field_conflicts(status: &Status) -> Vec<FieldConflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| FieldConflict {
            owner: owner(&cause.message),
            field: cause.field.clone(),
        })
        .collect()
}

/// Reads the manager out of `conflict with "NAME" using networking.istio.io/v1`; it stands
/// nowhere else.
fn owner(message: &str) -> String {
    message.split('"').nth(1).unwrap_or(message).to_owned()
}

fn field_causes(status: Status) -> Vec<FieldCause> {
    let causes = status
        .details
        .map(|details| details.causes)
        .unwrap_or_default();
    causes
        .into_iter()
        .map(|cause| FieldCause {
            field: cause.field,
            message: cause.message,
        })
        .collect()
}

/// Returns what a request without an answer means.
pub(crate) fn unanswered(server: &str, call: Call, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Service(source) => match source.downcast::<AuthError>() {
            Ok(auth) => credentials(&auth),
            Err(source) => ClusterError::Unreachable {
                server: server.into(),
                call,
                source,
            },
        },
        kube::Error::Auth(auth) => credentials(&auth),
        other => ClusterError::Unreachable {
            server: server.into(),
            call,
            source: other.into(),
        },
    }
}

/// Returns what is wrong with the credentials, without what a plugin printed on stdout or was
/// given in its environment: both may hold a token.
pub(crate) fn credentials(error: &AuthError) -> ClusterError {
    let reason = match error {
        AuthError::AuthExecRun { out, .. } => {
            format!(
                "the exec plugin ended with {}: {}",
                out.status,
                last_line(&out.stderr)
            )
        }
        AuthError::AuthExecParse(_) => "the exec plugin did not print an ExecCredential".into(),
        AuthError::InvalidBearerToken(_) => {
            "the token holds characters that a header cannot carry".into()
        }
        AuthError::InvalidBasicAuth(_) => {
            "username or password hold characters that a header cannot carry".into()
        }
        other => other.to_string(),
    };
    ClusterError::Credentials { reason }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message")
        .chars()
        .take(300)
        .collect()
}

#[cfg(test)]
mod tests {
    use mesh::Kind;
    use serde_json::json;

    use super::*;
    use crate::call::{Resource, Verb};

    /// istiod's webhook answers 400 without a reason, Gatekeeper 403: only the words tell.
    #[test]
    fn a_webhook_that_denies_is_neither_schema_nor_rbac() {
        let message = "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: \
                       domain name \"a..b\" invalid";
        for code in [400, 403] {
            let status =
                serde_json::from_value(json!({ "message": message, "code": code })).unwrap();
            let call = Call::new(Verb::Patch, Resource::of(Kind::ServiceEntry), "ns", "a");
            let error = refused("https://x", call, code, status);
            assert_eq!(
                error.to_string(),
                format!("cannot apply ServiceEntry ns/a: {message}")
            );
            assert!(matches!(error, ClusterError::Denied { .. }), "{error:?}");
        }
    }
}
