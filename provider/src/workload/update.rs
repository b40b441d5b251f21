//! Update in place: the objects alone, or the objects and the VM together.

use cluster::ClusterError;
use mesh::change::{Change, Effect};
use mesh::names::Id;
use plugin::{Diagnostics, Done};
use tokio::time::Instant;
use vm::Wait;

use super::archive;
use super::bootstrap::{Failure, Left};
use super::delete;
use super::join::{connect, joined, look, told, unfinished};
use super::output::WorkloadOutput;
use super::plan::{self, drift_output, held_output, without_vm};
use super::planned;
use super::prepare::Prepared;
use super::stage::Update;
use crate::context::Context;
use crate::messages::{self, Code, Message};

/// Updates the workload in place.
pub(super) async fn update(
    context: &Context,
    update: &Update<'_>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let change = plan::change(update.prior, update.output, update.next, update.edits);
    let planned = plan::outcome(update.output, update.next, update.edits, change.clone());
    let mut told = carry_out(context, update, change, deadline, reached).await?;
    if let Some(output) = reached {
        let (kept, warning) = planned::kept(&planned, output);
        *output = kept;
        told.extend(warning);
    }
    Ok(told)
}

async fn carry_out(
    context: &Context,
    update: &Update<'_>,
    change: Change,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    match change.effect {
        Effect::Nothing => {
            *reached = Some(update.output.clone());
            Ok(Diagnostics::none())
        }
        Effect::Rebootstrap | Effect::Replace if !update.next.ssh.is_null() => {
            let reasons = change.reasons.unwrap_or_default();
            if !update.leaves_a_vm() {
                return rebootstrap(context, update, reasons, deadline, reached).await;
            }
            // A state names one VM: whatever cuts this off, it is the one that is to be cleaned yet.
            let mut moved = None;
            let done = rebootstrap(context, update, reasons, deadline, &mut moved).await;
            *reached = moved.filter(|_| done.is_ok());
            done
        }
        _ => objects(context, update, change, deadline, reached).await,
    }
}

/// Writes the objects only: no connection to the VM is opened, except to one that is left.
async fn objects(
    context: &Context,
    update: &Update<'_>,
    change: Change,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let prepared = Prepared::of_update(context, update, deadline).await?;
    prepared.write(&prepared.desired.objects()).await?;
    prepared.prune(update.prior).await?;
    let mut warnings = Diagnostics::none();
    let path = archive::path(update.next);
    // Carried to from now on, the VM stays what it is.
    if update.next.ssh.is_null() && path.is_none() {
        warnings.append(delete::leave(context, update, &prepared, deadline).await);
    }
    // What the plan kept as it was must come out as it was.
    let output = match path {
        _ if change.effect < Effect::Rebootstrap => update.output.clone(),
        None => without_vm(told(&prepared, vec![])),
        Some(path) => {
            let reasons = change.reasons.unwrap_or_default();
            archive::write(&prepared, path, Some(update.output), reasons).await?
        }
    };
    warnings.append(no_longer(update, &prepared.workload.id));
    *reached = Some(WorkloadOutput {
        drift: held_output(change.held),
        ..output
    });
    Ok(warnings)
}

/// Removes the archive that the prior input asked for, if this one, which is written by now, does not.
fn no_longer(update: &Update<'_>, id: &Id) -> Diagnostics {
    let next = archive::path(update.next);
    let before = archive::path(update.prior);
    before
        .filter(|before| next.is_none_or(|next| !archive::is_same(before, next)))
        .map(|path| archive::remove(path, id, update.output))
        .unwrap_or_default()
}

