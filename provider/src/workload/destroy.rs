//! Destroy: the VM first, then the objects. What is done is decided by [`steps`]; each step is a function here.

mod taker;

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, Deletion, Force};
use mesh::change::Effect;
use mesh::desired::{Kind as ObjectKind, Owner, UNKNOWN_UID};
use mesh::identity::Verdict;
use mesh::names::Id;
use mesh::reserved::Reserved;
use mesh::withdrawal::Operation;
use mesh::workload::Workload;
use plugin::{Deadline, Diagnostic, Diagnostics, Done};
use serde_json::Value;
use tokio::time::Instant;
use vm::Wait;

use super::archive;
use super::output::WorkloadOutput;
use super::prior::Prior;
use super::runner::{self, Steps};
use super::steps::{Circumstance, Kind, Reach, Step, WayBack, steps};
use crate::context::Context;
use crate::declared::vm_address::VmAddress;
use crate::identity;
use crate::machine::{Failure, Machine, VmAfterFailure, left_behind};
use crate::messages::{self, Code, Message};
use crate::objects;
use crate::run::Run;

/// What is left of the time for the objects, after a VM that does not answer.
const FOR_OBJECTS: Duration = Duration::from_secs(10);

/// Destroys a workload.
pub(super) async fn destroy(
    context: &Context,
    prior: Prior<'_>,
    limit: &Deadline,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let circumstances: &[Circumstance] = match prior.vm_to_clean() {
        Some(_) => &[Circumstance::LeavesVm],
        None => &[],
    };
    let before = Some(Reach::of(prior.input));
    let steps = steps(before, None, Effect::Replace, circumstances);
    // Noted first of all: a create of the same apply waits for it.
    let workload = prior.input.workload().ok_or_else(messages::incomplete)?;
    let _under_way = context.reservations.begin_destroy(&workload.id);
    let mut destroy = Destroy::new(context, prior, limit).await?;
    let run = Arc::clone(&destroy.run);
    let steps = runner::run(Kind::Destroy, &steps, &mut destroy, reached);
    run.alive(steps).await?;
    context
        .reservations
        .give_back(&Reserved::of_workload(&workload));
    *reached = None;
    Ok(destroy.warnings)
}

/// A destroy that is being carried out.
struct Destroy<'a> {
    context: &'a Context,
    cluster: &'a Cluster,
    prior: Prior<'a>,
    limit: &'a Deadline,
    /// Until when the VM is waited for.
    until: Instant,
    deadline: Instant,
    workload: Workload,
    /// The uid of the entry, if it is ours and is deleted.
    uid: Option<String>,
    owner: Owner,
    deletions: Vec<Deletion>,
    /// Objects that stay, because they are not ours.
    foreign: Vec<(ObjectKind, Id)>,
    run: Arc<Run<'a>>,
    /// `None`: not connected, or the VM does not answer any more.
    machine: Option<Machine<'a>>,
    warnings: Diagnostics,
}

impl<'a> Destroy<'a> {
    async fn new(
        context: &'a Context,
        prior: Prior<'a>,
        limit: &'a Deadline,
    ) -> Result<Self, Diagnostics> {
        let deadline = limit.at();
        let cluster = context.cluster().await?;
        let workload = prior.input.workload();
        let workload = workload.ok_or_else(messages::incomplete)?;
        let id = workload.id.clone();
        let mark = workload.mark();
        let names = mesh::objects::object_ids(&workload);
        let (observed, seen) = tokio::try_join!(
            cluster.observe(&id, &names),
            cluster.namespace(&id.namespace),
        )
        .map_err(|error| messages::cluster(&error))?;
        let state = prior.output.identity();
        let verdict = state.compare(&id, &seen, observed.entry_uid());
        identity::refuse_other(&id, &verdict)?;
        let warnings = identity::warn_once(context, &seen).into_iter().collect();
        let entry = observed.entry.as_ref();
        // An entry that somebody deleted is known by the state, if nothing speaks against the cluster.
        let former = state.entry.filter(|_| verdict == Verdict::Same);
        let owner = Owner {
            uid: observed
                .entry_uid()
                .or(former)
                .unwrap_or(UNKNOWN_UID)
                .to_owned(),
            id: id.clone(),
        };
        let ids = names
            .into_iter()
            .chain(observed.marked(&id.namespace, &mark));
        let imported = &prior.output.imported_uids;
        let (deletions, foreign) = objects::deletions(&mark, ids, &observed, imported);
        let mut kinds = deletions.iter().map(|of| of.kind);
        // An import that was never applied stays as it is until it is deleted.
        let is_ours = entry.is_some_and(mesh::mark::is_ours);
        let uid = observed.entry_uid();
        let uid = uid.filter(|_| is_ours && kinds.any(|of| of == ObjectKind::WorkloadEntry));
        Ok(Self {
            context,
            cluster,
            prior,
            limit,
            until: until(deadline),
            deadline,
            uid: uid.map(str::to_owned),
            owner,
            deletions,
            foreign,
            // The entry is about to be deleted, whoever owns its annotations.
            run: Arc::new(Run::new(
                cluster,
                Operation::Destroy,
                Force::Fields,
                deadline,
            )),
            workload,
            machine: None,
            warnings,
        })
    }
}

