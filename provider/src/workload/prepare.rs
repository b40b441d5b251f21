//! What must be known before anything is written (the facts, the conflicts, what should be), and
//! the writing of it.

use cluster::{Cluster, ClusterError, Doomed, Force};
use mesh::{Desired, Facts, Kind, Manifest, ObservedObjects, Workload};
use tfplugin::{Diagnostic, Diagnostics, Paths};
use tokio::time::Instant;
use vm::program::Commit;

use super::bootstrap::Bootstrap;
use super::convert;
use super::input::WorkloadInput;
use crate::context::Context;
use crate::diagnose;
use crate::ssh::Way;

/// A workload, ready to be written.
pub(super) struct Prepared<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) workload: Workload,
    pub(super) facts: Facts,
    pub(super) observed: ObservedObjects,
    pub(super) desired: Desired,
    /// Entries, as they are, of workloads of ours that had the VM until now.
    pub(super) replaced: Vec<Manifest>,
    /// Objects of an import that no apply has taken over yet.
    pub(super) imported: Vec<Imported>,
    /// How conflicts with other owners of a field are treated.
    pub(super) force: Force,
    /// Lines of drift that the plan showed: what they name is taken back from other owners, since
    /// whoever applied the plan has agreed.
    pub(super) agreed: Vec<String>,
}

/// An object of an import that no apply has taken over yet.
pub(super) struct Imported {
    kind: Kind,
    id: mesh::Id,
    uid: String,
    /// As the import declared it.
    declared: Option<Manifest>,
}

impl<'a> Prepared<'a> {
    /// Asks the cluster, and tells everything that stands against the workload at once.
    pub(super) async fn new(
        context: &'a Context,
        input: &WorkloadInput,
    ) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        let workload = convert::workload(input).ok_or_else(incomplete)?;
        let names: Vec<_> = mesh::service_entry_names(&workload);
        let namespace = &workload.id.namespace;
        let (facts, others, observed) = tokio::try_join!(
            cluster.facts(&workload.id, &workload.service_account),
            cluster.others(namespace),
            cluster.observe(&workload.id, &names),
        )
        .map_err(|error| diagnose::cluster(&error))?;
        let mut problems = mesh::conflicts(&workload, &facts, &others);
        problems.extend(mesh::taken_services(&workload, &observed));
        let desired = match mesh::render(&workload, &facts) {
            Ok(desired) if problems.is_empty() => desired,
            rendered => {
                problems.extend(rendered.err().unwrap_or_default());
                return Err(diagnose::problems(problems, &Paths::default()));
            }
        };
        let replaced = entries(cluster, &mesh::replaced(&workload, &others)).await?;
        let force = force(input);
        Ok(Self {
            cluster,
            workload,
            facts,
            observed,
            desired,
            replaced,
            imported: vec![],
            force,
            agreed: vec![],
        })
    }
}

/// Returns entries as they are.
async fn entries(cluster: &Cluster, ids: &[&mesh::Id]) -> Result<Vec<Manifest>, Diagnostic> {
    let mut entries = vec![];
    for id in ids {
        let observed = cluster.observe(id, &[]).await;
        let entry = observed.map_err(|error| diagnose::cluster(&error))?.entry;
        entries.extend(entry.map(|entry| mesh::as_it_is(id, &entry)));
    }
    Ok(entries)
}

