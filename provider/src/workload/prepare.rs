//! What must be known before anything is written: the facts, the conflicts, and what should be.

use cluster::{Cluster, Force};
use mesh::{Desired, Facts, ObservedObjects, Workload};
use tfplugin::{Diagnostics, Paths};

use super::convert;
use super::input::WorkloadInput;
use crate::context::Context;
use crate::diagnose;

/// A workload, ready to be written.
pub(super) struct Prepared<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) workload: Workload,
    pub(super) facts: Facts,
    pub(super) observed: ObservedObjects,
    pub(super) desired: Desired,
    /// How conflicts with other owners of a field are treated.
    pub(super) force: Force,
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
        let desired = match mesh::render(&workload, &facts) {
            Ok(desired) if problems.is_empty() => desired,
            rendered => {
                problems.extend(rendered.err().unwrap_or_default());
                return Err(diagnose::problems(problems, &Paths::default()));
            }
        };
        let force = force(input);
        Ok(Self {
            cluster,
            workload,
            facts,
            observed,
            desired,
            force,
        })
    }
}

fn incomplete() -> Diagnostics {
    tfplugin::Diagnostic::error(
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
