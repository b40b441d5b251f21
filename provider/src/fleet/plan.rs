//! The plan of a fleet: pure.

use mesh::{Drift, Edit, Effect};
use plugin::{Changed, Value};

use super::convert;
use super::input::FleetInput;
use super::output::{FleetDriftOutput, FleetOutput};
use crate::rule;

/// Plans a create.
pub(super) fn created(next: &FleetInput) -> FleetOutput {
    FleetOutput {
        id: convert::id(next).map_or(Value::Unknown, |id| Value::Known(id.to_string())),
        drift: drift_output(vec![]),
    }
}

/// Plans an update.
pub(super) fn updated(output: &FleetOutput, edits: &[Changed]) -> FleetOutput {
    let edits: Vec<Edit> = edits
        .iter()
        .map(|changed| Edit {
            at: changed.at.to_string(),
            effect: rule::effect(changed.rule),
            cause: None,
            text: None,
        })
        .collect();
    let drift = Drift {
        objects: drift(output),
        vm: vec![],
    };
    match mesh::decide(&edits, &drift, None).effect {
        Effect::Nothing => output.clone(),
        _ => FleetOutput {
            drift: drift_output(vec![]),
            ..output.clone()
        },
    }
}

/// Returns the drift that the state holds.
pub(super) fn drift(output: &FleetOutput) -> Vec<String> {
    let drift = output.drift.known();
    let lines = drift.and_then(|drift| drift.objects.known());
    lines.cloned().unwrap_or_default()
}

/// Returns the drift as the state holds it.
pub(super) fn drift_output(objects: Vec<String>) -> Value<FleetDriftOutput> {
    Value::Known(FleetDriftOutput {
        objects: Value::Known(objects),
    })
}