impl Prepared<'_> {
    pub(super) async fn write(
        &self,
        objects: &[Manifest],
    ) -> Result<Vec<cluster::Applied>, Diagnostic> {
        let mut applied = Vec::with_capacity(objects.len());
        for object in objects {
            let written = self.write_one(object).await;
            applied.extend(written.map_err(|error| diagnose::cluster(&error))?);
        }
        Ok(applied)
    }

    /// Writes an object, and again with force where every conflict was agreed to.
    pub(super) async fn write_one(
        &self,
        object: &Manifest,
    ) -> Result<Vec<cluster::Applied>, ClusterError> {
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

    /// Writes the objects with an entry that takes no traffic; the entry's uid marks the VM. Nor
    /// does the entry of a workload take any whose VM this one takes over.
    pub(super) async fn withdraw(&mut self) -> Result<(), Diagnostic> {
        let replaced: Vec<Manifest> = self.replaced.iter().map(mesh::withdrawn).collect();
        self.write(&replaced).await?;
        tracing::info!(id = %self.workload.id, "writing the objects, with the entry withdrawn");
        let applied = self.write(&self.desired.withdrawn()).await?;
        if let Some(entry) = applied
            .into_iter()
            .find(|applied| applied.kind == Kind::WorkloadEntry)
        {
            self.desired.bundle.owner.uid.clone_from(&entry.uid);
            self.facts.entry_uid = Some(entry.uid);
        }
        Ok(())
    }

    /// Lets the workload have its traffic back whose VM was not taken over after all.
    pub(super) async fn readmit(&self, told: &mut Diagnostics) {
        if let Err(error) = self.write(&self.replaced).await {
            told.push(error);
        }
    }

    pub(super) fn bootstrap<'b>(
        &'b self,
        context: &'b Context,
        way: &'b Way,
        commit: Commit,
        deadline: Instant,
    ) -> Bootstrap<'b> {
        Bootstrap {
            context,
            cluster: self.cluster,
            way,
            bundle: &self.desired.bundle,
            commit,
            deadline,
        }
    }

    /// Notes which objects of the prior input were imported and never written: each stands on its
    /// own, since an apply may have stopped after some of them.
    pub(super) fn note_imported(&mut self, prior: &WorkloadInput) {
        let prior = convert::workload(prior);
        let ids = prior.as_ref().map(mesh::object_ids).unwrap_or_default();
        let declared = prior.as_ref().map(mesh::declared).unwrap_or_default();
        let imported = ids.into_iter().filter_map(|(kind, id)| {
            let object = self.observed.get(kind, &id.name)?;
            let uid = object["metadata"]["uid"].as_str()?.to_owned();
            let same = |of: &&Manifest| (of.kind, &of.id) == (kind, &id);
            let declared = declared.iter().find(same).cloned();
            (!cluster::is_ours(object)).then_some(Imported {
                kind,
                id,
                uid,
                declared,
            })
        });
        self.imported = imported.collect();
    }

    fn imported(&self, kind: Kind, id: &mesh::Id) -> Option<&Imported> {
        let mut all = self.imported.iter();
        all.find(|of| (of.kind, &of.id) == (kind, id))
    }

    /// Deletes the objects that the prior input asked for, or that carry the workload's mark, and
    /// that this input does not ask for.
    pub(super) async fn prune(&self, prior: &WorkloadInput) -> Result<(), Diagnostic> {
        let wanted = |id: &(Kind, mesh::Id)| {
            self.desired
                .objects
                .iter()
                .any(|o| (o.kind, &o.id) == (id.0, &id.1))
        };
        let prior = convert::workload(prior);
        let before = prior.as_ref().map(mesh::object_ids).unwrap_or_default();
        let stale = before
            .into_iter()
            .chain(self.observed.marked(&self.workload.id))
            .filter(|id| !wanted(id));
        self.delete(stale)
            .await
            .map_err(|error| diagnose::cluster(&error))
    }

    /// Renders another input of the same workload with the same facts.
    pub(super) fn rendered(&self, input: &WorkloadInput) -> Option<Desired> {
        mesh::render(&convert::workload(input)?, &self.facts).ok()
    }

    pub(super) async fn delete(
        &self,
        objects: impl Iterator<Item = (Kind, mesh::Id)>,
    ) -> Result<(), ClusterError> {
        let doomed: Vec<_> = objects
            .map(|(kind, id)| Doomed {
                uid: self.imported(kind, &id).map(|of| of.uid.clone()),
                workload: self.workload.id.name.clone(),
                kind,
                id,
            })
            .collect();
        self.cluster.delete(&doomed).await
    }
}

fn incomplete() -> Diagnostics {
    Diagnostic::error(
        "The workload is incomplete",
        "namespace and name are not known.",
    )
    .into()
}

fn force(input: &WorkloadInput) -> Force {
    let forced = input
        .field_manager
        .known()
        .and_then(|manager| manager.force_conflicts.known())
        == Some(&true);
    if forced { Force::Fields } else { Force::Never }
}
