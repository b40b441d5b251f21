//! The plan: pure. It works with no cluster, no VM and an address that is not known yet.

use mesh::change::{Change, Drift, Edit, Effect};
use mesh::drift::Finding;
use plugin::{Changed, Diagnostic, Diagnostics, Planned, Value, all_unknown};

use super::input::WorkloadInput;
use super::output::{DriftOutput, WorkloadOutput};
use super::planned;
use crate::declared::scalars::OnDestroy;
use crate::declared::ssh::SshInput;
use crate::messages::{Code, Message};
use crate::rule;

/// Decides what an update does. The apply decides by the same edits again.
pub(crate) fn change(
    prior: &WorkloadInput,
    output: &WorkloadOutput,
    next: &WorkloadInput,
    edits: &[Changed],
) -> Change {
    let mut edits: Vec<Edit> = edits.iter().map(edit).collect();
    if prior.ssh.is_null() != next.ssh.is_null() {
        let text = if next.ssh.is_null() {
            "removed"
        } else {
            "added"
        };
        edits.push(Edit {
            at: "ssh".into(),
            effect: Effect::Rebootstrap,
            cause: None,
            text: Some(text.into()),
        });
    }
    // Where there is no VM, nothing is held back; and what may be is not known yet.
    let held_back = !next.ssh.is_null() || !next.bundle.is_null();
    let on = next.rebootstrap_on.known().filter(|_| held_back);
    let on = on.map(|causes| causes.iter().map(|cause| cause.0).collect());
    let change = mesh::change::decide(&edits, &output.drift(), on.as_ref());
    if held_back && next.rebootstrap_on == Value::Unknown {
        return Change {
            reasons: None,
            held: None,
            ..change
        };
    }
    change
}

/// Returns the drift as the state holds it.
pub(crate) fn drift_output(drift: &Drift) -> Value<DriftOutput> {
    let lines =
        |findings: &[Finding]| Value::Known(findings.iter().map(Finding::to_string).collect());
    Value::Known(DriftOutput {
        objects: lines(&drift.objects),
        vm: lines(&drift.vm),
    })
}

/// Returns the drift after an apply: what was held back.
pub(crate) fn held_output(held: Option<Vec<Finding>>) -> Value<DriftOutput> {
    let drift = held.map(|vm| Drift {
        objects: vec![],
        vm,
    });
    drift.map_or(Value::Unknown, |drift| drift_output(&drift))
}

fn edit(changed: &Changed) -> Edit {
    Edit {
        at: changed.at.to_string(),
        effect: rule::effect(changed.rule),
        cause: rule::cause(changed.rule),
        text: changed.text(),
    }
}

/// Plans a create.
pub(super) fn created(next: &WorkloadInput) -> Planned<WorkloadOutput> {
    let output = WorkloadOutput {
        id: next
            .id()
            .map_or(Value::Unknown, |id| Value::Known(id.to_string())),
        drift: drift_output(&Drift::default()),
        last_bootstrap_reasons: match (&next.ssh, &next.bundle) {
            (Value::Known(_), _) | (_, Value::Known(_)) => Value::Known(vec!["created".into()]),
            _ => Value::Unknown,
        },
        ..all_unknown()
    };
    Planned::new(as_reached(output, next))
}

/// Returns the output as far as the VM is reached: not at all, by an archive, or by SSH.
fn as_reached(output: WorkloadOutput, next: &WorkloadInput) -> WorkloadOutput {
    match (next.ssh.is_null(), next.bundle.is_null()) {
        (false, _) => output,
        (true, false) => WorkloadOutput {
            machine_id: Value::Null,
            proxy_version: Value::Null,
            ..output
        },
        (true, true) => without_vm(output),
    }
}

/// Plans an update.
pub(super) fn updated(
    prior: &WorkloadInput,
    output: &WorkloadOutput,
    next: &WorkloadInput,
    edits: &[Changed],
) -> Planned<WorkloadOutput> {
    let change = change(prior, output, next, edits);
    let held = change.held.as_deref().unwrap_or_default();
    let diagnostics = if held.is_empty() {
        Diagnostics::none()
    } else {
        held_back(held).into()
    };
    Planned {
        diagnostics,
        ..Planned::new(outcome(output, next, edits, change))
    }
}

/// Returns what an update makes of the output, as far as that can be known before it.
pub(super) fn outcome(
    output: &WorkloadOutput,
    next: &WorkloadInput,
    edits: &[Changed],
    change: Change,
) -> WorkloadOutput {
    if change.effect == Effect::Nothing {
        return output.clone();
    }
    let mut planned = if change.effect >= Effect::Rebootstrap {
        let edits: Vec<String> = edits.iter().map(|edit| edit.at.to_string()).collect();
        let touched = mesh::source::touched(edits.iter().map(String::as_str), &output.drift().vm);
        planned::before_bootstrap(output, next, &touched)
    } else {
        output.clone()
    };
    planned.drift = held_output(change.held);
    if change.effect >= Effect::Rebootstrap {
        planned.last_bootstrap_reasons = change.reasons.map_or(Value::Unknown, Value::Known);
    }
    as_reached(planned, next)
}

/// Tells what differs on the VM and stays so. The summary is constant: Terraform groups by it.
fn held_back(lines: &[Finding]) -> Diagnostic {
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    let text = format!(
        "The VM's configuration is out of date, and rebootstrap_on excludes the cause:{lines}\n\nTo re-bootstrap the \
         VM, add the cause, which each line begins with."
    );
    Message::new(Code::HeldBack).text(text).warning()
}

/// Returns the output of a workload of which only the objects are ours.
pub(crate) fn without_vm(output: WorkloadOutput) -> WorkloadOutput {
    WorkloadOutput {
        bundle_digest: Value::Null,
        machine_id: Value::Null,
        proxy_version: Value::Null,
        bootstrapped_at: Value::Null,
        last_bootstrap_reasons: Value::Known(vec![]),
        ..output
    }
}

/// Plans a delete: tells what it will leave behind, where the diff cannot show it.
pub(super) fn deleted(prior: &WorkloadInput, output: &WorkloadOutput) -> Planned<WorkloadOutput> {
    let mut planned = Planned::new(output.clone());
    // A destroy of what is no longer in the configuration has nothing else that tells it.
    planned.diagnostics.append(
        prior
            .ssh
            .known()
            .map(SshInput::unverified)
            .unwrap_or_default(),
    );
    if prior
        .on_destroy
        .known()
        .is_some_and(|choice| choice.0 == OnDestroy::Keep)
        && !prior.ssh.is_null()
    {
        planned.diagnostics.push(
            Message::new(Code::VmKept).text(
                "on_destroy is \"keep\": the proxy keeps running on the VM after its objects are deleted. Istio \
                 rejects it once its certificate expires.",
            )
            .at("on_destroy")
            .warning(),
        );
    }
    if prior.ssh.is_null() && !prior.bundle.is_null() {
        planned.diagnostics.push(
            Message::new(Code::VmKept).text(
                "It joined with an archive, so Terraform cannot reach it: the proxy keeps running there after its \
                 objects are deleted. Run `sh install.sh remove` on the VM, where the archive was unpacked.",
            )
            .at("bundle")
            .warning(),
        );
    }
    planned
}
