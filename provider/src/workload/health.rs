//! The health check of a workload: traffic follows what the proxy's probes find.

use std::time::Duration;

use cluster::{Cluster, ClusterError};
use mesh::observed::{conditions, without_health};
use mesh::{HealthCheck, Id};
use serde_json::Value;
use tfplugin::{Diagnostic, Diagnostics, Done};
use tokio::time::Instant;

use super::prepare::Prepared;
use crate::diagnose;

/// How long an application may take to answer after its first probe. One that is installed later
/// must not hold the apply up for long.
const ANSWERED: Duration = Duration::from_secs(30);

/// Waits until istiod has been told that the application answers. One that does not is told as a
/// warning: the VM is a member all the same.
pub(super) async fn answered(
    prepared: &Prepared<'_>,
    check: &HealthCheck,
    deadline: Instant,
) -> Done {
    let delay = Duration::from_secs(check.initial_delay.unwrap_or_default().into());
    let until = deadline.min(Instant::now() + delay + ANSWERED);
    match prepared.cluster.healthy(&prepared.workload.id, until).await {
        Ok(_) => Ok(Diagnostics::none()),
        Err(error @ ClusterError::NotHealthy { .. }) => {
            let told = diagnose::cluster(&error);
            Ok(Diagnostic::warning(told.summary, told.detail).into())
        }
        Err(error) => Err(diagnose::cluster(&error).into()),
    }
}

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
    said.map_err(|error| diagnose::cluster(&error))
}
