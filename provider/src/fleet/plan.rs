//! The plan of a fleet: pure.

use mesh::change::{Drift, Edit, Effect};
use mesh::drift::Finding;
use plugin::{Changed, Value};

use super::input::FleetInput;
use super::output::{FleetDriftOutput, FleetOutput};
use crate::rule;

/// Plans a create.
pub(super) fn created(next: &FleetInput) -> FleetOutput {
    FleetOutput {
        id: next
            .id()
            .map_or(Value::Unknown, |id| Value::Known(id.to_string())),
        drift: drift_output(&[]),
        namespace_uid: Value::Unknown,
        imported_uids: Value::Null,
    }
}

/// Plans an update.
pub(super) fn updated(output: &FleetOutput, edits: &[Changed]) -> FleetOutput {
    let edits: Vec<Edit> = edits
        .iter()
        .map(|changed| Edit {
            at: changed.at.notation(),
            effect: rule::effect(changed.rule),
            cause: None,
            text: None,
        })
        .collect();
    let drift = Drift {
        objects: drift(output),
        vm: vec![],
    };
    match mesh::change::decide(&edits, &drift, None).effect {
        Effect::Nothing => output.clone(),
        _ => FleetOutput {
            drift: drift_output(&[]),
            imported_uids: Value::Null,
            ..output.clone()
        },
    }
}

/// Returns the drift that the state holds.
pub(super) fn drift(output: &FleetOutput) -> Vec<Finding> {
    let drift = output.drift.known();
    let lines = drift.and_then(|drift| drift.objects.known());
    let lines = lines.into_iter().flatten();
    lines.map(|line| line.as_str().into()).collect()
}

/// Returns the drift as the state holds it.
pub(super) fn drift_output(objects: &[Finding]) -> Value<FleetDriftOutput> {
    Value::Known(FleetDriftOutput {
        objects: Value::Known(objects.iter().map(Finding::to_string).collect()),
    })
}
