//! What can go wrong on the way to the cluster and in it.
//!
//! **Invariant**: no variant holds a token, a key or the output of a credential plugin; causes
//! that could quote one are described, not carried.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mesh::names::Id;
use mesh::observed::Connection;
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
        mesh::mark::MANAGER
    )]
    Exists {
        /// What was asked.
        call: Call,
        /// What `terraform import` takes.
        import_id: String,
    },
    /// The object is there, but its deletion has begun.
    #[error("cannot {call}: it is being deleted{}", held_by(.finalizers))]
    Terminating {
        /// What was asked.
        call: Call,
        /// What the API server keeps it for.
        finalizers: Vec<String>,
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
    /// An answer of which more would have to be kept than any answer takes.
    #[error("cannot {call}: the answer (HTTP {status}) {what}")]
    Excess {
        /// What was asked.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// What is too much, and which limit it is beyond.
        what: String,
    },
    /// istiod did not report that the application answers in time.
    #[error("the application of {id} does not answer its health check ({why})")]
    NotHealthy {
        /// The workload.
        id: Id,
        /// What the proxy's probe said last.
        why: String,
    },
    /// istiod did not report the proxy in time.
    #[error("istiod did not report the proxy of {id} as connected in time")]
    NotConnected {
        /// The workload.
        id: Id,
        /// What istiod says of it.
        last: Box<Connection>,
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

fn held_by(finalizers: &[String]) -> String {
    if finalizers.is_empty() {
        return String::new();
    }
    format!(" and held by its finalizers {}", finalizers.join(", "))
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
