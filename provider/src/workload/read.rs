//! Read: how the cluster and the VM differ from what should be. It writes nothing.

use std::time::Duration;

use jiff::Timestamp;
use mesh::change::{Drift, Problem};
use mesh::desired::{Bundle, Desired};
use mesh::drift::Expectations;
use mesh::facts::Facts;
use mesh::identity::{SeenNamespace, Verdict};
use mesh::names::Address;
use mesh::observed::{ObservedObjects, ObservedVm};
use mesh::rivals::Claims;
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics, Done, Object as _, Value, rule_at};
use tokio::time::{Instant, timeout_at};
use vm::Wait;
use vm::program::Report;

use super::archive;
use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use crate::context::Context;
use crate::declared::scalars::CheckOnRefresh;
use crate::declared::vm_address::VmAddress;
use crate::identity;
use crate::machine::Machine;
use crate::messages::report::unexpected;
use crate::messages::{self, Code, Message};
use crate::objects;
use crate::rule;

/// Summary of the warnings about conflicts.
const CONFLICT: &str = "The workload is in conflict with the cluster";
/// Time reserved for the answer of a read.
const FOR_ANSWER: Duration = Duration::from_secs(3);

/// Reads the workload.
pub(super) async fn read(
    context: &Context,
    input: &WorkloadInput,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    if !context.is_known() {
        let why = no_check("The provider's configuration is not known yet.");
        return Ok(unchecked(&why).into());
    }
    let Some(before) = reached.clone() else {
        return Ok(Diagnostics::none());
    };
    let cluster = context.cluster().await?;
    let workload = input.workload().ok_or_else(messages::incomplete)?;
    let names = mesh::objects::object_ids(&workload);
    let (observed, seen) = tokio::try_join!(
        cluster.observe(&workload.id, &names),
        cluster.namespace(&workload.id.namespace),
    )
    .map_err(|error| messages::cluster(&error))?;
    let verdict = before.identity();
    let verdict = verdict.compare(&workload.id, &seen, observed.entry_uid());
    let unseen = identity::warn_once(context, &seen);
    // In another cluster, nothing else can be said of the workload.
    if let Verdict::Other(how) = verdict {
        let vm = before.drift().vm;
        let objects = vec![how];
        *reached = Some(before.with_drift(&Drift { objects, vm }));
        return Ok(unseen.into_iter().collect());
    }
    // Before the facts: there are none if the namespace is gone.
    if before.known().is_gone(&observed) {
        *reached = None;
        return Ok(unseen.into_iter().collect());
    }
    let known = Known {
        output: before,
        workload,
        observed,
        namespace: seen,
        is_same: verdict == Verdict::Same,
    };
    let (output, mut warnings) = refresh(context, input, known, deadline).await?;
    warnings.extend(unseen);
    *reached = Some(output);
    Ok(warnings)
}

/// A workload that still exists, as the state and the cluster know it.
struct Known {
    output: WorkloadOutput,
    workload: Workload,
    observed: ObservedObjects,
    /// The namespace, which identifies the cluster.
    namespace: SeenNamespace,
    /// Whether it is the cluster that the state knows.
    is_same: bool,
}

/// What should be.
struct Expected {
    facts: Facts,
    desired: Desired,
}

/// Returns the output with what differs now, as far as that can be determined.
async fn refresh(
    context: &Context,
    input: &WorkloadInput,
    known: Known,
    deadline: Instant,
) -> Result<(WorkloadOutput, Diagnostics), Diagnostics> {
    let (workload, cluster) = (&known.workload, context.cluster().await?);
    let claims = Claims::of_workload(workload, known.observed.entry.as_ref(), []);
    let rivals = objects::rivals(cluster, &workload.id.namespace, &claims).await?;
    let asked = tokio::try_join!(
        cluster.facts(&workload.id, &workload.service_account),
        cluster.others(&workload.id.namespace),
        cluster.objects_of_fleet(workload.fleet.as_ref()),
    );
    let (facts, others, fleet) = match asked {
        Ok(answers) => answers,
        Err(error) if error.is_not_found() => {
            let warning = without_mesh(&error);
            return Ok((known.without_expected(&[]), warning.into()));
        }
        Err(error) => return Err(messages::cluster(&error).into()),
    };
    let mut problems = mesh::conflicts::conflicts(workload, &facts, &others);
    problems.extend(mesh::conflicts::fleet_conflicts(workload, &fleet));
    let mut warnings = conflicts(problems);
    let expected = match mesh::render::render(workload, &facts) {
        Ok(desired) => Expected { facts, desired },
        Err(problems) => return Ok((known.without_expected(&problems), warnings)),
    };
    let until = deadline.checked_sub(FOR_ANSWER).unwrap_or(deadline);
    let bundle = &expected.desired.bundle;
    let vm = observe_vm(context, input, (workload.address.as_ref(), bundle), until);
    let vm = timeout_at(until, vm).await;
    let vm = vm.unwrap_or_else(|_| Err(silent().into()));
    let (vm, unobserved) = match vm {
        Ok(vm) => (vm, None),
        Err(unobserved) => (None, Some(unobserved)),
    };
    warnings.extend(unobserved.as_ref().map(|of| unchecked(&of.why)));
    let state = known.output.known();
    let mut found = known.compare(&expected.desired, input, vm.as_ref());
    if unobserved.is_some_and(|of| of.is_another_host) {
        state.note_unexpected_host_key(&mut found.vm);
    }
    if archive::path(input).is_some() {
        found.vm.clear();
    }
    found.objects.extend(mesh::drift::of_rivals(&rivals));
    let now = WorkloadOutput::from_facts(&expected.facts, bundle, vec![]);
    state.note_facts(&mut found.vm, &now.facts());
    let same = known.output.bundle_digest.known() == Some(&bundle.digest().to_string());
    state.keep_held(&mut found.vm, |at| !same || is_unseen(at));
    state.note_removed_values(&mut found.vm);
    // After an import, the outputs come from the facts.
    let output = if known.output.spiffe_id.is_null() {
        now.within(&known.namespace).imported_as(&known.output)
    } else {
        WorkloadOutput {
            proxy_version: known.proxy_version(vm.as_ref()),
            ..known.identified(vm.as_ref())
        }
    };
    Ok((output.with_drift(&found), warnings))
}

