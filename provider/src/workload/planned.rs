//! What a plan says of the outputs that a bootstrap writes, and how the apply keeps to it: Terraform accepts no other
//! value than the planned one.

use std::collections::BTreeSet;

use mesh::drift::Finding;
use mesh::names::SpiffeId;
use mesh::source::Source;
use plugin::{Diagnostic, Raw, Value, filled, unknown_where};

use super::input::WorkloadInput;
use super::output::{WorkloadOutput, made_of};
use crate::messages::{Code, Message};
use crate::rule::BOOTSTRAP;

/// Returns the outputs before a bootstrap: unknown is what is made of something that is touched, and what no bootstrap
/// has written yet.
pub(super) fn before_bootstrap(
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

/// Returns who the VM will be: its trust domain is the only part that the user does not write.
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

/// Returns the output as it was planned, completed by what the apply reached, and a warning if that differs: the VM
/// then runs on today's facts, and the next refresh names the difference as drift.
pub(super) fn kept(
    planned: &WorkloadOutput,
    reached: &WorkloadOutput,
) -> (WorkloadOutput, Option<Diagnostic>) {
    let kept = filled(planned, reached);
    let lines = kept.facts().compare(&reached.facts());
    let warning = (!lines.is_empty()).then(|| changed_meanwhile(&lines));
    (kept, warning)
}

/// The summary is constant: Terraform groups by it.
fn changed_meanwhile(lines: &[Finding]) -> Diagnostic {
    let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    let text = format!(
        "The cluster's mesh settings changed after the plan was made. The VM uses the current settings, but Terraform \
         accepts only the planned values in its state:{lines}\n\nThe next plan shows these lines as drift, and an \
         apply then corrects the state."
    );
    Message::new(Code::MeshChanged).text(text).warning()
}
