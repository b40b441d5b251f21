//! Taking the proxy off a VM: its traffic first, then the proxy itself, as far as the VM can be reached.

use cluster::{Cluster, Force};
use mesh::desired::{Manifest, Owner};
use mesh::names::Address;
use plugin::{Diagnostic, Diagnostics, Done};
use serde_json::Value;
use tokio::time::Instant;
use vm::program::{self, Patience, Report, RunId};
use vm::{Session, VmError, Wait};

use super::bootstrap::IDLE;
use super::health;
use crate::context::Context;
use crate::declared::ssh::SshInput;
use crate::declared::ssh::VmAddress;
use crate::messages::report::{busy, halfway, is_before_the_end, not_removed, unexpected};
use crate::messages::{self, Code, Message};

/// A VM from which the proxy goes.
pub(super) struct Cleaning<'a> {
    pub(super) context: &'a Context,
    pub(super) ssh: &'a SshInput,
    pub(super) address: Option<&'a Address>,
    pub(super) owner: &'a Owner,
    /// Its entry as observed, and where, if the entry goes, too.
    pub(super) entry: Option<(&'a Cluster, &'a Value)>,
    pub(super) until: Instant,
}

impl Cleaning<'_> {
    /// Cleans the VM; one that does not answer until then is left behind with a warning.
    pub(super) async fn clean(&self, wait: Wait) -> Done {
        let block = self.context.ssh()?;
        let way = VmAddress::new(self.ssh, self.address, block).map_err(without_credential)?;
        match way.connect(self.context, wait).await {
            Ok(session) => {
                self.withdraw().await?;
                let outcome = remove(self.context, &way, session, self.owner, self.until).await;
                let serves = serves_on(&outcome);
                let mut told = removed(outcome, &way);
                if let (true, Err(told)) = (serves, &mut told) {
                    self.readmit(told).await;
                }
                told
            }
            Err(error) if is_away(&error, &way) => {
                Ok(left_behind(&messages::vm(&error).detail).into())
            }
            Err(error) => Err(without_credential(messages::vm(&error).into())),
        }
    }

    /// Takes the VM's traffic away while its proxy still serves what is under way. The entry is
    /// deleted after the proxy is gone: without it, the proxy would drop what it serves.
    async fn withdraw(&self) -> Result<(), Diagnostic> {
        let Some((cluster, entry)) = self.entry else {
            return Ok(());
        };
        let id = &self.owner.id;
        write(
            cluster,
            &mesh::objects::withdrawn(&mesh::objects::as_it_is(id, entry)),
        )
        .await?;
        health::forget(cluster, id, entry).await
    }

    /// Gives it back where the proxy serves on, and tells what stands against that beside why it does.
    async fn readmit(&self, told: &mut Diagnostics) {
        let Some((cluster, entry)) = self.entry else {
            return;
        };
        let id = &self.owner.id;
        if let Err(error) = write(cluster, &mesh::objects::as_it_is(id, entry)).await {
            told.push(error);
        }
        if let Err(error) = health::recall(cluster, id, entry).await {
            told.push(error);
        }
    }
}

/// Whether a removal left the proxy as it was.
fn serves_on(outcome: &Result<Report, VmError>) -> bool {
    match outcome {
        Ok(Report::Busy { .. } | Report::Untouched { .. }) => true,
        Ok(Report::Reverted { step, .. }) => is_before_the_end(step),
        Err(VmError::Remote { begun, status, .. }) => !begun && status.is_some(),
        _ => false,
    }
}

/// Writes of an entry that is about to go what is ours in it, and its annotations whoever owns them.
async fn write(cluster: &Cluster, entry: &Manifest) -> Result<(), Diagnostic> {
    let only = std::slice::from_ref(entry);
    let written = cluster.apply(only, Force::Fields).await;
    written.map(drop).map_err(|error| messages::cluster(&error))
}

/// Whether the machine that was ours does not answer, or no longer, or another one answers.
pub(crate) fn is_away(error: &VmError, way: &VmAddress) -> bool {
    let silent = matches!(
        error.root(),
        VmError::Connect { .. } | VmError::Silent { .. } | VmError::Dropped { .. }
    );
    silent || way.is_another_host(error)
}

/// Removes the proxy. It goes on alone where the connection is lost; a VM that was restarted
/// meanwhile knows nothing of it, and it begins anew.
async fn remove(
    context: &Context,
    way: &VmAddress,
    session: Session,
    owner: &Owner,
    until: Instant,
) -> Result<Report, VmError> {
    let run = RunId::generate();
    // Who is there must be told within the time that is left, and what is under way must end in it.
    let left = until.saturating_duration_since(Instant::now()) / 2;
    let all = Patience::default();
    let patience = Patience {
        lock: all.lock.min(left),
        drain: all.drain.min(left),
        ..all
    };
    let begin = || program::remove(owner, run.clone(), patience);
    let never = || async { Err::<secrecy::SecretString, _>("a removal needs no token") };
    let (mut session, mut payload) = (session, begin());
    loop {
        let outcome = session.run(&payload, never, IDLE).await;
        session.close().await;
        payload = match outcome {
            Err(VmError::Silent { .. } | VmError::Dropped { .. }) if Instant::now() < until => {
                program::result(run.clone())
            }
            Ok(Report::Lost) if payload.verb() == program::Verb::Result => begin(),
            outcome => return outcome,
        };
        session = way.connect(context, Wait::Until(until.into_std())).await?;
    }
}

fn removed(outcome: Result<Report, VmError>, way: &VmAddress) -> Done {
    match outcome {
        Ok(Report::Removed { left }) if left.is_empty() => Ok(Diagnostics::none()),
        Ok(Report::Removed { left }) => Ok(files_left(&left).into()),
        Ok(Report::Foreign(owner)) => Ok(Message::new(Code::VmForeign)
            .text(format!(
                "Its proxy belongs to {} and was left alone.",
                owner.id
            ))
            .warning()
            .into()),
        Ok(Report::Busy { run, verb }) => Err(busy(&run, &verb).into()),
        // It was rebuilt or cleaned already: nothing of ours is on it.
        Ok(Report::Lost) => Ok(Diagnostics::none()),
        Ok(Report::Untouched { step, lines, .. } | Report::Reverted { step, lines, .. }) => {
            Err(not_removed(&step, &lines).into())
        }
        Ok(Report::Halfway { step, lines }) => Err(halfway(&step, &lines).into()),
        Ok(other) => Err(unexpected(&other).into()),
        Err(error) if is_away(&error, way) => Ok(left_behind(&messages::vm(&error).detail).into()),
        Err(error) => Err(messages::vm(&error).into()),
    }
}

pub(super) fn left_behind(cause: &str) -> Diagnostic {
    let text = format!("{cause}\n\nIf the machine still exists, a proxy may still run on it.");
    Message::new(Code::VmLeft).text(text).warning()
}

fn files_left(paths: &[String]) -> Diagnostic {
    let text = "The proxy is gone. These paths stay, because they are not the mesh's own files or could not be \
                removed. Delete by hand what nobody needs.";
    Message::new(Code::VmFilesLeft)
        .text(text)
        .lines(paths)
        .warning()
}

/// Adds the ways out to a destroy that stopped before it deleted anything.
fn without_credential(told: Diagnostics) -> Diagnostics {
    let mut told = told;
    let text = "Fix the error above (for example the credential or host key), then destroy again. To leave the VM \
                unchanged, set on_destroy = \"keep\", apply, and destroy; or remove the workload from the state with \
                `terraform state rm`.";
    told.push(Message::new(Code::DestroyBlocked).text(text).error());
    told
}
