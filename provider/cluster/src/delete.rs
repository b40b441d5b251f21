//! Deletes the mesh objects, as far as they are ours.

use mesh::desired::Kind;
use mesh::mark::{Mark, is_ours};
use mesh::names::Id;
use mesh::withdrawal::Withdrawal;
use serde_json::json;
use tokio::time::Instant;

use crate::apply::{ATTEMPTS, call, foreign, uid};
use crate::call::{Call, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub id: Id,
    /// The mark of its owner: an object with another mark stays.
    pub mark: Mark,
    /// Its uid, where this very object is known to be ours: it needs no label (an imported one), and no other is
    /// deleted.
    pub uid: Option<String>,
    /// The mark that the run has set on an entry: one that no longer carries it belongs to another run by now.
    pub run: Option<Withdrawal>,
}

impl Cluster {
    /// Deletes objects in their order and waits until they are gone. One that is absent is fine; one
    /// that does not have the known uid or, without one, does not carry our label is an error and stays.
    ///
    /// # Errors
    /// Also an object that is still there at the deadline, since finalizers hold it.
    pub async fn delete(
        &self,
        deletions: &[Deletion],
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let mut pending = Vec::new();
        for deletion in deletions {
            pending.extend(self.delete_one(deletion).await?);
        }
        for (call, uid) in &pending {
            self.gone(call, uid, deadline).await?;
        }
        // A list that was read meanwhile has them as terminating: a create that follows must not use it.
        for deletion in deletions.iter().filter(|_| !pending.is_empty()) {
            self.forget_list(deletion.kind, &deletion.id.namespace);
        }
        Ok(())
    }

    /// Returns the deletion and the object's uid if the object is not gone at once.
    async fn delete_one(
        &self,
        deletion: &Deletion,
    ) -> Result<Option<(Call, String)>, ClusterError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.delete_seen(deletion).await {
                // Somebody, such as istiod, wrote in between: check the object as it is now.
                Err(ClusterError::Server { status: 409, .. }) if attempts < ATTEMPTS => {}
                done => return done,
            }
        }
    }

    async fn delete_seen(
        &self,
        deletion: &Deletion,
    ) -> Result<Option<(Call, String)>, ClusterError> {
        let Deletion { kind, id, run, .. } = deletion;
        let kind = *kind;
        let Some(object) = self.get(&call(Verb::Get, kind, id)).await? else {
            return Ok(None);
        };
        let call = call(Verb::Delete, kind, id);
        let uid = uid(&object);
        let of_another = Mark::of(&object).is_some_and(|of| of != deletion.mark);
        let is_it = match deletion.uid.as_deref() {
            Some(known) => uid == Some(known),
            None => is_ours(&object),
        };
        if of_another || !is_it {
            return Err(foreign(call, id));
        }
        // Only this very object: one that was created in the meantime stays.
        let mut only = json!({ "uid": uid });
        if let Some(run) = run {
            if !run.is_on(&object) {
                return Err(ClusterError::Taken { call });
            }
            only["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        }
        let body = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": only });
        let request = call
            .request_with("", "application/json", &body)
            .map_err(|error| unsendable(&call, &error))?;
        let done = self.send(&call, request).await;
        self.forget_list(kind, &id.namespace);
        match done {
            // The answer is a Status where the object is gone, and the object itself where it is not.
            Ok(answer) => Ok(crate::apply::uid(&answer).map(|uid| (call, uid.to_owned()))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
