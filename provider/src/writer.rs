//! Writes and removes the objects of a resource, and knows which of them it may take over.

use std::collections::BTreeSet;

use cluster::{Applied, Cluster, ClusterError, Doomed, Force};
use mesh::desired::{Kind, Manifest};
use mesh::drift::Finding;
use mesh::mark::Mark;
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use plugin::{Diagnostic, Diagnostics, Value};
use tokio::time::Instant;

use crate::declared::field_manager::{FieldManagerInput, force};
use crate::messages::{self, Code, Message};

/// Writes the objects of one workload or fleet.
pub(crate) struct Writer<'a> {
    cluster: &'a Cluster,
    mark: Mark,
    /// Until when a deletion waits for an object that finalizers hold.
    deadline: Instant,
    /// How conflicts with other owners of a field are treated.
    force: Force,
    /// Objects of an import that no apply has taken over yet.
    imported: Vec<Imported>,
    /// Lines of drift that the plan showed: what they name is taken back from other owners, since
    /// whoever applied the plan has agreed.
    pub(crate) agreed: Vec<Finding>,
}

/// An object of an import that no apply has taken over yet.
struct Imported {
    kind: Kind,
    id: Id,
    uid: String,
    /// As the import declared it.
    declared: Option<Manifest>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        mark: Mark,
        field_manager: &Value<FieldManagerInput>,
        deadline: Instant,
    ) -> Self {
        Self {
            cluster,
            mark,
            deadline,
            force: force(field_manager),
            imported: vec![],
            agreed: vec![],
        }
    }

    /// Notes which of the objects that the prior input declares were imported and never written:
    /// each stands on its own, since an apply may have stopped after some of them.
    pub(crate) fn note_imported(
        &mut self,
        ids: Vec<(Kind, Id)>,
        declared: &[Manifest],
        observed: &ObservedObjects,
    ) {
        let imported = ids.into_iter().filter_map(|(kind, id)| {
            let object = observed.get(kind, &id.name)?;
            let uid = object["metadata"]["uid"].as_str()?.to_owned();
            let same = |of: &&Manifest| (of.kind, &of.id) == (kind, &id);
            let declared = declared.iter().find(same).cloned();
            (!mesh::mark::is_ours(object)).then_some(Imported {
                kind,
                id,
                uid,
                declared,
            })
        });
        self.imported = imported.collect();
    }

    fn imported(&self, kind: Kind, id: &Id) -> Option<&Imported> {
        let mut all = self.imported.iter();
        all.find(|of| (of.kind, &of.id) == (kind, id))
    }

    /// Writes objects in their order; stops at the first error.
    pub(crate) async fn write(&self, objects: &[Manifest]) -> Result<Vec<Applied>, Diagnostic> {
        let mut applied = Vec::with_capacity(objects.len());
        for object in objects {
            let written = self.write_one(object).await;
            applied.extend(written.map_err(|error| messages::cluster(&error))?);
        }
        Ok(applied)
    }

    /// Writes an object, and again with force where every conflict was agreed to.
    pub(crate) async fn write_one(&self, object: &Manifest) -> Result<Vec<Applied>, ClusterError> {
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

    /// Deletes those of `before` that are not in `desired`.
    pub(crate) async fn prune(
        &self,
        before: impl Iterator<Item = (Kind, Id)>,
        desired: &[Manifest],
    ) -> Result<(), Diagnostic> {
        let wanted = |id: &(Kind, Id)| desired.iter().any(|of| (of.kind, &of.id) == (id.0, &id.1));
        self.delete(before.filter(|id| !wanted(id)))
            .await
            .map_err(|error| messages::cluster(&error))
    }

    /// Takes back what a create wrote, the last first, and says whether all of it is gone.
    pub(crate) async fn take_back(&self, objects: &[Manifest], told: &mut Diagnostics) -> bool {
        let mut taken_back = true;
        for object in objects.iter().rev() {
            let one = std::iter::once((object.kind, object.id.clone()));
            match self.delete(one).await {
                // One that is not ours was never written.
                Ok(()) | Err(ClusterError::Exists { .. }) => {}
                Err(error) => {
                    taken_back = false;
                    told.push(messages::cluster(&error));
                }
            }
        }
        taken_back
    }

    /// Deletes objects; one that is not ours is an error and stays.
    pub(crate) async fn delete(
        &self,
        objects: impl Iterator<Item = (Kind, Id)>,
    ) -> Result<(), ClusterError> {
        let doomed: Vec<_> = objects
            .map(|(kind, id)| Doomed {
                uid: self.imported(kind, &id).map(|of| of.uid.clone()),
                mark: self.mark.clone(),
                kind,
                id,
            })
            .collect();
        self.cluster.delete(&doomed, self.deadline).await
    }
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

/// Returns those of `ids` that are there and to be deleted, in an order in which first nobody calls
/// and then nobody is called, and those that stay since they are not ours. With `imported`, what
/// carries no mark at all is ours.
pub(crate) fn doomed(
    mark: &Mark,
    ids: impl Iterator<Item = (Kind, Id)>,
    observed: &ObservedObjects,
    imported: bool,
) -> (Vec<Doomed>, Vec<(Kind, Id)>) {
    let ids: BTreeSet<_> = ids.collect();
    let (mut doomed, mut foreign) = (vec![], vec![]);
    for (kind, id) in ids {
        let Some(object) = observed.get(kind, &id.name) else {
            continue;
        };
        let ours = match Mark::of(object) {
            Some(of) => of == *mark,
            None => imported || mesh::mark::is_ours(object),
        };
        if ours {
            let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
            doomed.push(Doomed {
                kind,
                id,
                mark: mark.clone(),
                uid: uid.filter(|_| imported),
            });
        } else {
            foreign.push((kind, id));
        }
    }
    (doomed, foreign)
}

/// Warns that an object stays.
pub(crate) fn not_ours(mark: &Mark, (kind, id): &(Kind, Id)) -> Diagnostic {
    let text = format!(
        "The {kind} {id} does not belong to the {mark}: someone else created it, so it stays. If nobody needs it, \
         delete it with kubectl."
    );
    Message::new(Code::ObjectForeign).text(text).warning()
}
