//! Create and update. What is done is decided by [`steps`], before anything is written; each step is a function here.

mod former_vm;
mod path_check;
mod shared_vm;
mod turn;
mod way_back;
mod work;
mod write;

use std::sync::Arc;
use std::time::Duration;

use cluster::ClusterError;
use jiff::Timestamp;
use mesh::change::{Drift, Effect};
use mesh::drift::Finding;
use mesh::observed::Connection;
use mesh::withdrawal::is_withdrawn;
use plugin::{Deadline, Diagnostic, Diagnostics, Done, Value};
use serde_json::Value as Json;
use tokio::time::Instant;
use vm::Wait;

use super::output::{DriftOutput, WorkloadOutput};
use super::plan::{self, Decision};
use super::runner::{self, Steps};
use super::steps::{Kind, Reach, Step, WayBack, steps};
use crate::context::Context;
use crate::declared::vm_address::VmAddress;
use crate::machine::{Failure, Machine, VmAfterFailure};
use crate::messages::{self, Code, Message};
use work::Work;

pub(super) use work::Target;

/// How long istiod may take to report a proxy that is ready.
const CONNECTED: Duration = Duration::from_mins(1);

/// How long an application may take to answer after its first probe. One that is installed later must not delay the
/// apply for long.
const ANSWERED: Duration = Duration::from_secs(30);

/// Creates or updates a workload.
pub(super) async fn apply(
    context: &Context,
    target: Target<'_>,
    limit: &Deadline,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let effect = target.decision.change.effect;
    if effect == Effect::Nothing {
        *reached = Some(target.decision.planned);
        return Ok(Diagnostics::none());
    }
    let before = target.prior.map(|prior| Reach::of(prior.input));
    let after = Some(Reach::of(target.next));
    let reservation = target.reserve(context)?;
    let mut work = Work::new(context, target, limit).await?;
    let steps = steps(before, after, effect, &work.circumstances());
    let kind = before.map_or(Kind::Create, |_| Kind::Update);
    let takes_vm = kind == Kind::Create || steps.contains(&Step::Bootstrap);
    if takes_vm {
        work.warnings.append(work.preflight.warnings.clone());
    }
    let run = Arc::clone(&work.run);
    let steps = Box::pin(runner::run(kind, &steps, &mut work, reached));
    let done = run.alive(steps).await;
    run.release_locks().await;
    done?;
    reservation.keep();
    if takes_vm {
        work.warnings.append(work.shared_vm().await);
    }
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
            Step::WithdrawOthers | Step::Withdraw | Step::Bootstrap => Drift {
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
            Step::WriteObjects | Step::Prune | Step::WriteArchive | Step::RemoveArchive
                if self.recreates() =>
            {
                Drift {
                    objects: vec![Finding::sentence(
                        None,
                        "WorkloadEntry: the update that creates it again did not finish",
                    )],
                    ..Drift::default()
                }
            }
            _ => return None,
        };
        let mut output = self.output.clone().with_drift(&drift);
        if self.recreates() && self.written.is_none() {
            output.entry_uid = Value::Null;
        }
        Some(match self.target.prior {
            Some(prior) => output.imported_as(prior.output),
            None => output,
        })
    }

    async fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Connect => self.connect().await?,
            Step::CheckVm => self.check_vm().await?,
            Step::AdoptObjects => self.objects.adopt(std::mem::take(&mut self.imported)),
            Step::AwaitTurn => Box::pin(self.await_turn()).await?,
            Step::WithdrawOthers => self.withdraw_others().await?,
            Step::Withdraw => self.withdraw().await?,
            Step::Bootstrap => self.bootstrap().await?,
            Step::AwaitConnection => self.await_connection().await?,
            Step::Admit => self.admit().await?,
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

    fn note_failure(&self, step: Step, failure: &Failure) {
        use Step::{Admit, AwaitConnection, AwaitHealth, Bootstrap};
        if matches!(step, Bootstrap | AwaitConnection | Admit | AwaitHealth) {
            self.note_failure(failure);
        }
    }

    async fn go_back(&self, way: WayBack, vm: VmAfterFailure) -> Diagnostics {
        match way {
            WayBack::DeleteWritten => self.delete_written().await,
            WayBack::WritePrior => self.write_prior(vm).await,
            WayBack::RestoreHealth => self.restore_health().await,
            WayBack::RestoreOthers => self.run.restore().await,
            // Only a destroy has this.
            WayBack::RestoreTraffic => Diagnostics::none(),
        }
    }
}