impl Known {
    /// Returns how everything that was observed differs from what should be.
    fn compare(&self, desired: &Desired, input: &WorkloadInput, vm: Option<&ObservedVm>) -> Drift {
        let state = self.output.known();
        let rotate_before = input.rotate_before.known();
        let expected = Expectations {
            machine_id: state.machine_id.as_deref(),
            version: state.proxy_version.as_deref(),
            now: Timestamp::now(),
            rotate_before: rotate_before.map_or(Duration::ZERO, |time| time.0.0),
        };
        let ours = vm.filter(|_| state.is_touched());
        let mut found = mesh::drift::compare(desired, &self.observed, ours, &expected);
        if vm.is_none() {
            found.vm.clone_from(&state.drift.vm);
        }
        state.keep_unfinished(&mut found.vm);
        if vm.is_none() {
            state.note_missing_entry(&mut found.vm, &self.workload.id, &self.observed);
        }
        found
    }

    /// Returns the output with the UIDs of the cluster, if it is the one that the state knows, or the one that the mark on
    /// the VM names.
    fn identified(self, vm: Option<&ObservedVm>) -> WorkloadOutput {
        let entry = self.observed.entry_uid();
        let marked = vm.and_then(|vm| vm.owner.as_ref());
        let is_marked = marked
            .is_some_and(|owner| owner.id == self.workload.id && entry == Some(owner.uid.as_str()));
        if self.is_same || is_marked {
            self.output.identified(&self.namespace, entry)
        } else {
            self.output
        }
    }

    /// Returns the output of a workload of which it is not known what should be.
    fn without_expected(self, problems: &[Problem]) -> WorkloadOutput {
        let state = self.output.known();
        let found = state.without_desired(&self.workload, &self.observed, problems);
        let id = Value::Known(self.workload.id.to_string());
        WorkloadOutput {
            id,
            ..self.identified(None).with_drift(&found)
        }
    }

    /// Returns the version that the state keeps: the one on the VM, unless the user asks for a certain one.
    fn proxy_version(&self, vm: Option<&ObservedVm>) -> Value<String> {
        let state = self.output.known();
        match state.version(&self.workload, vm) {
            Some(version) => Value::Known(version.to_owned()),
            None => self.output.proxy_version.clone(),
        }
    }
}

/// Warns of conflicts. They are no drift: an apply could not repair them, and reports them as errors.
fn conflicts(problems: Vec<Problem>) -> Diagnostics {
    let problems = problems.into_iter();
    problems
        .map(|problem| Message::of_problem(&problem).title(CONFLICT).warning())
        .collect()
}

/// Returns whether no comparison finds an edit of this attribute.
pub(crate) fn is_unseen(at: &str) -> bool {
    let rule = rule_at(&WorkloadInput::attributes(), &at.into());
    rule.is_some_and(rule::is_unseen)
}

/// Why a VM could not be observed.
struct Unobserved {
    why: Diagnostic,
    /// Another host answered than the one whose key is pinned.
    is_another_host: bool,
}

impl From<Diagnostic> for Unobserved {
    fn from(why: Diagnostic) -> Self {
        Self {
            why,
            is_another_host: false,
        }
    }
}

/// Observes the VM; `None` if there is none or the user wants no check.
async fn observe_vm(
    context: &Context,
    input: &WorkloadInput,
    (address, bundle): (Option<&Address>, &Bundle),
    until: Instant,
) -> Result<Option<ObservedVm>, Unobserved> {
    let block = context.ssh().map_err(first)?;
    let check = block.check_on_refresh.known();
    let never = check.is_some_and(|choice| choice.0 == CheckOnRefresh::Never);
    let Some(ssh) = input.ssh.known().filter(|_| !never) else {
        return Ok(None);
    };
    let address = VmAddress::new(ssh, address, block).map_err(first)?;
    let machine = Machine::new(address, &context.bastions);
    let wait = Wait::Briefly(until.into_std());
    match machine.observe(bundle, wait).await {
        Ok(Report::Observed(vm)) => Ok(Some(vm)),
        Ok(other) => Err(unexpected(&other).into()),
        Err(error) => Err(Unobserved {
            is_another_host: machine.is_another_host(&error),
            why: messages::vm(&error),
        }),
    }
}

/// Returns the first of several problems.
fn first(problems: Diagnostics) -> Diagnostic {
    let first = problems.into_iter().next();
    first.unwrap_or_else(|| Message::new(Code::VmUnchecked).error())
}

fn silent() -> Diagnostic {
    no_check("It did not answer within timeouts.read.")
}

fn no_check(why: &str) -> Diagnostic {
    Message::new(Code::VmUnchecked).text(why).error()
}

fn without_mesh(error: &cluster::ClusterError) -> Diagnostic {
    let message = messages::of_cluster(error);
    message.under(Code::MeshUnchecked).warning()
}

/// Warns that the VM was not checked. The code of the cause leads to the place to read on.
fn unchecked(why: &Diagnostic) -> Diagnostic {
    let kept = "The state is kept, including the drift that was found before.";
    let detail = format!("{kept}\n\n{}", why.detail);
    Diagnostic::warning(Code::VmUnchecked.title(), detail)
}