impl Steps for Destroy<'_> {
    fn state(&self, _: Step) -> Option<WorkloadOutput> {
        None
    }

    async fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Connect => self.connect().await?,
            Step::Withdraw => self.withdraw().await?,
            Step::RemoveProxy => self.remove_proxy().await?,
            Step::DeleteObjects => self.delete_objects().await?,
            Step::RemoveArchive => self.remove_archive(),
            // Only a create or an update has the others.
            _ => {}
        }
        Ok(())
    }

    fn note_failure(&self, _: Step, _: &Failure) {}

    async fn go_back(&self, way: WayBack, _: VmAfterFailure) -> Diagnostics {
        match way {
            WayBack::RestoreTraffic => self.run.restore().await,
            _ => Diagnostics::none(),
        }
    }
}

/// The steps.
impl Destroy<'_> {
    /// Connects to the VM. One that does not answer any more is left behind with a warning.
    async fn connect(&mut self) -> Result<(), Diagnostics> {
        let block = self.context.ssh()?;
        let Some(ssh) = self.prior.vm_to_clean() else {
            return Ok(());
        };
        let address = VmAddress::new(ssh, self.workload.address.as_ref(), block);
        let mut machine = Machine::new(address.map_err(blocked)?, &self.context.bastions);
        let wait = Wait::Until(self.until.into_std());
        match machine.connect(wait).await {
            Ok(()) => self.machine = Some(machine),
            Err(error) if machine.is_away(&error) => {
                let left = left_behind(&messages::vm(&error).detail);
                self.warnings.push(left);
            }
            Err(error) => return Err(blocked(messages::vm(&error).into())),
        }
        Ok(())
    }

    /// Withdraws the VM's traffic while its proxy still serves open requests. The entry is deleted after the proxy is
    /// gone: without it, the proxy would drop them.
    async fn withdraw(&mut self) -> Result<(), Diagnostics> {
        Box::pin(self.await_taker()).await?;
        let Some(uid) = &self.uid else {
            return Ok(());
        };
        let same = |entry: &Value| entry["metadata"]["uid"] == **uid;
        self.run.withdraw(&self.workload.id, same).await?;
        for deletion in &mut self.deletions {
            if deletion.kind == ObjectKind::WorkloadEntry {
                deletion.run = Some(self.run.mark().clone());
            }
        }
        Ok(())
    }

    async fn remove_proxy(&mut self) -> Result<(), Failure> {
        if let Some(machine) = &mut self.machine {
            let warnings = machine.remove(&self.owner, self.until).await?;
            self.warnings.append(warnings);
        }
        Ok(())
    }

    async fn delete_objects(&mut self) -> Result<(), Diagnostic> {
        let id = &self.workload.id;
        if self.uid.is_some() && self.run.is_replaced(id).await? {
            return Err(messages::taken(id));
        }
        let deleted = objects::delete(self.cluster, &self.deletions, self.deadline).await;
        deleted.map_err(|error| messages::cluster(&error))?;
        let mark = self.workload.mark();
        let foreign = self.foreign.iter();
        self.warnings
            .extend(foreign.map(|of| objects::not_ours(&mark, of)));
        Ok(())
    }

    fn remove_archive(&mut self) {
        if let Some(path) = archive::path(self.prior.input) {
            let removed = archive::remove(&path, &self.workload.id, self.prior.output);
            self.warnings.append(removed);
        }
    }
}

/// Returns until when the VM is waited for: the rest of the time is for the objects.
fn until(deadline: Instant) -> Instant {
    deadline.checked_sub(FOR_OBJECTS).unwrap_or(deadline)
}

/// Adds what the user can do about a destroy that stopped before it deleted anything.
fn blocked(diagnostics: Diagnostics) -> Diagnostics {
    let mut diagnostics = diagnostics;
    let text = "Fix the error above (for example the credential or host key), then destroy again. To leave the VM \
                unchanged, set on_destroy = \"keep\", apply, and destroy; or remove the workload from the state with \
                `terraform state rm`.";
    diagnostics.push(Message::new(Code::DestroyBlocked).text(text).error());
    diagnostics
}