/// The steps.
impl Work<'_> {
    async fn connect(&mut self) -> Result<(), Diagnostics> {
        let until = self.deadline.into_std();
        let prior = self.target.prior;
        let wait = if prior.is_none_or(|prior| prior.may_be_another_machine(self.target.next)) {
            Wait::Until(until)
        } else {
            Wait::Briefly(until)
        };
        let ssh = self.target.next.ssh.known().ok_or_else(no_ssh)?;
        let address = self.preflight.workload.address.as_ref();
        let address = VmAddress::new(ssh, address, self.context.ssh()?)?;
        let machine = Machine::new(address, &self.context.bastions);
        let machine = self.machine.insert(machine);
        let connected = machine.connect(wait).await;
        connected.map_err(|error| messages::vm(&error).into())
    }

    async fn withdraw_others(&self) -> Result<(), Diagnostic> {
        let workload = &self.preflight.workload;
        // One that is withdrawn already takes no traffic: its own run is at work.
        let wanted =
            |entry: &Json| mesh::conflicts::is_replaced(workload, entry) && !is_withdrawn(entry);
        for id in &self.preflight.former {
            self.run.withdraw(id, wanted).await?;
        }
        Ok(())
    }

    /// Writes the objects with an entry that takes no traffic; its uid marks the VM.
    async fn withdraw(&mut self) -> Result<(), Diagnostics> {
        // Others may have decided meanwhile that it is their turn.
        if !self.run.is_sure_of_locks() {
            self.run.release_locks().await;
            Box::pin(self.await_turn()).await?;
        }
        let id = self.preflight.workload.id.clone();
        let before = self.cluster.entry(&id).await;
        self.before = before.map_err(|error| messages::cluster(&error))?;
        let fleet = self.preflight.workload.fleet.as_ref();
        let mark = self.run.mark().leaving(self.before.as_ref(), fleet);
        self.run.hold(&id);
        self.write(&self.preflight.desired.withdrawn(&mark)).await?;
        if let Some(uid) = &self.written {
            self.preflight.desired.bundle.owner.uid.clone_from(uid);
        }
        if let Some(before) = &self.before {
            self.run.clear_health(&id, before).await?;
        }
        // The withdrawn entry is the record of the turn.
        self.run.release_locks().await;
        Ok(())
    }

    /// Admits traffic. Another run may have taken a create up that could not renew its mark.
    async fn admit(&self) -> Result<(), Diagnostic> {
        let id = &self.preflight.workload.id;
        if self.target.prior.is_none() && !self.run.holds(id).await? {
            return Err(messages::taken(id));
        }
        self.objects.admit(&self.preflight.desired.entry).await
    }

    async fn bootstrap(&mut self) -> Result<(), Failure> {
        let machine = self.machine.as_mut().ok_or_else(no_ssh)?;
        let bundle = &self.preflight.desired.bundle;
        let done = machine
            .bootstrap(self.cluster, bundle, self.deadline)
            .await?;
        let reasons = self.target.reasons();
        self.output = WorkloadOutput {
            bundle_digest: Value::Known(bundle.digest().to_string()),
            machine_id: Value::Known(done.machine_id.clone()),
            proxy_version: done.version.clone().into(),
            bootstrapped_at: Value::Known(Timestamp::now().to_string()),
            ..self.preflight.output(reasons)
        };
        self.warnings.append(done.warnings());
        self.bootstrapped = Some(done);
        Ok(())
    }

    async fn await_connection(&mut self) -> Result<(), Diagnostic> {
        let until = self.deadline.min(Instant::now() + CONNECTED);
        let entry = self.preflight.observed.entry.as_ref();
        let before = entry.map(Connection::from_entry).unwrap_or_default();
        let id = &self.preflight.workload.id;
        match self.cluster.connected(id, &before, until).await {
            Ok(_) => Ok(()),
            Err(error @ ClusterError::NotConnected { .. }) => {
                self.warnings.push(messages::of_cluster(&error).warning());
                Ok(())
            }
            Err(error) => Err(messages::cluster(&error)),
        }
    }

    /// Waits until istiod has a probe's success. An application that does not answer is a warning: the VM is a member
    /// all the same.
    async fn await_health(&mut self) -> Result<(), Diagnostic> {
        let check = self.preflight.workload.health_check.as_ref();
        let delay = check.and_then(|check| check.initial_delay);
        let delay = Duration::from_secs(delay.unwrap_or_default().into());
        let until = self.deadline.min(Instant::now() + delay + ANSWERED);
        match self
            .cluster
            .healthy(&self.preflight.workload.id, until)
            .await
        {
            Ok(_) => Ok(()),
            Err(error @ ClusterError::NotHealthy { .. }) => {
                self.warnings.push(messages::of_cluster(&error).warning());
                Ok(())
            }
            Err(error) => Err(messages::cluster(&error)),
        }
    }

    /// Deletes the objects that the prior input asked for, or that carry the workload's mark, and that this input does
    /// not ask for.
    async fn prune(&mut self) -> Result<(), Diagnostic> {
        let workload = &self.preflight.workload;
        let prior = self.target.prior.and_then(|prior| prior.input.workload());
        let prior = prior.map_or(vec![], |prior| mesh::objects::object_ids(&prior));
        let mark = workload.mark();
        let marked = self
            .preflight
            .observed
            .marked(&workload.id.namespace, &mark);
        let wanted = self.preflight.desired.objects();
        let stale = prior.into_iter().chain(marked);
        let left = self.objects.prune(stale, &wanted).await?;
        self.warnings.append(left);
        Ok(())
    }
}

fn no_ssh() -> Diagnostic {
    let message = Message::new(Code::SshHost).text("ssh is not set.");
    message.at("ssh").error()
}
