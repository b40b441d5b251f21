//! The health check of a workload: traffic follows what the proxy's probes find.

use cluster::Cluster;
use mesh::names::Id;
use mesh::observed::{conditions, without_health};
use plugin::Diagnostic;
use serde_json::Value;

use crate::messages;

/// Lets istiod forget that the application of an observed entry answered: it gives the VM traffic
/// again only when the proxy, started anew, has asked it again.
pub(super) async fn forget(cluster: &Cluster, id: &Id, entry: &Value) -> Result<(), Diagnostic> {
    match without_health(entry) {
        Some(others) => say(cluster, id, &others).await,
        None => Ok(()),
    }
}

/// Takes back that it was forgotten: a proxy that was not started anew does not tell it again.
pub(super) async fn recall(cluster: &Cluster, id: &Id, entry: &Value) -> Result<(), Diagnostic> {
    if without_health(entry).is_none() {
        return Ok(());
    }
    say(cluster, id, conditions(entry)).await
}

async fn say(cluster: &Cluster, id: &Id, conditions: &[Value]) -> Result<(), Diagnostic> {
    let said = cluster.set_conditions(id, conditions).await;
    said.map_err(|error| messages::cluster(&error))
}
