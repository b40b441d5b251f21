//! Removing the proxy from a VM.

use mesh::desired::Owner;
use plugin::{Diagnostic, Diagnostics};
use tokio::time::Instant;
use vm::program::{self, Patience, Report, RunId};
use vm::{VmError, Wait};

use super::{Failure, Machine, VmAfterFailure, run_without_token};
use crate::messages::report::{busy, halfway, is_before_the_end, not_removed, unexpected};
use crate::messages::{self, Code, Message};

impl Machine<'_> {
    /// Removes the proxy if it is the owner's, and returns what the user should know. A VM that does not answer any
    /// more is left behind with a warning.
    pub(crate) async fn remove(
        &mut self,
        owner: &Owner,
        until: Instant,
    ) -> Result<Diagnostics, Failure> {
        let outcome = self.run_removal(owner, until).await;
        let vm = if still_serves(&outcome) {
            VmAfterFailure::Untouched
        } else {
            VmAfterFailure::Unknown
        };
        self.removed(owner, outcome)
            .map_err(|diagnostics| Failure { vm, diagnostics })
    }

    /// Runs the removal. The VM goes on alone if the connection is lost. A VM that was restarted meanwhile has
    /// forgotten the run, which then begins again.
    async fn run_removal(&mut self, owner: &Owner, until: Instant) -> Result<Report, VmError> {
        let wait = Wait::Until(until.into_std());
        let run = RunId::generate();
        // The run that holds the lock must be reported within the time that is left, and open requests must end in it.
        let left = until.saturating_duration_since(Instant::now()) / 2;
        let all = Patience::default();
        let patience = Patience {
            lock: all.lock.min(left),
            drain: all.drain.min(left),
            ..all
        };
        let begin = || program::remove(owner, run.clone(), patience);
        let mut payload = begin();
        loop {
            let session = self.session(wait).await?;
            let outcome = run_without_token(&session, &payload).await;
            session.close().await;
            payload = match outcome {
                Err(VmError::Silent { .. } | VmError::Dropped { .. }) if Instant::now() < until => {
                    program::result(run.clone())
                }
                Ok(Report::Lost) if payload.verb() == program::Verb::Result => begin(),
                outcome => return outcome,
            };
        }
    }

    fn removed(
        &self,
        owner: &Owner,
        outcome: Result<Report, VmError>,
    ) -> Result<Diagnostics, Diagnostics> {
        match outcome {
            Ok(Report::Removed { left }) if left.is_empty() => Ok(Diagnostics::none()),
            Ok(Report::Removed { left }) => Ok(files_left(&left).into()),
            Ok(Report::Foreign(other)) => Ok(foreign(owner, &other).into()),
            Ok(Report::Busy { run, verb }) => Err(busy(&run, &verb).into()),
            // It was rebuilt or cleaned already: nothing of ours is on it.
            Ok(Report::Lost) => Ok(Diagnostics::none()),
            Ok(Report::Untouched { step, lines, .. } | Report::Reverted { step, lines, .. }) => {
                Err(not_removed(&step, &lines).into())
            }
            Ok(Report::Halfway { step, lines }) => Err(halfway(&step, &lines).into()),
            Ok(other) => Err(unexpected(&other).into()),
            Err(error) if self.is_away(&error) => {
                Ok(left_behind(&messages::vm(&error).detail).into())
            }
            Err(error) => Err(messages::vm(&error).into()),
        }
    }
}

/// Returns whether a removal left the proxy as it was.
fn still_serves(outcome: &Result<Report, VmError>) -> bool {
    match outcome {
        Ok(Report::Busy { .. } | Report::Untouched { .. }) => true,
        Ok(Report::Reverted { step, .. }) => is_before_the_end(step),
        Err(VmError::Remote { begun, status, .. }) => !begun && status.is_some(),
        _ => false,
    }
}

fn foreign(owner: &Owner, other: &Owner) -> Diagnostic {
    let id = &other.id;
    let text = if owner.id == *id {
        format!(
            "The mark on the VM does not show that its proxy belongs to the WorkloadEntry {id} of this cluster: that \
             entry was deleted, or is in another cluster, or the mark was lost. The proxy was left alone. To remove it, \
             create the workload again, and destroy it."
        )
    } else {
        format!("Its proxy belongs to {id} and was left alone.")
    };
    Message::new(Code::VmForeign).text(text).warning()
}

/// Warns that a VM was left as it is.
pub(crate) fn left_behind(cause: &str) -> Diagnostic {
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
