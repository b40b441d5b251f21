//! Errors of the connection to the cluster and of the API server.
//!
//! **Invariant**: no variant holds a token, a key or the output of a credential plugin; causes
//! that could quote one are described, not carried.

mod detail;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh::names::Id;
use mesh::observed::Connection;
use thiserror::Error;

use crate::call::Call;
use crate::permission::missing_rule;

pub use detail::{FieldCause, FieldConflict, RootCause, SettingProblem};

/// Any cause, as `source`.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the cluster could not be used. All who wait for the same get the same.
#[derive(Clone, Debug, Error)]
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
    #[error("{} cannot be used: {reason}", kubeconfig(path, context.as_deref()))]
    Kubeconfig {
        /// Which file; several are joined as in `KUBECONFIG`.
        path: PathBuf,
        /// Its context that was chosen, if one was.
        context: Option<String>,
        /// The problem; never a part of the file.
        reason: String,
    },
    /// A kubeconfig is not there; it may still come, from another resource of the same apply.
    #[error("kubeconfig {} does not exist", path.display())]
    NoKubeconfig {
        /// Which file.
        path: PathBuf,
    },
    /// The credentials cannot be used, and no kubeconfig holds them.
    #[error("the credentials of {origin} cannot be used: {reason}")]
    Credentials {
        /// What they come from.
        origin: String,
        /// The problem; never a part of a credential.
        reason: String,
    },
    /// A variable of the environment cannot be used.
    #[error("{name} of the environment {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// The problem; never a part of the value.
        reason: String,
    },
    /// The program of a plugin does not exist.
    #[error("the exec plugin {command} of {origin} is not installed: no such program was found")]
    NoPlugin {
        /// The program.
        command: String,
        /// What names it.
        origin: String,
        /// How to install it, as the kubeconfig says.
        install_hint: Option<String>,
    },
    /// A plugin gives no credentials.
    #[error("the exec plugin {command} of {origin} {reason}")]
    Plugin {
        /// The program.
        command: String,
        /// What names it.
        origin: String,
        /// How it failed; never a part of what it printed on stdout.
        reason: String,
        /// The lines that it printed on stderr.
        printed: Vec<String>,
    },
    /// No answer: name, route, TLS, proxy or time.
    #[error("cannot {call}: {server} does not answer")]
    Unreachable {
        /// URL of the API server, and where it is configured.
        server: String,
        /// The request.
        call: Call,
        /// What the connection says.
        source: Cause,
    },
    /// 401: the server does not know the caller.
    #[error("cannot {call}: {server} does not accept {credentials}")]
    Unauthorized {
        /// URL of the API server.
        server: String,
        /// The credentials, by where they are configured.
        credentials: String,
        /// The request.
        call: Call,
    },
    /// 401, or 403 to `system:anonymous`: the server saw no credentials.
    #[error("cannot {call}: {server} answers {status} to a request without credentials: {reason}")]
    Anonymous {
        /// The request.
        call: Call,
        /// URL of the API server.
        server: String,
        /// HTTP status.
        status: u16,
        /// Why there were none, by where they are configured.
        reason: String,
    },
    /// 403: known, but not allowed.
    #[error("not allowed to {call}: {message}")]
    Forbidden {
        /// The request.
        call: Call,
        /// The server's message.
        message: String,
    },
    /// 403 because of what the namespace's quotas allow.
    #[error("cannot {call}: {message}")]
    Quota {
        /// The request.
        call: Call,
        /// The server's message, which names the quota.
        message: String,
    },
    /// 403 because the namespace is being deleted.
    #[error("cannot {call}: the namespace {} is being deleted", call.namespace)]
    NamespaceTerminating {
        /// The request.
        call: Call,
    },
    /// 403 of something that is no API server.
    #[error("cannot {call}: HTTP 403, and no answer of an API server: {message}")]
    Blocked {
        /// The request.
        call: Call,
        /// What the answer says.
        message: String,
    },
    /// 404 for this very object.
    #[error("cannot {call}: {message}")]
    NotFound {
        /// The request.
        call: Call,
        /// The server's message, or what is missing in the object.
        message: String,
    },
    /// istiod has not written the mesh's root certificate into the namespace.
    #[error("cannot {call}: it does not exist")]
    RootMissing {
        /// The request.
        call: Call,
        /// Why.
        cause: RootCause,
    },
    /// The API server does not know the kind.
    #[error("cannot {call}: the API server does not serve {kind} in {version}")]
    MissingCrd {
        /// The request.
        call: Call,
        /// Kind of the object.
        kind: &'static str,
        /// `networking.istio.io/v1`.
        version: String,
    },
    /// 409 of a server-side apply: others own the fields.
    #[error("cannot {call}: {}", joined(.fields))]
    Conflict {
        /// The request.
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
        /// The request.
        call: Call,
        /// The import ID.
        import_id: String,
    },
    /// An entry no longer carries the mark of the run that withdrew its traffic.
    #[error("cannot {call}: another run has taken it over in the meantime")]
    Taken {
        /// The request.
        call: Call,
    },
    /// The object is there, but its deletion has begun.
    #[error("cannot {call}: it is being deleted{}", held_by(.finalizers))]
    Terminating {
        /// The request.
        call: Call,
        /// The finalizers that keep it.
        finalizers: Vec<String>,
    },
    /// 400 or 422: the server's schema refuses the object.
    #[error("cannot {call}: {message}")]
    Invalid {
        /// The request.
        call: Call,
        /// The server's message.
        message: String,
        /// Field by field, as far as the server reports.
        causes: Vec<FieldCause>,
    },
    /// A webhook, a policy or another rule of admission refuses the object.
    #[error("cannot {call}: {message}")]
    Denied {
        /// The request.
        call: Call,
        /// The webhook's message.
        message: String,
    },
    /// 429 for longer than a request may take.
    #[error("cannot {call}: the API server is overloaded and requests a wait of {} s", wait.as_secs())]
    Busy {
        /// The request.
        call: Call,
        /// `Retry-After` of the last answer.
        wait: Duration,
    },
    /// 5xx and every other error status.
    #[error("cannot {call}: the API server answers {status}: {message}")]
    Server {
        /// The request.
        call: Call,
        /// HTTP status.
        status: u16,
        /// The server's message.
        message: String,
    },
    /// A response, or an object of Istio's, that cannot be parsed.
    #[error("cannot {call}: {reason}")]
    Answer {
        /// The request.
        call: Call,
        /// The problem.
        reason: String,
    },
    /// A response that exceeds every limit of a legitimate one.
    #[error("cannot {call}: the answer (HTTP {status}) {what}")]
    Excess {
        /// The request.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// The part that is too large, and the limit.
        what: String,
    },
    /// istiod did not report the application as healthy in time.
    #[error("the application of {id} does not answer its health check ({why})")]
    NotHealthy {
        /// The workload.
        id: Id,
        /// The last message of the proxy's probe.
        why: String,
    },
    /// istiod did not report the proxy in time.
    #[error("istiod did not report the proxy of {id} as connected in time")]
    NotConnected {
        /// The workload.
        id: Id,
        /// The last connection that istiod reported.
        last: Box<Connection>,
    },
}

/// Returns how errors call a kubeconfig, with its context.
pub(crate) fn kubeconfig(path: &Path, context: Option<&str>) -> String {
    let context = context.map(|name| format!(" (context {name})"));
    format!(
        "kubeconfig {}{}",
        path.display(),
        context.unwrap_or_default()
    )
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
        match self {
            Self::Forbidden { call, message } => Some(missing_rule(call, message)),
            _ => None,
        }
    }

    /// Whether the caller lacks a permission.
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::Anonymous { status: 403, .. }
        )
    }

    /// Whether the server says of this very object that it does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
