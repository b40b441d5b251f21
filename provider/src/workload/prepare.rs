//! What must be known before anything is written (the facts, the conflicts, what should be), and
//! the writing of it.

use cluster::Cluster;
use mesh::desired::{Desired, Kind, Manifest};
use mesh::facts::Facts;
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics, Paths};
use serde_json::Value;
use tokio::time::Instant;

use super::bootstrap::Bootstrap;
use super::health;
use super::input::WorkloadInput;
use crate::context::Context;
use crate::declared::ssh::VmAddress;
use crate::messages::{self, Code, Message};
use crate::writer::{self, Writer};

/// A workload, ready to be written.
pub(super) struct Prepared<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) workload: Workload,
    pub(super) facts: Facts,
    pub(super) observed: ObservedObjects,
    pub(super) desired: Desired,
    /// Whole entries, as observed, of workloads of ours that had the VM until now.
    pub(super) replaced: Vec<(Id, Value)>,
    /// Writes the objects.
    pub(super) writer: Writer<'a>,
    /// What whoever bootstraps a VM should know.
    pub(super) warnings: Diagnostics,
}

impl<'a> Prepared<'a> {
    /// Asks the cluster, and tells everything that stands against the workload at once.
    pub(super) async fn new(
        context: &'a Context,
        input: &WorkloadInput,
        deadline: Instant,
    ) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        let workload = input.workload().ok_or_else(messages::incomplete)?;
        let names = mesh::objects::object_ids(&workload);
        let namespace = &workload.id.namespace;
        // First: a cluster that does not know Istio says so, whatever else it lacks.
        let near = cluster.others(namespace).await;
        let near = near.map_err(|error| messages::cluster(&error))?;
        let (facts, elsewhere, observed, fleet) = tokio::try_join!(
            cluster.facts(&workload.id, &workload.service_account),
            cluster.others_elsewhere(namespace),
            cluster.observe(&workload.id, &names),
            cluster.objects_of_fleet(workload.fleet.as_ref()),
        )
        .map_err(|error| messages::cluster(&error))?;
        writer::refuse_dying(names, &observed)?;
        let unseen = elsewhere.is_none();
        let others = [near, elsewhere.unwrap_or_default()].concat();
        let mut problems = mesh::conflicts::conflicts(&workload, &facts, &others);
        problems.extend(mesh::conflicts::fleet_conflicts(&workload, &fleet));
        problems.extend(mesh::conflicts::taken_services(&workload, &observed));
        let mut desired = match mesh::render::render(&workload, &facts) {
            Ok(desired) if problems.is_empty() => desired,
            rendered => {
                problems.extend(rendered.err().unwrap_or_default());
                return Err(messages::problems(problems, &Paths::default()));
            }
        };
        desired.bundle.taken = mesh::conflicts::taken_addresses(&workload, &others);
        let shared = mesh::conflicts::replaced(&workload, &others);
        let warnings = warnings(&workload, &shared, unseen);
        let replaced = entries(cluster, &shared).await?;
        let mark = workload.mark();
        let writer = Writer::new(cluster, mark, &input.field_manager, deadline);
        Ok(Self {
            cluster,
            workload,
            facts,
            observed,
            desired,
            replaced,
            writer,
            warnings,
        })
    }
}

/// Summaries are constant, so that Terraform groups the warnings of many workloads.
fn warnings(workload: &Workload, shared: &[&Id], unseen: bool) -> Diagnostics {
    let shared = shared.iter().map(|other| {
        let text = format!(
            "The WorkloadEntry {other} of this provider also has the address of {}. The VM's proxy now belongs to {}, \
             and {other} receives no traffic. This is expected while one replaces the other. If both should stay, \
             give each its own VM or address.",
            workload.id, workload.id
        );
        Message::new(Code::VmShared)
            .text(text)
            .at("address")
            .warning()
    });
    let unseen = unseen.then(|| {
        let text = "The provider is not allowed to list the WorkloadEntry objects of all namespaces, so it cannot \
                    check whether one in another namespace has this VM's address. The last rule of examples/rbac.yaml \
                    grants this permission.";
        Message::new(Code::EntriesUnseen).text(text).warning()
    });
    shared.chain(unseen).collect()
}

