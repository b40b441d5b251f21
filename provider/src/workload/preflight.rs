//! What must be known before anything is written: the facts of the mesh, the conflicts, and what should be.

use std::collections::BTreeSet;

use cluster::Cluster;
use mesh::desired::Desired;
use mesh::facts::Facts;
use mesh::identity::SeenNamespace;
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use mesh::rivals::{Claims, Rival};
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics, Paths};

use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use super::prior::Prior;
use crate::identity;
use crate::messages::{self, Code, Message};
use crate::objects;

/// A workload that nothing prevents from being written.
pub(super) struct Preflight {
    pub(super) workload: Workload,
    pub(super) facts: Facts,
    pub(super) observed: ObservedObjects,
    pub(super) desired: Desired,
    /// The entries of other workloads of this provider that have had the VM until now.
    pub(super) former: Vec<Id>,
    /// The fleets of which the workload's entry, or one that has had the VM, is a member until now.
    pub(super) fleets: BTreeSet<Id>,
    /// The namespace, which identifies the cluster.
    pub(super) namespace: SeenNamespace,
    /// What the user should know who bootstraps the VM.
    pub(super) warnings: Diagnostics,
}

impl Preflight {
    /// Reads the cluster, and reports everything that prevents the workload from being written at once. `prior` is the
    /// workload as the state has it.
    pub(super) async fn new(
        cluster: &Cluster,
        input: &WorkloadInput,
        prior: Option<Prior<'_>>,
    ) -> Result<Self, Diagnostics> {
        let workload = input.workload().ok_or_else(messages::incomplete)?;
        let names = mesh::objects::object_ids(&workload);
        let namespace = &workload.id.namespace;
        // First: a cluster without Istio's kinds is reported as such, whatever else it lacks.
        let (near, observed, seen) = tokio::try_join!(
            cluster.others(namespace),
            cluster.observe(&workload.id, &names),
            cluster.namespace(namespace),
        )
        .map_err(|error| messages::cluster(&error))?;
        if let Some(prior) = prior {
            let verdict = prior.output.identity();
            let verdict = verdict.compare(&workload.id, &seen, observed.entry_uid());
            identity::refuse_other(&workload.id, &verdict)?;
        }
        let (facts, elsewhere, fleet) = tokio::try_join!(
            cluster.facts(&workload.id, &workload.service_account),
            cluster.others_elsewhere(namespace),
            cluster.objects_of_fleet(workload.fleet.as_ref()),
        )
        .map_err(|error| messages::cluster(&error))?;
        objects::refuse_dying(names, &observed)?;
        let unseen = elsewhere.is_none();
        let others = [near, elsewhere.unwrap_or_default()].concat();
        let mut problems = mesh::conflicts::conflicts(&workload, &facts, &others);
        problems.extend(mesh::conflicts::fleet_conflicts(&workload, &fleet));
        problems.extend(mesh::conflicts::taken_services(&workload, &observed));
        let had = prior.and_then(|prior| prior.input.workload());
        let had = had.as_ref().map_or(vec![], mesh::objects::object_ids);
        let claims = Claims::of_workload(&workload, observed.entry.as_ref(), had);
        let rivals = objects::rivals(cluster, namespace, &claims).await?;
        problems.extend(rivals.iter().map(Rival::problem));
        let mut desired = match mesh::render::render(&workload, &facts) {
            Ok(desired) if problems.is_empty() => desired,
            rendered => {
                problems.extend(rendered.err().unwrap_or_default());
                return Err(messages::problems(problems, &Paths::default()));
            }
        };
        desired.bundle.taken = mesh::conflicts::taken_addresses(&workload, &others);
        let former = mesh::conflicts::replaced(&workload, &others);
        let former: Vec<_> = former.into_iter().cloned().collect();
        let fleets = fleets(cluster, &workload, &former).await?;
        let mut warnings: Diagnostics = unseen.then(entries_unseen).into_iter().collect();
        warnings.extend(messages::of_pods_in_mesh(&facts));
        Ok(Self {
            workload,
            facts,
            observed,
            desired,
            former,
            fleets,
            namespace: seen,
            warnings,
        })
    }

    /// Returns the entries whose traffic a bootstrap takes away.
    pub(super) fn losing(&self) -> Vec<Id> {
        let own = std::iter::once(&self.workload.id);
        own.chain(&self.former).cloned().collect()
    }

    /// Returns the output as far as the facts determine it.
    pub(super) fn output(&self, reasons: Vec<String>) -> WorkloadOutput {
        let output = WorkloadOutput::from_facts(&self.facts, &self.desired.bundle, reasons);
        output.within(&self.namespace)
    }

    /// Renders another input of the same workload with the same facts.
    pub(super) fn rendered(&self, input: &WorkloadInput) -> Option<Desired> {
        mesh::render::render(&input.workload()?, &self.facts).ok()
    }
}

/// Returns the fleets of which the workload's entry, or one that has had the VM, is a member.
async fn fleets(
    cluster: &Cluster,
    workload: &Workload,
    former: &[Id],
) -> Result<BTreeSet<Id>, Diagnostic> {
    let entries = cluster.entries(&workload.id.namespace).await;
    let entries = entries.map_err(|error| messages::cluster(&error))?;
    let loses = |id: &Id| *id == workload.id || former.contains(id);
    let losing = entries.iter().filter(|(id, _)| loses(id));
    let fleets = losing.filter_map(|(id, entry)| mesh::rollout::fleet_of(entry, id));
    Ok(fleets.collect())
}

/// Summaries are constant, so that Terraform groups the warnings of many workloads.
fn entries_unseen() -> Diagnostic {
    let text = "The provider is not allowed to list the WorkloadEntry objects of all namespaces, so it cannot check \
                whether one in another namespace has this VM's address. The last rule of examples/rbac.yaml grants \
                this permission.";
    Message::new(Code::EntriesUnseen).text(text).warning()
}
