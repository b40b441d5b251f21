//! What is chosen of a kubeconfig.

use kube::config::{AuthInfo, Cluster};

use crate::origin::Origin;

/// One cluster and one user.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) origin: Origin,
    pub(crate) cluster: Cluster,
    /// The block's where it has a credential of its own.
    pub(crate) user_origin: Origin,
    pub(crate) user: AuthInfo,
    /// Why there is no user, as an end of a sentence about the origin; `None`: there is one.
    pub(crate) nobody: Option<String>,
}