/// Returns entries as they are.
async fn entries(cluster: &Cluster, ids: &[&Id]) -> Result<Vec<(Id, Value)>, Diagnostic> {
    let mut entries = vec![];
    for id in ids {
        let observed = cluster.observe(id, &[]).await;
        let entry = observed.map_err(|error| messages::cluster(&error))?.entry;
        entries.extend(entry.map(|entry| ((*id).clone(), entry)));
    }
    Ok(entries)
}

impl Prepared<'_> {
    pub(super) async fn write(
        &self,
        objects: &[Manifest],
    ) -> Result<Vec<cluster::Applied>, Diagnostic> {
        self.writer.write(objects).await
    }

    /// Writes the objects with an entry that takes no traffic; the entry's uid marks the VM. Nor
    /// does the entry of a workload take any whose VM this one takes over.
    pub(super) async fn withdraw(&mut self) -> Result<(), Diagnostic> {
        for (id, entry) in &self.replaced {
            let withdrawn = mesh::objects::withdrawn(&mesh::objects::as_it_is(id, entry));
            self.write(&[withdrawn]).await?;
            health::forget(self.cluster, id, entry).await?;
        }
        tracing::info!(id = %self.workload.id, "writing the objects, with the entry withdrawn");
        let applied = self.write(&self.desired.withdrawn()).await?;
        if let Some(entry) = applied
            .into_iter()
            .find(|applied| applied.kind == Kind::WorkloadEntry)
        {
            self.desired.bundle.owner.uid.clone_from(&entry.uid);
            self.facts.entry_uid = Some(entry.uid);
        }
        match &self.observed.entry {
            Some(entry) => health::forget(self.cluster, &self.workload.id, entry).await,
            None => Ok(()),
        }
    }

    /// Whether the entry took no traffic already.
    pub(super) fn was_withdrawn(&self) -> bool {
        let entry = self.observed.entry.as_ref();
        entry.is_some_and(mesh::objects::is_withdrawn)
    }

    /// Lets the workload have its traffic back whose VM was not taken over after all.
    pub(super) async fn readmit(&self, told: &mut Diagnostics) {
        for (id, entry) in &self.replaced {
            if let Err(error) = self.write(&[mesh::objects::as_it_is(id, entry)]).await {
                told.push(error);
            }
        }
        let own = self.observed.entry.as_ref();
        let own = own.map(|entry| (&self.workload.id, entry));
        for (id, entry) in self
            .replaced
            .iter()
            .map(|(id, entry)| (id, entry))
            .chain(own)
        {
            if let Err(error) = health::recall(self.cluster, id, entry).await {
                told.push(error);
            }
        }
    }

    pub(super) fn bootstrap<'b>(
        &'b self,
        context: &'b Context,
        way: &'b VmAddress,
        deadline: Instant,
    ) -> Bootstrap<'b> {
        Bootstrap {
            context,
            cluster: self.cluster,
            way,
            bundle: &self.desired.bundle,
            deadline,
        }
    }

    /// Notes which objects of the prior input were imported and never written.
    pub(super) fn note_imported(&mut self, prior: &WorkloadInput) {
        let Some(prior) = prior.workload() else {
            return;
        };
        let declared = mesh::objects::declared(&prior);
        let ids = mesh::objects::object_ids(&prior);
        self.writer.note_imported(ids, &declared, &self.observed);
    }

    /// Deletes the objects that the prior input asked for, or that carry the workload's mark, and
    /// that this input does not ask for.
    pub(super) async fn prune(&self, prior: &WorkloadInput) -> Result<(), Diagnostic> {
        let prior = prior.workload();
        let before = prior
            .as_ref()
            .map(mesh::objects::object_ids)
            .unwrap_or_default();
        let mark = self.workload.mark();
        let marked = self.observed.marked(&self.workload.id.namespace, &mark);
        let before = before.into_iter().chain(marked);
        self.writer.prune(before, &self.desired.objects()).await
    }

    /// Renders another input of the same workload with the same facts.
    pub(super) fn rendered(&self, input: &WorkloadInput) -> Option<Desired> {
        mesh::render::render(&input.workload()?, &self.facts).ok()
    }
}
