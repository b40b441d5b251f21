//! Destroy: the VM first, then the objects. And leaving a VM that is no longer the workload's.

use std::time::Duration;

use cluster::{Cluster, Force};
use mesh::{Address, Kind, Manifest, ObservedObjects, Owner};
use serde_json::Value;
use tfplugin::{Diagnostic, Diagnostics, Done};
use tokio::time::Instant;
use vm::program::{self, Patience, Report, RunId};
use vm::{Session, VmError, Wait};

use super::archive;
use super::bootstrap::IDLE;
use super::convert;
use super::health;
use super::input::{SshInput, WorkloadInput};
use super::leaf::OnDestroy;
use super::output::WorkloadOutput;
use super::plan;
use super::prepare::Prepared;
use super::update::Update;
use crate::context::Context;
use crate::diagnose;
use crate::report::{busy, halfway, not_removed, unexpected};
use crate::ssh::Way;
use crate::writer;

/// What is left of the time for the objects, after a VM that does not answer.
const FOR_OBJECTS: Duration = Duration::from_secs(10);

/// Deletes the workload.
pub(super) async fn delete(
    context: &Context,
    prior: &WorkloadInput,
    output: &WorkloadOutput,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let cluster = context.cluster().await?;
    let workload = convert::workload(prior)
        .ok_or_else(|| Diagnostic::error("The state is incomplete", "It names no workload."))?;
    let names = mesh::object_ids(&workload);
    let observed = cluster
        .observe(&workload.id, &names)
        .await
        .map_err(|error| diagnose::cluster(&error))?;
    let mark = workload.mark();
    let ids = mesh::object_ids(&workload)
        .into_iter()
        .chain(observed.marked(&workload.id.namespace, &mark));
    let (doomed, foreign) = writer::doomed(&mark, ids, &observed, is_imported(&observed));
    let mut warnings = Diagnostics::none();
    if let Some(ssh) = touched(prior, output) {
        let owner = Owner {
            uid: uid(&observed),
            id: workload.id.clone(),
        };
        let entry = doomed.iter().any(|of| of.kind == Kind::WorkloadEntry);
        let cleaning = Cleaning {
            context,
            ssh,
            address: workload.address.as_ref(),
            owner: &owner,
            entry: observed
                .entry
                .as_ref()
                .filter(|_| entry)
                .map(|of| (cluster, of)),
            until: deadline.checked_sub(FOR_OBJECTS).unwrap_or(deadline),
        };
        let wait = Wait::Until(cleaning.until.into_std());
        warnings.append(cleaning.clean(wait).await?);
    }
    cluster
        .delete(&doomed)
        .await
        .map_err(|error| diagnose::cluster(&error))?;
    if let Some(path) = archive::path(prior) {
        warnings.append(archive::remove(path));
    }
    for of in &foreign {
        warnings.push(writer::not_ours(&mark, of));
    }
    *reached = None;
    Ok(warnings)
}

/// Cleans the VM that an update leaves, as far as it can: the new one is in place already.
pub(super) async fn leave(
    context: &Context,
    update: &Update<'_>,
    prepared: &Prepared<'_>,
    deadline: Instant,
) -> Diagnostics {
    let left = touched(update.prior, update.output).filter(|_| leaves(update));
    let Some(ssh) = left else {
        return Diagnostics::none();
    };
    let owner = Owner {
        uid: prepared.facts.entry_uid.clone().unwrap_or_default(),
        id: prepared.workload.id.clone(),
    };
    let address = update
        .prior
        .address
        .known()
        .map(|address| address.0.clone());
    // Not waited for: an address that moved to another machine never answers again.
    let cleaning = Cleaning {
        context,
        ssh,
        address: address.as_ref(),
        owner: &owner,
        entry: None,
        until: deadline,
    };
    match cleaning.clean(Wait::Once).await {
        Ok(warnings) => warnings,
        Err(told) => told
            .into_iter()
            .map(|told| left_behind(&told.detail))
            .collect(),
    }
}

/// Whether an update leaves the VM that the workload was on, one that we changed and are to clean.
pub(super) fn leaves(update: &Update<'_>) -> bool {
    let host = |input: &WorkloadInput| {
        let ssh = input.ssh.known()?;
        ssh.host
            .known()
            .cloned()
            .or_else(|| input.address.known().map(|address| address.0.to_string()))
    };
    touched(update.prior, update.output).is_some() && host(update.prior) != host(update.next)
}

/// Returns where the VM is, if we ever changed it and are to clean it.
fn touched<'a>(prior: &'a WorkloadInput, output: &WorkloadOutput) -> Option<&'a SshInput> {
    let keep = prior
        .on_destroy
        .known()
        .is_some_and(|choice| choice.0 == OnDestroy::Keep);
    let touched = !output.machine_id.is_null() || !plan::drift(output).vm.is_empty();
    prior.ssh.known().filter(|_| touched && !keep)
}

/// A VM from which the proxy goes.
struct Cleaning<'a> {
    context: &'a Context,
    ssh: &'a SshInput,
    address: Option<&'a Address>,
    owner: &'a Owner,
    /// Its entry as observed, and where, if the entry goes, too.
    entry: Option<(&'a Cluster, &'a Value)>,
    until: Instant,
}

