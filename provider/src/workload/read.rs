//! Read: how the cluster and the VM differ from what should be. It writes nothing.

use std::time::Duration;

use jiff::Timestamp;
use mesh::change::{Drift, Problem};
use mesh::drift::{Expectations, Known};
use mesh::observed::{ObservedObjects, ObservedVm};
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics, Done, Object as _, Value, rule_at};
use tokio::time::{Instant, timeout_at};
use vm::program::{self, Report};
use vm::{VmError, Wait};

use super::archive;
use super::bootstrap::IDLE;
use super::input::WorkloadInput;
use super::join::told;
use super::output::WorkloadOutput;
use super::plan::drift_output;
use super::prepare::Prepared;
use crate::context::Context;
use crate::declared::scalars::CheckOnRefresh;
use crate::declared::ssh::VmAddress;
use crate::messages::report::unexpected;
use crate::messages::{self, Code, Message};
use crate::rule;
use crate::writer::Writer;

/// Summary of the warnings about what stands against the workload by now.
const CONFLICT: &str = "The workload is in conflict with the cluster";
/// What is left of a Read's time for its answer.
const FOR_ANSWER: Duration = Duration::from_secs(3);

/// Reads the workload.
pub(super) async fn read(
    context: &Context,
    input: &WorkloadInput,
    deadline: Instant,
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
    let cluster = context.cluster().await?;
    let workload = input.workload().ok_or_else(messages::incomplete)?;
    let names = mesh::objects::object_ids(&workload);
    let observed = cluster
        .observe(&workload.id, &names)
        .await
        .map_err(|error| messages::cluster(&error))?;
    // Before the facts: a workload whose namespace is gone has none.
    if before.known().is_gone(&observed) {
        *reached = None;
        return Ok(Diagnostics::none());
    }
    let (output, warnings) =
        refreshed(context, input, deadline, before, workload, observed).await?;
    *reached = Some(output);
    Ok(warnings)
}

/// Returns the output with what differs now, as far as that can be told.
async fn refreshed(
    context: &Context,
    input: &WorkloadInput,
    deadline: Instant,
    before: WorkloadOutput,
    workload: Workload,
    observed: ObservedObjects,
) -> Result<(WorkloadOutput, Diagnostics), Diagnostics> {
    let cluster = context.cluster().await?;
    let known = tokio::try_join!(
        cluster.facts(&workload.id, &workload.service_account),
        cluster.others(&workload.id.namespace),
        cluster.objects_of_fleet(workload.fleet.as_ref()),
    );
    let (facts, others, fleet) = match known {
        Ok(known) => known,
        Err(error) if error.is_not_found() => {
            let warning = without_mesh(&error);
            let output = undecided(before, &workload, &observed, &[]);
            return Ok((output, warning.into()));
        }
        Err(error) => return Err(messages::cluster(&error).into()),
    };
    let mut stands_against = mesh::conflicts::conflicts(&workload, &facts, &others);
    stands_against.extend(mesh::conflicts::fleet_conflicts(&workload, &fleet));
    let mut warnings = against(stands_against);
    let desired = match mesh::render::render(&workload, &facts) {
        Ok(desired) => desired,
        Err(problems) => {
            let output = undecided(before, &workload, &observed, &problems);
            return Ok((output, warnings));
        }
    };
    let prepared = Prepared {
        writer: Writer::new(cluster, workload.mark(), &Value::Null, deadline),
        cluster,
        workload,
        facts,
        observed,
        desired,
        replaced: vec![],
        warnings: Diagnostics::none(),
    };
    let until = deadline.checked_sub(FOR_ANSWER).unwrap_or(deadline);
    let seen = timeout_at(until, look(context, input, &prepared, until)).await;
    let seen = seen.unwrap_or_else(|_| Err(silent().into()));
    let mut strange = false;
    let seen = seen.unwrap_or_else(|unseen| {
        warnings.push(unchecked(&unseen.why.detail));
        strange = unseen.strange;
        None
    });
    let known = before.known();
    let mut found = compare(&prepared, &known, input, seen.as_ref());
    if strange {
        known.note_another_host(&mut found.vm);
    }
    if archive::path(input).is_some() {
        found.vm.clear();
    }
    known.note_facts(&mut found.vm, &told(&prepared, vec![]).facts());
    let digest = prepared.desired.bundle.digest().to_string();
    let same = before.bundle_digest.known() == Some(&digest);
    known.keep_held(&mut found.vm, |at| !same || is_unseen(at));
    known.note_removed_values(&mut found.vm);
    Ok((outcome(&prepared, before, &found, seen.as_ref()), warnings))
}

