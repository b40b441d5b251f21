//! One face of the mesh objects of a workload or a fleet: write, withdraw, admit, prune, delete.

use std::collections::BTreeSet;

use cluster::{Applied, Cluster, ClusterError, Deletion, Force};
use mesh::desired::{Kind, Manifest};
use mesh::drift::Finding;
use mesh::mark::Mark;
use mesh::names::{Id, Namespace};
use mesh::observed::ObservedObjects;
use mesh::rivals::{Claims, Rival};
use plugin::{Diagnostic, Diagnostics};
use serde_json::Value;
use tokio::time::Instant;

use crate::imported::{self, Imported};
use crate::messages::{self, Code, Message};
use crate::traffic::insist;

/// The objects of one workload or fleet.
pub(crate) struct Objects<'a> {
    cluster: &'a Cluster,
    mark: Mark,
    /// Until when a deletion waits for an object that finalizers hold.
    deadline: Instant,
    /// How conflicts with other owners of a field are handled.
    force: Force,
    /// Objects of an import that no apply has taken over yet.
    imported: Vec<Imported>,
    /// Drift that the plan showed. A write takes these fields back from other owners, because whoever applied the plan
    /// has agreed.
    pub(crate) agreed: Vec<Finding>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new(cluster: &'a Cluster, mark: Mark, force: Force, deadline: Instant) -> Self {
        Self {
            cluster,
            mark,
            deadline,
            force,
            imported: vec![],
            agreed: vec![],
        }
    }

    /// Sets until when a deletion waits: the time of a wait for others does not count.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Adopts imported objects: from now on, a write takes over the fields that the import declared.
    pub(crate) fn adopt(&mut self, imported: Vec<Imported>) {
        self.imported = imported;
    }

    fn imported(&self, kind: Kind, id: &Id) -> Option<&Imported> {
        let mut all = self.imported.iter();
        all.find(|of| (of.kind, &of.id) == (kind, id))
    }

    /// Creates an object that nobody may have created since it was looked for, and returns its uid.
    pub(crate) async fn create(&self, object: &Manifest) -> Result<Option<String>, Diagnostic> {
        let created = self.cluster.create(object).await;
        let created = created.map_err(|error| messages::cluster(&error))?;
        Ok(created["metadata"]["uid"].as_str().map(str::to_owned))
    }

    /// Writes objects in their order, and stops at the first error.
    pub(crate) async fn write(&self, objects: &[Manifest]) -> Result<Vec<Applied>, Diagnostic> {
        let mut applied = Vec::with_capacity(objects.len());
        for object in objects {
            let written = self.write_one(object).await;
            applied.extend(written.map_err(|error| messages::cluster(&error))?);
        }
        Ok(applied)
    }

    /// Admits traffic: writes the entry in its final form. The VM is a good member by now, so a fault that passes is
    /// waited out.
    pub(crate) async fn admit(&self, entry: &Manifest) -> Result<(), Diagnostic> {
        let written = insist(self.deadline, || self.write_one(entry)).await;
        written.map(drop).map_err(|error| messages::cluster(&error))
    }

    /// Writes an object, and forces conflicts if the plan showed all of them.
    async fn write_one(&self, object: &Manifest) -> Result<Vec<Applied>, ClusterError> {
        if let Some(imported) = self.imported(object.kind, &object.id) {
            let adopted = self.cluster.adopt(object, imported.declared.as_ref()).await;
            return adopted.map(|applied| vec![applied]);
        }
        let only = std::slice::from_ref(object);
        match self.cluster.apply(only, self.force).await {
            Err(ClusterError::Conflict { fields, .. })
                if fields
                    .iter()
                    .all(|held| mesh::drift::shows(&self.agreed, object, &held.field)) =>
            {
                self.cluster.apply(only, Force::Fields).await
            }
            done => done,
        }
    }

    /// Deletes those of `before` that are not in `desired`, and returns a warning for each that is not ours by now.
    pub(crate) async fn prune(
        &self,
        before: impl Iterator<Item = (Kind, Id)>,
        desired: &[Manifest],
    ) -> Result<Diagnostics, Diagnostic> {
        let wanted = |id: &(Kind, Id)| desired.iter().any(|of| (of.kind, &of.id) == (id.0, &id.1));
        let stale: BTreeSet<_> = before.filter(|id| !wanted(id)).collect();
        let mut warnings = Diagnostics::none();
        for (kind, id) in stale {
            let uid = self.imported(kind, &id).map(|of| of.uid.clone());
            match self.delete(kind, &id, uid).await {
                Ok(()) => {}
                Err(ClusterError::Exists { .. }) => {
                    warnings.push(not_ours(&self.mark, &(kind, id)));
                }
                Err(error) => return Err(messages::cluster(&error)),
            }
        }
        Ok(warnings)
    }

    /// Deletes what a create wrote, the last first, and returns what prevented that.
    pub(crate) async fn delete_written(&self, objects: &[Manifest]) -> Diagnostics {
        let mut problems = Diagnostics::none();
        for object in objects.iter().rev() {
            let uid = self.imported(object.kind, &object.id);
            let uid = uid.map(|of| of.uid.clone());
            match self.delete(object.kind, &object.id, uid).await {
                // An object that is not ours was never written.
                Ok(()) | Err(ClusterError::Exists { .. }) => {}
                Err(error) => problems.push(messages::cluster(&error)),
            }
        }
        problems
    }

    /// Deletes those objects that have one of the uids, and one whose creation was not answered. The last goes first.
    /// Returns what prevented that.
    pub(crate) async fn delete_created(
        &self,
        objects: &[Manifest],
        uids: &BTreeSet<String>,
    ) -> Diagnostics {
        let mut problems = Diagnostics::none();
        for Manifest { kind, id, .. } in objects.iter().rev() {
            let found = insist(self.deadline, || self.cluster.find(*kind, id)).await;
            let deleted = match found {
                Ok(Some(object)) => self.delete_own(*kind, id, &object, uids).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            problems.extend(deleted.err().map(|error| messages::cluster(&error)));
        }
        problems
    }

    async fn delete_own(
        &self,
        kind: Kind,
        id: &Id,
        object: &Value,
        uids: &BTreeSet<String>,
    ) -> Result<(), ClusterError> {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if !uids.contains(uid) && !self.cluster.has_claimed(object) {
            return Ok(());
        }
        match self.delete(kind, id, Some(uid.to_owned())).await {
            // Another one is there by now.
            Err(ClusterError::Exists { .. }) => Ok(()),
            done => done,
        }
    }

    /// Writes objects in the form that they had, as far as nobody else holds them, and returns what prevented that.
    pub(crate) async fn write_prior(&self, objects: &[Manifest]) -> Diagnostics {
        let mut problems = Diagnostics::none();
        for object in objects {
            match insist(self.deadline, || self.write_one(object)).await {
                // A field that others hold was not written before either.
                Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Exists { .. }) => {}
                Err(error) => problems.push(messages::cluster(&error)),
            }
        }
        problems
    }

    /// Deletes an object, with a uid only that one. One that is not ours stays, and is an error.
    async fn delete(&self, kind: Kind, id: &Id, uid: Option<String>) -> Result<(), ClusterError> {
        let doomed = [Deletion {
            uid,
            run: None,
            mark: self.mark.clone(),
            kind,
            id: id.clone(),
        }];
        delete(self.cluster, &doomed, self.deadline).await
    }
}

