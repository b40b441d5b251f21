//! Create and update. What is done is decided by [`steps`], before anything is written; this file says what each step
//! calls, and what the state says meanwhile.

mod object_steps;
mod vm_steps;

use cluster::Cluster;
use mesh::change::{Drift, Effect};
use mesh::drift::Finding;
use plugin::{Diagnostics, Done};
use tokio::time::Instant;

use super::archive;
use super::input::WorkloadInput;
use super::output::{DriftOutput, WorkloadOutput};
use super::plan::{self, Decision};
use super::preflight::Preflight;
use super::prior::Prior;
use super::runner::{self, Steps};
use super::steps::{Circumstance, Kind, Reach, Step, WayBack, steps};
use crate::context::Context;
use crate::declared::field_manager::force;
use crate::machine::{Bootstrapped, Failure, Machine, VmAfterFailure};
use crate::objects::{Imported, Objects, imported};

/// What is applied.
pub(super) struct Target<'a> {
    /// `None` for a create.
    pub(super) prior: Option<Prior<'a>>,
    pub(super) next: &'a WorkloadInput,
    /// What the plan decided.
    pub(super) decision: Decision,
}

/// Creates or updates a workload.
pub(super) async fn apply(
    context: &Context,
    target: Target<'_>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let effect = target.decision.change.effect;
    if effect == Effect::Nothing {
        *reached = Some(target.decision.planned);
        return Ok(Diagnostics::none());
    }
    let before = target.prior.map(|prior| Reach::of(prior.input));
    let after = Some(Reach::of(target.next));
    let mut work = Work::new(context, target, deadline).await?;
    let steps = steps(before, after, effect, &work.circumstances());
    let kind = before.map_or(Kind::Create, |_| Kind::Update);
    if kind == Kind::Create || steps.contains(&Step::Bootstrap) {
        work.warnings.append(work.preflight.warnings.clone());
    }
    runner::run(kind, &steps, &mut work, reached).await?;
    let Decision { change, planned } = work.target.decision;
    let output = WorkloadOutput {
        drift: DriftOutput::held(change.held),
        ..work.output
    };
    let (output, warning) = plan::kept(&planned, &output);
    *reached = Some(output);
    work.warnings.extend(warning);
    Ok(work.warnings)
}

impl Steps for Work<'_> {
    fn state(&self, step: Step) -> Option<WorkloadOutput> {
        let drift = match step {
            // A state names one VM: until everything is done, it is the one that is still to be cleaned.
            _ if self.leaves_vm() => return None,
            Step::WithdrawOthers | Step::Withdraw => Drift {
                vm: vec![Finding::unfinished()],
                ..Drift::default()
            },
            Step::AwaitConnection | Step::Admit => Drift {
                objects: vec![Finding::sentence(
                    None,
                    "WorkloadEntry: it takes no traffic yet",
                )],
                ..Drift::default()
            },
            Step::WriteObjects if self.target.prior.is_none() => Drift::default(),
            _ if self.bootstrapped.is_some() => Drift::default(),
            _ => return None,
        };
        Some(self.output.clone().with_drift(&drift))
    }

    async fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Connect => self.connect().await?,
            Step::CheckVm => self.check_vm().await?,
            Step::AdoptObjects => self.objects.adopt(std::mem::take(&mut self.imported)),
            Step::WithdrawOthers => self.withdraw_others().await?,
            Step::Withdraw => self.withdraw().await?,
            Step::Bootstrap => self.bootstrap().await?,
            Step::AwaitConnection => self.await_connection().await?,
            Step::Admit => self.objects.admit(&self.preflight.desired.entry).await?,
            Step::AwaitHealth => self.await_health().await?,
            Step::WriteObjects => self.write_objects().await?,
            Step::WriteArchive => self.write_archive().await?,
            Step::Prune => self.prune().await?,
            Step::RemoveArchive => self.remove_archive(),
            Step::CleanFormerVm => self.clean_former_vm().await,
            // Only a destroy has these.
            Step::RemoveProxy | Step::DeleteObjects => {}
        }
        Ok(())
    }

    async fn go_back(&self, way: WayBack, vm: VmAfterFailure) -> Diagnostics {
        match way {
            WayBack::DeleteWritten => {
                let written = self.preflight.desired.objects();
                self.objects.delete_written(&written).await
            }
            WayBack::WritePrior => self.write_prior(vm).await,
            WayBack::RestoreHealth => self.restore_health().await,
            WayBack::RestoreOthers => self.restore_others().await,
            // Only a destroy has this.
            WayBack::RestoreTraffic => Diagnostics::none(),
        }
    }
}

/// An apply that is being carried out.
struct Work<'a> {
    context: &'a Context,
    cluster: &'a Cluster,
    target: Target<'a>,
    deadline: Instant,
    preflight: Preflight,
    objects: Objects<'a>,
    imported: Vec<Imported>,
    machine: Option<Machine<'a>>,
    bootstrapped: Option<Bootstrapped>,
    /// The output as far as it is known.
    output: WorkloadOutput,
    warnings: Diagnostics,
}

impl<'a> Work<'a> {
    async fn new(
        context: &'a Context,
        target: Target<'a>,
        deadline: Instant,
    ) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        // Conflicts are reported before waiting for a VM that is still booting.
        let preflight = Preflight::new(cluster, target.next).await?;
        if target.prior.is_none() {
            preflight.refuse_existing()?;
        }
        let mark = preflight.workload.mark();
        let force = force(&target.next.field_manager);
        let mut objects = Objects::new(cluster, mark, force, deadline);
        let mut adopted = vec![];
        if let Some(prior) = target.prior {
            objects.agreed = prior.output.drift().objects;
            let declared = prior.input.workload();
            adopted = declared.map_or(vec![], |prior| {
                let ids = mesh::objects::object_ids(&prior);
                imported(ids, &mesh::objects::declared(&prior), &preflight.observed)
            });
        }
        let output = match target.prior {
            Some(prior) => prior.output.clone(),
            None => preflight.output(target.decision.change.reasons.clone().unwrap_or_default()),
        };
        Ok(Self {
            context,
            cluster,
            target,
            deadline,
            preflight,
            objects,
            imported: adopted,
            machine: None,
            bootstrapped: None,
            output,
            warnings: Diagnostics::none(),
        })
    }

    /// Returns what decides about the steps besides the plan.
    fn circumstances(&self) -> Vec<Circumstance> {
        use Circumstance as C;
        let next = archive::path(self.target.next);
        let before = self.target.prior;
        let before = before.and_then(|prior| archive::path(prior.input));
        let moves = before
            .zip(next)
            .is_some_and(|(before, next)| !archive::is_same(before, next));
        let all = [
            (!self.imported.is_empty(), C::AdoptsObjects),
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

    /// Returns whether the VM of before is to be cleaned, because it is no longer the workload's.
    fn leaves_vm(&self) -> bool {
        let former = |prior: Prior<'_>| prior.former_vm(self.target.next).is_some();
        self.target.prior.is_some_and(former)
    }
}