/// Bootstraps the VM again, with the entry withdrawn meanwhile.
async fn rebootstrap(
    context: &Context,
    update: &Update<'_>,
    reasons: Vec<String>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let mut prepared = Prepared::of_update(context, update, deadline).await?;
    let wait = if update.may_meet_another_machine() {
        Wait::Until(deadline.into_std())
    } else {
        Wait::Briefly(deadline.into_std())
    };
    let Some((way, session)) = connect(context, update.next, wait).await? else {
        return Err(Message::new(Code::SshHost)
            .text("ssh is not set.")
            .at("ssh")
            .error()
            .into());
    };
    let session = look(&prepared, session).await?;
    let before = prepared
        .observed
        .entry
        .as_ref()
        .map(mesh::observed::Connection::from_entry)
        .unwrap_or_default();
    *reached = Some(WorkloadOutput {
        drift: drift_output(&unfinished()),
        ..update.output.clone()
    });
    if let Err(error) = prepared.withdraw().await {
        return Err(go_back(&prepared, update, error.into(), Left::Untouched, reached).await);
    }
    let bootstrap = prepared.bootstrap(context, &way, deadline);
    match bootstrap.run(session).await {
        Ok(done) => {
            let mut warnings =
                joined(&prepared, &before, &done, reasons, deadline, reached).await?;
            prepared.prune(update.prior).await?;
            warnings.append(no_longer(update, &prepared.workload.id));
            // The same machine under another name is not left: what would be cleaned is the new proxy.
            if update.output.machine_id.known() != Some(&done.machine_id) {
                warnings.append(delete::leave(context, update, &prepared, deadline).await);
            }
            Ok(warnings)
        }
        Err(Failure {
            vm: Left::Unknown,
            error,
        }) => Err(error),
        Err(Failure { error, vm }) => Err(go_back(&prepared, update, error, vm, reached).await),
    }
}

impl<'a> Prepared<'a> {
    /// Prepares an update. An object without our mark was imported: it is taken over. Fields that
    /// others changed are taken back if the plan showed them: whoever applied it has agreed.
    async fn of_update(
        context: &'a Context,
        update: &Update<'_>,
        deadline: Instant,
    ) -> Result<Self, Diagnostics> {
        let mut prepared = Self::new(context, update.next, deadline).await?;
        prepared.writer.agreed = update.output.drift().objects;
        prepared.note_imported(update.prior);
        Ok(prepared)
    }
}

/// Gives the objects the form of the prior input again, since the VM runs on that. The prior state
/// then stays as it was, so that the next plan asks for the same change. An entry that another run withdrew, which is
/// at the proxy now, stays so.
async fn go_back(
    prepared: &Prepared<'_>,
    update: &Update<'_>,
    error: Diagnostics,
    vm: Left,
    reached: &mut Option<WorkloadOutput>,
) -> Diagnostics {
    let mut told = error;
    prepared.readmit(&mut told).await;
    let before = prepared
        .rendered(update.prior)
        .map(|desired| {
            if vm == Left::Occupied && prepared.was_withdrawn() {
                desired.withdrawn()
            } else {
                desired.objects()
            }
        })
        .unwrap_or_default();
    let mut went_back = true;
    for object in &before {
        match prepared.writer.write_one(object).await {
            // One that others hold was not written before either.
            Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Exists { .. }) => {}
            Err(error) => {
                went_back = false;
                told.push(messages::cluster(&error));
            }
        }
    }
    let wanted = prepared.desired.objects();
    let added = wanted.iter().rev().filter(|added| {
        let same =
            |object: &mesh::desired::Manifest| (object.kind, &object.id) == (added.kind, &added.id);
        !before.is_empty()
            && !before.iter().any(same)
            && prepared.observed.get(added.kind, &added.id.name).is_none()
    });
    for object in added {
        let gone = [(object.kind, object.id.clone())].into_iter();
        match prepared.writer.delete(gone).await {
            // One that is not ours was never written.
            Ok(()) | Err(ClusterError::Exists { .. }) => {}
            Err(error) => {
                went_back = false;
                told.push(messages::cluster(&error));
            }
        }
    }
    if went_back {
        *reached = None;
    }
    told
}