/// Deletes objects in their order. What is deleted already does not count, so a fault that passes is waited out.
pub(crate) async fn delete(
    cluster: &Cluster,
    doomed: &[Deletion],
    deadline: Instant,
) -> Result<(), ClusterError> {
    insist(deadline, || cluster.delete(doomed, deadline)).await
}

/// Refuses to write objects whose deletion has begun: they would be gone soon after.
pub(crate) fn refuse_dying(
    ids: impl IntoIterator<Item = (Kind, Id)>,
    observed: &ObservedObjects,
) -> Result<(), Diagnostic> {
    let dying = ids.into_iter().find_map(|(kind, id)| {
        let object = observed.get(kind, &id.name)?;
        cluster::being_deleted(kind, &id, object)
    });
    dying.map_or(Ok(()), |error| Err(messages::cluster(&error)))
}

/// Returns the objects of others that select the VM or claim its hosts.
pub(crate) async fn rivals(
    cluster: &Cluster,
    namespace: &Namespace,
    claims: &Claims,
) -> Result<Vec<Rival>, Diagnostic> {
    let of = |kind| cluster.matching(kind, namespace, move |object| claims.concern(kind, object));
    let found = tokio::try_join!(of(Kind::Sidecar), of(Kind::ServiceEntry));
    let (sidecars, services) = found.map_err(|error| messages::cluster(&error))?;
    Ok(claims.rivals(&[sidecars, services].concat()))
}

/// Returns the objects to delete, and those that stay because they are not ours: they neither carry our mark nor have a
/// UID that the state knows from an import. The entry comes last: once it is gone, a create of the same ID may begin.
pub(crate) fn deletions(
    mark: &Mark,
    ids: impl Iterator<Item = (Kind, Id)>,
    observed: &ObservedObjects,
    uids: &imported::Uids,
) -> (Vec<Deletion>, Vec<(Kind, Id)>) {
    let ids: BTreeSet<_> = ids.collect();
    let is_entry = |(kind, _): &(Kind, Id)| *kind == Kind::WorkloadEntry;
    let (entry, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_entry);
    let (mut deletions, mut foreign) = (vec![], vec![]);
    for (kind, id) in others.into_iter().chain(entry) {
        let Some(object) = observed.get(kind, &id.name) else {
            continue;
        };
        let uid = imported::known(uids, kind, &id, object).map(str::to_owned);
        let is_ours = match Mark::of(object) {
            Some(of) => of == *mark,
            None => uid.is_some() || mesh::mark::is_ours(object),
        };
        if is_ours {
            deletions.push(Deletion {
                kind,
                id,
                mark: mark.clone(),
                uid,
                run: None,
            });
        } else {
            foreign.push((kind, id));
        }
    }
    (deletions, foreign)
}

/// Warns that an object stays.
pub(crate) fn not_ours(mark: &Mark, (kind, id): &(Kind, Id)) -> Diagnostic {
    let text = format!(
        "The {kind} {id} does not belong to the {mark}: someone else created it, so it stays. If nobody needs it, \
         delete it with kubectl."
    );
    Message::new(Code::ObjectForeign).text(text).warning()
}