impl Cleaning<'_> {
    /// Cleans the VM; one that does not answer until then is left behind with a warning.
    async fn clean(&self, wait: Wait) -> Done {
        let block = self.context.ssh()?;
        let way = Way::new(self.ssh, self.address, block).map_err(without_credential)?;
        match way.connect(self.context, wait).await {
            Ok(session) => {
                self.withdraw().await?;
                let outcome = remove(self.context, &way, session, self.owner, self.until).await;
                if matches!(outcome, Ok(Report::Busy { .. })) {
                    self.readmit().await?;
                }
                removed(outcome)
            }
            Err(error) if is_away(&error) => Ok(left_behind(&diagnose::vm(&error).detail).into()),
            Err(error) => Err(without_credential(diagnose::vm(&error).into())),
        }
    }

    /// Takes the VM's traffic away while its proxy still serves what is under way. The entry is
    /// deleted after the proxy is gone: without it, the proxy would drop what it serves.
    async fn withdraw(&self) -> Result<(), Diagnostic> {
        let Some((cluster, entry)) = self.entry else {
            return Ok(());
        };
        let id = &self.owner.id;
        write(cluster, &mesh::withdrawn(&mesh::as_it_is(id, entry))).await?;
        health::forget(cluster, id, entry).await
    }

    /// Gives it back where the VM was not touched.
    async fn readmit(&self) -> Result<(), Diagnostic> {
        let Some((cluster, entry)) = self.entry else {
            return Ok(());
        };
        let id = &self.owner.id;
        write(cluster, &mesh::as_it_is(id, entry)).await?;
        health::recall(cluster, id, entry).await
    }
}

/// Writes an entry that is about to go, whoever owns its fields.
async fn write(cluster: &Cluster, entry: &Manifest) -> Result<(), Diagnostic> {
    let only = std::slice::from_ref(entry);
    let written = cluster.apply(only, Force::Fields).await;
    written.map(drop).map_err(|error| diagnose::cluster(&error))
}

/// Whether the machine that was ours does not answer, or no longer, or another one answers.
fn is_away(error: &VmError) -> bool {
    matches!(
        error.root(),
        VmError::Connect { .. }
            | VmError::HostKey { .. }
            | VmError::Silent { .. }
            | VmError::Dropped { .. }
    )
}

/// Removes the proxy. It goes on alone where the connection is lost; a VM that was restarted
/// meanwhile knows nothing of it, and it begins anew.
async fn remove(
    context: &Context,
    way: &Way,
    session: Session,
    owner: &Owner,
    until: Instant,
) -> Result<Report, VmError> {
    let run = RunId::generate();
    let begin = || program::remove(owner, run.clone(), Patience::default());
    let never = || async { Err::<secrecy::SecretString, _>("a removal needs no token") };
    let (mut session, mut payload) = (session, begin());
    loop {
        let outcome = session.run(&payload, never, IDLE).await;
        session.close().await;
        payload = match outcome {
            Err(VmError::Silent { .. } | VmError::Dropped { .. }) if Instant::now() < until => {
                program::result(run.clone())
            }
            Ok(Report::Lost) if payload.verb() == "result" => begin(),
            outcome => return outcome,
        };
        session = way.connect(context, Wait::Until(until.into_std())).await?;
    }
}

fn removed(outcome: Result<Report, VmError>) -> Done {
    match outcome {
        Ok(Report::Removed { left }) if left.is_empty() => Ok(Diagnostics::none()),
        Ok(Report::Removed { left }) => Ok(left_behind(&format!(
            "These paths could not be removed: {}.",
            left.join(", ")
        ))
        .into()),
        Ok(Report::Foreign(owner)) => Ok(Diagnostic::warning(
            "The VM belongs to another workload",
            diagnose::coded(
                "vm-foreign",
                &format!("Its proxy is that of {} and was left alone.", owner.id),
            ),
        )
        .into()),
        Ok(Report::Busy { run, verb }) => Err(busy(&run, &verb).into()),
        // It was rebuilt or cleaned already: nothing of ours is on it.
        Ok(Report::Lost) => Ok(Diagnostics::none()),
        Ok(Report::Reverted { step, lines, .. }) => Err(not_removed(&step, &lines).into()),
        Ok(Report::Halfway { step, lines }) => Err(halfway(&step, &lines).into()),
        Ok(other) => Err(unexpected(&other).into()),
        Err(error) if is_away(&error) => Ok(left_behind(&diagnose::vm(&error).detail).into()),
        Err(error) => Err(diagnose::vm(&error).into()),
    }
}

fn left_behind(cause: &str) -> Diagnostic {
    Diagnostic::warning(
        "The VM was not cleaned",
        diagnose::coded(
            "vm-left",
            &format!("{cause}\n\nIf the machine still exists, a proxy may still run on it."),
        ),
    )
}

/// Adds the ways out to a destroy that stopped before it deleted anything.
fn without_credential(told: Diagnostics) -> Diagnostics {
    let mut told = told;
    told.push(Diagnostic::error(
        "The VM could not be cleaned, so nothing was deleted",
        diagnose::coded(
            "destroy-blocked",
            "Give a working credential in the provider block's ssh and destroy again. To leave the VM as it is, set \
             on_destroy = \"keep\", apply, and destroy; or forget the workload with `terraform state rm`.",
        ),
    ));
    told
}

fn uid(observed: &ObservedObjects) -> String {
    let uid = observed
        .entry
        .as_ref()
        .and_then(|entry| entry["metadata"]["uid"].as_str());
    uid.unwrap_or_default().to_owned()
}

/// After an import without an apply, nothing carries our mark yet: then what the state names is ours.
fn is_imported(observed: &ObservedObjects) -> bool {
    let entry = observed.entry.as_ref();
    entry.is_some_and(|entry| !cluster::is_ours(entry))
}
