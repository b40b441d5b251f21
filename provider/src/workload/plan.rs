//! The plan: pure. It needs no cluster and no VM, and any value may be unknown.

use std::collections::BTreeSet;

use mesh::change::{Change, Drift, Edit, Effect};
use mesh::drift::Finding;
use mesh::names::SpiffeId;
use mesh::source::Source;
use plugin::{Changed, Diagnostic, Planned, Raw, Value, all_unknown, filled, unknown_where};

use super::input::WorkloadInput;
use super::output::{DriftOutput, WorkloadOutput, made_of};
use super::prior::Prior;
use super::steps::Reach;
use crate::declared::scalars::OnDestroy;
use crate::declared::ssh::SshInput;
use crate::messages::{Code, Message};
use crate::rule::{self, BOOTSTRAP};

/// Decides what an update does.
fn change(prior: Prior<'_>, next: &WorkloadInput, edits: &[Changed]) -> Change {
    let mut edits: Vec<Edit> = edits.iter().map(edit).collect();
    if prior.input.ssh.is_null() != next.ssh.is_null() {
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
    // Nothing can be held back without a VM. If `rebootstrap_on` is unknown, neither is what it holds back known.
    let held_back = !next.ssh.is_null() || !next.bundle.is_null();
    let on = next.rebootstrap_on.known().filter(|_| held_back);
    let on = on.map(|causes| causes.iter().map(|cause| cause.0).collect());
    let change = mesh::change::decide(&edits, &prior.output.drift(), on.as_ref());
    if held_back && next.rebootstrap_on == Value::Unknown {
        return Change {
            reasons: None,
            held: None,
            ..change
        };
    }
    change
}

fn edit(changed: &Changed) -> Edit {
    Edit {
        at: changed.at.notation(),
        effect: rule::effect(changed.rule),
        cause: rule::cause(changed.rule),
        text: changed.text(),
    }
}

/// Plans a create.
pub(super) fn created(next: &WorkloadInput) -> Decision {
    let reasons = vec!["created".to_owned()];
    let output = WorkloadOutput {
        id: next
            .id()
            .map_or(Value::Unknown, |id| Value::Known(id.to_string())),
        drift: DriftOutput::of(&Drift::default()),
        last_bootstrap_reasons: match (&next.ssh, &next.bundle) {
            (Value::Known(_), _) | (_, Value::Known(_)) => Value::Known(reasons.clone()),
            _ => Value::Unknown,
        },
        imported_uids: Value::Null,
        ..all_unknown()
    };
    let change = Change {
        effect: Effect::Rebootstrap,
        reasons: Some(reasons),
        held: Some(vec![]),
    };
    Decision {
        change,
        planned: as_reached(output, next),
    }
}

/// Returns the output without what this reach of the VM does not determine.
fn as_reached(output: WorkloadOutput, next: &WorkloadInput) -> WorkloadOutput {
    match Reach::of(next) {
        Reach::Ssh => output,
        Reach::Archive => WorkloadOutput {
            machine_id: Value::Null,
            proxy_version: Value::Null,
            ..output
        },
        Reach::Objects => output.without_vm(),
    }
}

/// What a create or an update does, as the plan decides it and the apply carries it out.
pub(super) struct Decision {
    pub(super) change: Change,
    /// The output after the apply, as far as it can be known before it.
    pub(super) planned: WorkloadOutput,
}

/// Plans an update.
pub(super) fn updated(prior: Prior<'_>, next: &WorkloadInput, edits: &[Changed]) -> Decision {
    let change = change(prior, next, edits);
    let planned = outcome(prior.output, next, edits, change.clone());
    Decision { change, planned }
}

impl From<Decision> for Planned<WorkloadOutput> {
    fn from(Decision { change, planned }: Decision) -> Self {
        let held = change.held.unwrap_or_default();
        let warning = (!held.is_empty()).then(|| held_back(&held));
        Self {
            diagnostics: warning.into_iter().collect(),
            ..Self::new(planned)
        }
    }
}

/// Returns what an update makes of the output, as far as that can be known before it.
fn outcome(
    output: &WorkloadOutput,
    next: &WorkloadInput,
    edits: &[Changed],
    change: Change,
) -> WorkloadOutput {
    if change.effect == Effect::Nothing {
        return output.clone();
    }
    let mut planned = if change.effect >= Effect::Rebootstrap {
        let edits: Vec<String> = edits.iter().map(|edit| edit.at.notation()).collect();
        let touched = mesh::source::touched(edits.iter().map(String::as_str), &output.drift().vm);
        before_bootstrap(output, next, &touched)
    } else {
        output.clone()
    };
    planned.drift = DriftOutput::held(change.held);
    planned.entry_uid = entry_uid(output, change.effect);
    planned.imported_uids = Value::Null;
    if change.effect >= Effect::Rebootstrap {
        planned.last_bootstrap_reasons = change.reasons.map_or(Value::Unknown, Value::Known);
    }
    as_reached(planned, next)
}

/// Returns the UID of the entry after an update, which creates an entry that does not exist. Where only the entry tells
/// which cluster it is, the state takes the UID of what the update writes: somebody may delete the entry after the plan.
fn entry_uid(output: &WorkloadOutput, effect: Effect) -> Value<String> {
    let Drift { objects, vm } = output.drift();
    let is_created = objects.iter().chain(&vm).any(Finding::is_missing_entry);
    let decides = output.namespace_uid.known().is_none() && effect >= Effect::Objects;
    match &output.entry_uid {
        Value::Known(uid) if !is_created && !decides => Value::Known(uid.clone()),
        _ => Value::Unknown,
    }
}

/// Returns the outputs before a bootstrap: unknown is what is made of something that is touched, and what no bootstrap
/// has written yet.
fn before_bootstrap(
    output: &WorkloadOutput,
    next: &WorkloadInput,
    touched: &BTreeSet<Source>,
) -> WorkloadOutput {
    let planned = unknown_where(output, |attribute, value| {
        let is_touched = made_of(attribute.name)
            .iter()
            .any(|of| touched.contains(of));
        attribute.rule == BOOTSTRAP && (is_touched || *value == Raw::Null)
    });
    WorkloadOutput {
        spiffe_id: spiffe_id(&planned.trust_domain, next),
        ..planned
    }
}

/// Returns the SPIFFE ID of the VM. Its trust domain is the only part that the user does not write.
fn spiffe_id(trust_domain: &Value<String>, next: &WorkloadInput) -> Value<String> {
    let account = &next.service_account;
    let known = (trust_domain, next.id(), account != &Value::Unknown);
    let (Value::Known(trust_domain), Some(id), true) = known else {
        return Value::Unknown;
    };
    next.service_account()
        .map_or(Value::Unknown, |service_account| {
            let id = SpiffeId {
                trust_domain: trust_domain.clone(),
                namespace: id.namespace,
                service_account,
            };
            Value::Known(id.to_string())
        })
}

/// Returns the planned output, completed by the apply, and a warning if the facts have changed since the plan: the VM
/// then uses the current facts, and the next refresh reports the difference as drift.
pub(super) fn kept(
    planned: &WorkloadOutput,
    reached: &WorkloadOutput,
) -> (WorkloadOutput, Option<Diagnostic>) {
    let kept = filled(planned, reached);
    let lines = kept.facts().compare(&reached.facts());
    let warning = (!lines.is_empty()).then(|| changed_meanwhile(&lines));
    (kept, warning)
}

/// Warns that the facts have changed since the plan.
fn changed_meanwhile(lines: &[Finding]) -> Diagnostic {
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    let text = format!(
        "The cluster's mesh settings changed after the plan was made. The VM uses the current settings, but Terraform \
         accepts only the planned values in its state:{lines}\n\nThe next plan shows these lines as drift, and an \
         apply then corrects the state."
    );
    Message::new(Code::MeshChanged).text(text).warning()
}

/// Warns of the differences on the VM that are not repaired.
fn held_back(lines: &[Finding]) -> Diagnostic {
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    let text = format!(
        "The VM's configuration is out of date, and rebootstrap_on excludes the cause:{lines}\n\nTo re-bootstrap the \
         VM, add the cause, which each line begins with."
    );
    Message::new(Code::HeldBack)
        .text(text)
        .at("rebootstrap_on")
        .warning()
}

/// Plans a delete: warns of what it leaves behind, which the diff cannot show.
pub(super) fn deleted(prior: &WorkloadInput, output: &WorkloadOutput) -> Planned<WorkloadOutput> {
    let mut planned = Planned::new(output.clone());
    // Nothing else warns of it when a workload is destroyed that is no longer in the configuration.
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
