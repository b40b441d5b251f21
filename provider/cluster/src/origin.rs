//! Where what a connection needs comes from. Errors name it.

use std::fmt;
use std::path::PathBuf;

use crate::error::{ClusterError, kubeconfig};

/// What a cluster or its user is configured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The provider's `kubernetes` block alone.
    Block,
    /// The service account of the pod that we run in.
    Pod,
    File {
        path: PathBuf,
        /// `None`: no context was chosen yet.
        context: Option<String>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("the provider's kubernetes block"),
            Self::Pod => f.write_str("the pod's service account"),
            Self::File { path, context } => f.write_str(&kubeconfig(path, context.as_deref())),
        }
    }
}

impl Origin {
    /// Returns the error for a part of it that cannot be used.
    pub(crate) fn refused(&self, reason: impl Into<String>) -> ClusterError {
        let reason = reason.into();
        match self {
            Self::File { path, context } => ClusterError::Kubeconfig {
                path: path.clone(),
                context: context.clone(),
                reason,
            },
            Self::Block | Self::Pod => ClusterError::Credentials {
                origin: self.to_string(),
                reason,
            },
        }
    }
}
