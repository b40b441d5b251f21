//! Create: objects, then the VM, then istiod's word, then the entry in its final form.
//!
//! The state is written ahead of the work: whatever cuts it off, an unfinished bootstrap is a line
//! of drift.

use mesh::change::Drift;
use plugin::{Diagnostic, Diagnostics, Done};
use tokio::time::Instant;
use vm::Wait;

use super::archive;
use super::bootstrap::{Failure, Left};
use super::input::WorkloadInput;
use super::join::{connect, joined, look, told, unfinished};
use super::output::WorkloadOutput;
use super::plan::{drift_output, without_vm};
use super::prepare::Prepared;
use crate::context::Context;
use crate::messages::{Code, Message};

/// Creates the workload.
pub(super) async fn create(
    context: &Context,
    next: &WorkloadInput,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    // What stands against the workload is told before a machine that is still booting is waited for.
    let mut prepared = Prepared::new(context, next, deadline).await?;
    let entry = prepared.observed.entry.as_ref();
    if entry.is_some_and(|entry| !mesh::objects::is_unfinished(&prepared.desired.entry, entry)) {
        return Err(exists(&prepared).into());
    }
    let before = entry
        .map(mesh::observed::Connection::from_entry)
        .unwrap_or_default();
    let vm = connect(context, next, Wait::Until(deadline.into_std())).await?;
    let Some((way, session)) = vm else {
        *reached = Some(begun(&prepared, &Drift::default()));
        if let Err(error) = prepared.write(&prepared.desired.objects()).await {
            return Err(take_back(&prepared, error.into(), reached).await);
        }
        let Some(path) = archive::path(next) else {
            *reached = Some(without_vm(told(&prepared, vec![])));
            return Ok(prepared.warnings);
        };
        return match archive::write(&prepared, path, None, vec!["created".into()]).await {
            Ok(output) => {
                *reached = Some(output);
                Ok(prepared.warnings)
            }
            Err(error) => Err(take_back(&prepared, error, reached).await),
        };
    };
    let session = look(&prepared, session).await?;
    *reached = Some(begun(&prepared, &unfinished()));
    if let Err(error) = prepared.withdraw().await {
        return Err(take_back(&prepared, error.into(), reached).await);
    }
    let bootstrap = prepared.bootstrap(context, &way, deadline);
    match bootstrap.run(session).await {
        Ok(done) => {
            joined(
                &prepared,
                &before,
                &done,
                vec!["created".into()],
                deadline,
                reached,
            )
            .await
        }
        Err(Failure {
            vm: Left::Untouched | Left::Occupied,
            error,
        }) => Err(take_back(&prepared, error, reached).await),
        Err(Failure { vm, mut error }) => {
            if vm == Left::Reverted {
                prepared.readmit(&mut error).await;
            }
            Err(error)
        }
    }
}

/// Takes back what a create wrote while the VM is as it was: no state is left, so nothing is tainted.
async fn take_back(
    prepared: &Prepared<'_>,
    error: Diagnostics,
    reached: &mut Option<WorkloadOutput>,
) -> Diagnostics {
    let mut told = error;
    prepared.readmit(&mut told).await;
    let objects = prepared.desired.objects();
    if prepared.writer.take_back(&objects, &mut told).await {
        *reached = None;
    }
    told
}

fn exists(prepared: &Prepared<'_>) -> Diagnostic {
    let id = &prepared.workload.id;
    let text = format!(
        "The WorkloadEntry {id} already exists. If it belongs to this VM, import it:\n\n  \
         terraform import mesh_vm_workload.NAME {id}\n\nelse choose another name."
    );
    Message::new(Code::WorkloadExists).text(text).error()
}

/// What the state says until the work is done.
fn begun(prepared: &Prepared<'_>, drift: &Drift) -> WorkloadOutput {
    WorkloadOutput {
        drift: drift_output(drift),
        ..told(prepared, vec!["created".into()])
    }
}
