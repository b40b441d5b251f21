//! Read: how the cluster and the VM differ from what should be. It writes nothing.

use jiff::Timestamp;
use mesh::{Drift, ObservedVm};
use tfplugin::{Diagnostic, Diagnostics, Done, Paths};
use tokio::time::Instant;
use vm::program::{self, Report};
use vm::{VmError, Wait};

use super::bootstrap::IDLE;
use super::convert;
use super::input::WorkloadInput;
use super::join::told;
use super::leaf::CheckOnRefresh;
use super::output::WorkloadOutput;
use super::plan::{drift, drift_output};
use super::prepare::Prepared;
use crate::context::Context;
use crate::diagnose;
use crate::report::unexpected;
use crate::ssh::Way;

/// Summary of the one warning about a VM that could not be looked at: constant, so that Terraform groups them.
const UNCHECKED: &str = "The VM was not checked";

/// Reads the workload.
pub(super) async fn read(
    context: &Context,
    input: &WorkloadInput,
    _deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    if !context.is_known() {
        return Ok(unchecked(
            "The provider's configuration is not known yet; the state is kept as it is.",
        )
        .into());
    }
    let Some(before) = reached.clone() else {
        return Ok(Diagnostics::none());
    };
    let prepared = Prepared::of_read(context, input).await?;
    let vm_touched = !before.machine_id.is_null() || !drift(&before).vm.is_empty();
    let observed = &prepared.observed;
    if observed.entry.is_none()
        && observed.services.is_empty()
        && observed.sidecar.is_none()
        && !vm_touched
    {
        *reached = None;
        return Ok(Diagnostics::none());
    }
    let mut warnings = Diagnostics::none();
    let seen = match look(context, input, &prepared).await {
        Ok(seen) => seen,
        Err(why) => {
            warnings.push(unchecked(&why.detail));
            None
        }
    };
    let machine = before.machine_id.known().map(String::as_str);
    let now = Timestamp::now();
    let mut found = mesh::compare(
        &prepared.desired,
        observed,
        seen.as_ref().filter(|_| vm_touched),
        machine,
        now,
    );
    if seen.is_none() {
        found.vm = drift(&before).vm;
    }
    *reached = Some(outcome(&prepared, before, found));
    Ok(warnings)
}

/// Returns the output with the drift found; what an import left open comes from the facts.
fn outcome(prepared: &Prepared<'_>, before: WorkloadOutput, found: Drift) -> WorkloadOutput {
    let drift = drift_output(found);
    if before.spiffe_id.is_null() {
        return WorkloadOutput {
            drift,
            ..told(prepared, vec![])
        };
    }
    WorkloadOutput { drift, ..before }
}

impl<'a> Prepared<'a> {
    /// Prepares a read: what stands against the workload by now is drift of its objects at most.
    async fn of_read(context: &'a Context, input: &WorkloadInput) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        let workload = convert::workload(input)
            .ok_or_else(|| Diagnostic::error("The state is incomplete", ""))?;
        let names = mesh::service_entry_names(&workload);
        let (facts, observed) = tokio::try_join!(
            cluster.facts(&workload.id, &workload.service_account),
            cluster.observe(&workload.id, &names),
        )
        .map_err(|error| diagnose::cluster(&error))?;
        let rendered = mesh::render(&workload, &facts);
        let desired =
            rendered.map_err(|problems| diagnose::problems(problems, &Paths::default()))?;
        Ok(Self {
            cluster,
            workload,
            facts,
            observed,
            desired,
            replaced: vec![],
        imported: vec![],
            force: cluster::Force::Never,
            agreed: vec![],
        })
    }
}

/// Looks at the VM; `None` if there is none or the user wants no look.
async fn look(
    context: &Context,
    input: &WorkloadInput,
    prepared: &Prepared<'_>,
) -> Result<Option<ObservedVm>, Diagnostic> {
    let block = context.ssh().map_err(first)?;
    let never = block
        .check_on_refresh
        .known()
        .is_some_and(|choice| choice.0 == CheckOnRefresh::Never);
    let Some(ssh) = input.ssh.known().filter(|_| !never) else {
        return Ok(None);
    };
    let way = Way::new(ssh, prepared.workload.address.as_ref(), block).map_err(first)?;
    let report = observe(context, &way, prepared)
        .await
        .map_err(|error| diagnose::vm(&error))?;
    match report {
        Report::Observed(vm) => Ok(Some(vm)),
        other => Err(unexpected(&other)),
    }
}

async fn observe(context: &Context, way: &Way, prepared: &Prepared<'_>) -> Result<Report, VmError> {
    let session = way.connect(context, Wait::Once).await?;
    let never = || async { Err::<secrecy::SecretString, _>("a look needs no token") };
    let report = session
        .run(&program::observe(&prepared.desired.bundle), never, IDLE)
        .await;
    session.close().await;
    report
}

fn first(told: Diagnostics) -> Diagnostic {
    told.into_iter()
        .next()
        .unwrap_or_else(|| Diagnostic::error(UNCHECKED, ""))
}

fn unchecked(why: &str) -> Diagnostic {
    Diagnostic::warning(
        UNCHECKED,
        format!("{why}\n\nWhat is known of it is kept, and so is the drift that was seen before."),
    )
}
