//! The token for a VM's first certificate.

use std::time::Duration;

use cluster::{Cluster, ClusterError, Token};
use mesh::names::SpiffeId;
use tokio::time::Instant;

use crate::traffic::insist;

/// Creates a token, and repeats that until the deadline for each fault of the API server that passes.
pub(crate) async fn mint(
    cluster: &Cluster,
    identity: &SpiffeId,
    ttl: Duration,
    deadline: Instant,
) -> Result<Token, ClusterError> {
    insist(deadline, || cluster.mint(identity, ttl)).await
}