/// Returns how all that was seen differs from what should be.
fn compare(
    prepared: &Prepared<'_>,
    known: &Known,
    input: &WorkloadInput,
    seen: Option<&ObservedVm>,
) -> Drift {
    let expected = Expectations {
        machine_id: known.machine_id.as_deref(),
        version: known.proxy_version.as_deref(),
        now: Timestamp::now(),
        rotate_before: input
            .rotate_before
            .known()
            .map_or(Duration::ZERO, |time| time.0.0),
    };
    let (id, observed) = (&prepared.workload.id, &prepared.observed);
    let mut found = mesh::drift::compare(
        &prepared.desired,
        observed,
        seen.filter(|_| known.is_touched()),
        &expected,
    );
    if seen.is_none() {
        found.vm.clone_from(&known.drift.vm);
    }
    known.keep_unfinished(&mut found.vm);
    if seen.is_none() {
        known.note_missing_entry(&mut found.vm, id, observed);
    }
    found
}

/// Returns the output of a workload of which it is not known what should be.
fn undecided(
    before: WorkloadOutput,
    workload: &Workload,
    observed: &ObservedObjects,
    problems: &[Problem],
) -> WorkloadOutput {
    let found = before.known().without_desired(workload, observed, problems);
    WorkloadOutput {
        id: Value::Known(workload.id.to_string()),
        drift: drift_output(&found),
        ..before
    }
}

/// No drift: an apply could not repair it, and says it again as an error.
fn against(problems: Vec<Problem>) -> Diagnostics {
    let told = problems
        .into_iter()
        .map(|problem| Message::of_problem(&problem).title(CONFLICT).warning());
    told.collect()
}

/// Returns the output with the drift found; what an import left open comes from the facts.
fn outcome(
    prepared: &Prepared<'_>,
    before: WorkloadOutput,
    found: &Drift,
    seen: Option<&ObservedVm>,
) -> WorkloadOutput {
    let drift = drift_output(found);
    if before.spiffe_id.is_null() {
        return WorkloadOutput {
            drift,
            ..told(prepared, vec![])
        };
    }
    WorkloadOutput {
        drift,
        proxy_version: proxy_version(&before, &prepared.workload, seen),
        ..before
    }
}

/// Returns the version that the state keeps: the one on the VM, unless the user asks for a certain one.
fn proxy_version(
    before: &WorkloadOutput,
    workload: &Workload,
    seen: Option<&ObservedVm>,
) -> Value<String> {
    let known = before.known();
    match known.version(workload, seen) {
        Some(version) => Value::Known(version.to_owned()),
        None => before.proxy_version.clone(),
    }
}

/// Whether no comparison finds an edit of an attribute.
pub(crate) fn is_unseen(at: &str) -> bool {
    let rule = rule_at(&WorkloadInput::attributes(), &at.into());
    rule.is_some_and(rule::is_unseen)
}

/// Why a VM could not be looked at.
struct Unseen {
    why: Diagnostic,
    /// Whether another host answered than the one that is trusted.
    strange: bool,
}

impl From<Diagnostic> for Unseen {
    fn from(why: Diagnostic) -> Self {
        let strange = false;
        Self { why, strange }
    }
}

/// Looks at the VM; `None` if there is none or the user wants no look.
async fn look(
    context: &Context,
    input: &WorkloadInput,
    prepared: &Prepared<'_>,
    until: Instant,
) -> Result<Option<ObservedVm>, Unseen> {
    let block = context.ssh().map_err(first)?;
    let never = block
        .check_on_refresh
        .known()
        .is_some_and(|choice| choice.0 == CheckOnRefresh::Never);
    let Some(ssh) = input.ssh.known().filter(|_| !never) else {
        return Ok(None);
    };
    let way = VmAddress::new(ssh, prepared.workload.address.as_ref(), block).map_err(first)?;
    let report = observe(context, &way, prepared, until)
        .await
        .map_err(|error| Unseen {
            strange: way.is_another_host(&error),
            why: messages::vm(&error),
        })?;
    match report {
        Report::Observed(vm) => Ok(Some(vm)),
        other => Err(unexpected(&other).into()),
    }
}

async fn observe(
    context: &Context,
    way: &VmAddress,
    prepared: &Prepared<'_>,
    until: Instant,
) -> Result<Report, VmError> {
    let session = way
        .connect(context, Wait::Briefly(until.into_std()))
        .await?;
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
        .unwrap_or_else(|| Message::new(Code::VmUnchecked).error())
}

fn silent() -> Diagnostic {
    Message::new(Code::VmUnchecked)
        .text("It did not answer within timeouts.read.")
        .error()
}

fn without_mesh(error: &cluster::ClusterError) -> Diagnostic {
    let cause = messages::cluster(error).detail;
    Message::new(Code::MeshUnchecked).text(cause).warning()
}

fn unchecked(why: &str) -> Diagnostic {
    Message::new(Code::VmUnchecked)
        .text(format!(
            "{why}\n\nThe state is kept, including the drift that was found before."
        ))
        .warning()
}
