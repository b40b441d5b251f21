//! Changes an object only as it was read: what somebody wrote in between is never overwritten.

use mesh::desired::{Kind, Manifest};
use mesh::names::Id;
use serde_json::Value;

use crate::apply::{Force, call};
use crate::call::Verb;
use crate::connect::Cluster;
use crate::error::ClusterError;

/// How often an edit starts over because of concurrent writes.
const ATTEMPTS: usize = 20;

/// An edited object.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    /// As it was read.
    pub before: Value,
    /// As it was written.
    pub after: Value,
}

impl Cluster {
    /// Reads an entry that may have changed a moment ago.
    pub async fn entry(&self, id: &Id) -> Result<Option<Value>, ClusterError> {
        self.find(Kind::WorkloadEntry, id).await
    }

    /// Reads an object that may have changed a moment ago.
    pub async fn find(&self, kind: Kind, id: &Id) -> Result<Option<Value>, ClusterError> {
        self.get(&call(Verb::Get, kind, id)).await
    }

    /// Reads an entry, and applies what `edit` makes of it if it is still the same. If somebody wrote it in between, it
    /// starts over. Returns `None` if the entry is absent, or if `edit` leaves it as it is.
    pub async fn edit_entry(
        &self,
        id: &Id,
        force: Force,
        edit: impl Fn(&Value) -> Option<Manifest> + Send + Sync,
    ) -> Result<Option<Edited>, ClusterError> {
        let patch = call(Verb::Patch, Kind::WorkloadEntry, id);
        let mut attempts = 0;
        loop {
            let Some(before) = self.entry(id).await? else {
                return Ok(None);
            };
            let Some(mut manifest) = edit(&before) else {
                return Ok(None);
            };
            for key in ["uid", "resourceVersion"] {
                manifest.body["metadata"][key] = before["metadata"][key].clone();
            }
            attempts += 1;
            match self.write(&patch, &manifest, force).await {
                Err(ClusterError::Server { status: 409, .. }) if attempts < ATTEMPTS => {}
                // What somebody has set since the read is reported as a conflict of fields before anything else.
                Err(ClusterError::Conflict { .. })
                    if attempts < ATTEMPTS && self.has_changed(id, &before).await? => {}
                written => return written.map(|after| Some(Edited { before, after })),
            }
        }
    }

    async fn has_changed(&self, id: &Id, before: &Value) -> Result<bool, ClusterError> {
        let version = |entry: &Value| entry["metadata"]["resourceVersion"].clone();
        let now = self.entry(id).await?;
        Ok(now.is_none_or(|now| version(&now) != version(before)))
    }
}
