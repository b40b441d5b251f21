//! A create or an update that is being carried out: what it knows before its first step, and what the steps find out.

use std::sync::Arc;

use cluster::Cluster;
use mesh::reserved::Reserved;
use mesh::withdrawal::Operation;
use plugin::{Deadline, Diagnostics};
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::context::Context;
use crate::declared::field_manager::force;
use crate::identity;
use crate::imported::{Imported, imported};
use crate::machine::{Bootstrapped, Machine};
use crate::messages;
use crate::objects::Objects;
use crate::reservations::Reservation;
use crate::run::Run;
use crate::workload::archive;
use crate::workload::input::WorkloadInput;
use crate::workload::output::WorkloadOutput;
use crate::workload::place::await_place;
use crate::workload::plan::Decision;
use crate::workload::preflight::Preflight;
use crate::workload::prior::Prior;
use crate::workload::steps::Circumstance;

/// What is applied.
pub(crate) struct Target<'a> {
    /// `None` for a create.
    pub(crate) prior: Option<Prior<'a>>,
    pub(crate) next: &'a WorkloadInput,
    /// What the plan decided.
    pub(crate) decision: Decision,
}

impl Target<'_> {
    /// Reserves the ID, the objects and the address against the other operations of the same apply.
    pub(super) fn reserve<'a>(&self, context: &'a Context) -> Result<Reservation<'a>, Diagnostics> {
        let workload = self.next.workload().ok_or_else(messages::incomplete)?;
        let wanted = Reserved::of_workload(&workload);
        match self.prior {
            None => context.reservations.reserve_new(wanted),
            Some(_) => context.reservations.reserve(wanted),
        }
    }

    /// Returns why the VM is bootstrapped, or the archive written.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.decision.change.reasons.clone().unwrap_or_default()
    }
}

/// An apply that is being carried out.
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: &'a Cluster,
    pub(super) target: Target<'a>,
    /// The apply's time limit, which pauses while it waits for its turn.
    pub(super) limit: &'a Deadline,
    pub(super) deadline: Instant,
    pub(super) preflight: Preflight,
    pub(super) objects: Objects<'a>,
    pub(super) run: Arc<Run<'a>>,
    /// The uid of the entry, once this apply has written it.
    pub(super) written: Option<String>,
    /// Whether a write was tried, whatever came of it.
    pub(super) attempted: bool,
    /// The workload's own entry as it was before its traffic was withdrawn; `None`: absent, or not withdrawn yet.
    pub(super) before: Option<Json>,
    /// The entry that a dead create left, which this one takes up.
    pub(super) left: Option<Json>,
    pub(super) imported: Vec<Imported>,
    pub(super) machine: Option<Machine<'a>>,
    pub(super) bootstrapped: Option<Bootstrapped>,
    /// The output as far as it is known.
    pub(super) output: WorkloadOutput,
    pub(super) warnings: Diagnostics,
}

impl<'a> Work<'a> {
    pub(super) async fn new(
        context: &'a Context,
        target: Target<'a>,
        limit: &'a Deadline,
    ) -> Result<Self, Diagnostics> {
        let deadline = limit.at();
        let cluster = context.cluster().await?;
        let mut left = None;
        if target.prior.is_none() {
            let workload = target.next.workload().ok_or_else(messages::incomplete)?;
            left = await_place(context, &workload, deadline).await?;
        }
        // Conflicts are reported before waiting for a VM that is still booting.
        let preflight = Preflight::new(cluster, target.next, target.prior).await?;
        let prior = target.prior.and_then(|prior| prior.input.workload());
        let mark = preflight.workload.mark();
        let force = force(&target.next.field_manager);
        let mut objects = Objects::new(cluster, mark, force, deadline);
        let mut adopted = vec![];
        if let (Some(prior), Some(workload)) = (target.prior, prior) {
            let (ids, declared) = (
                mesh::objects::object_ids(&workload),
                mesh::objects::declared(&workload),
            );
            let uids = &prior.output.imported_uids;
            adopted = imported(uids, ids, &declared, &preflight.observed);
            objects.agreed = prior.output.drift().objects;
        }
        let output = match target.prior {
            Some(prior) => prior.output.clone(),
            None => preflight.output(target.reasons()),
        };
        let by = match target.prior {
            Some(_) => Operation::Bootstrap,
            None => Operation::Create,
        };
        let warnings = identity::warn_once(context, &preflight.namespace);
        let warnings = warnings.into_iter().collect();
        Ok(Self {
            context,
            cluster,
            target,
            limit,
            deadline,
            preflight,
            objects,
            run: Arc::new(Run::new(cluster, by, force, deadline)),
            written: None,
            attempted: false,
            before: None,
            left,
            imported: adopted,
            machine: None,
            bootstrapped: None,
            output,
            warnings,
        })
    }

    /// Returns what decides about the steps besides the plan.
    pub(super) fn circumstances(&self) -> Vec<Circumstance> {
        use Circumstance as C;
        let next = archive::path(self.target.next);
        let before = self.target.prior;
        let before = before.and_then(|prior| archive::path(prior.input));
        let moves = before
            .zip(next)
            .is_some_and(|(before, next)| !archive::is_same(&before, &next));
        let all = [
            (!self.imported.is_empty(), C::AdoptsObjects),
            (!self.preflight.fleets.is_empty(), C::TakesTurn),
            (!self.preflight.former.is_empty(), C::TakesOverVm),
            (
                self.preflight.workload.health_check.is_some(),
                C::ProbesHealth,
            ),
            (self.leaves_vm(), C::LeavesVm),
            (moves, C::MovesArchive),
        ];
        let all = all.into_iter().filter(|(is, _)| *is);
        all.map(|(_, circumstance)| circumstance).collect()
    }

    /// Returns whether an update re-creates an entry that is the only proof of the cluster's identity. The former entry's
    /// UID then matches no cluster.
    pub(super) fn recreates(&self) -> bool {
        let is_unseen = |prior: Prior<'_>| prior.output.namespace_uid.known().is_none();
        let is_hidden = self.preflight.namespace.uid().is_none();
        let is_absent = self.preflight.observed.entry.is_none();
        is_absent
            && self
                .target
                .prior
                .is_some_and(|prior| is_hidden || is_unseen(prior))
    }

    /// Returns whether the VM of before is to be cleaned, because it is no longer the workload's.
    pub(super) fn leaves_vm(&self) -> bool {
        let former = |prior: Prior<'_>| prior.former_vm(self.target.next).is_some();
        self.target.prior.is_some_and(former)
    }
}
