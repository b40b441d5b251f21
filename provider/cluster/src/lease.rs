//! The Lease of a fleet: how it rolls, and the lock under which a turn is decided.

use mesh::desired::{Kind, Manifest};
use mesh::names::Id;
use serde_json::Value;

use crate::apply::call;
use crate::call::Verb;
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;

/// Field manager of the lock. It does not own the fields of a server-side apply.
const LOCKER: &str = "terraform-provider-mesh-lock";

impl Cluster {
    /// Reads a Lease as it is now.
    pub async fn lease(&self, id: &Id) -> Result<Option<Value>, ClusterError> {
        self.get(&call(Verb::Get, Kind::Lease, id)).await
    }

    /// Reads a Lease; `None` also where that is not allowed: a fleet without a rollout needs no Lease.
    pub async fn lease_if_allowed(&self, id: &Id) -> Result<Option<Value>, ClusterError> {
        match self.lease(id).await {
            Err(ClusterError::Forbidden { .. }) => Ok(None),
            read => read,
        }
    }

    /// Creates a Lease. Returns `None` if somebody was faster.
    pub async fn create_lease(&self, lease: &Manifest) -> Result<Option<Value>, ClusterError> {
        match self.create(lease).await {
            Err(ClusterError::Taken { .. }) => Ok(None),
            created => created.map(Some),
        }
    }

    /// Writes the spec of a Lease as it was `seen`. Returns `None` if somebody wrote or deleted it in between.
    pub async fn edit_lease(
        &self,
        id: &Id,
        seen: &Value,
        spec: &Value,
    ) -> Result<Option<Value>, ClusterError> {
        let call = call(Verb::Patch, Kind::Lease, id);
        let metadata = &seen["metadata"];
        let patch = serde_json::json!({
            "metadata": { "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"] },
            "spec": spec,
        });
        let query = format!("fieldManager={LOCKER}");
        let request = call.request_with(&query, "application/merge-patch+json", &patch);
        let request = request.map_err(|error| unsendable(&call, &error))?;
        match self.send(&call, request).await {
            Err(ClusterError::Server { status: 409, .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            written => written.map(Some),
        }
    }
}
