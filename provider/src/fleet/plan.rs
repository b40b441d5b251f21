//! The plan of a fleet: pure.

use mesh::{Drift, Edit, Effect};
use tfplugin::{Stage, Value};

use super::VmFleet;
use super::convert;
use super::output::{FleetDriftOutput, FleetOutput};

/// Plans one stage.
pub(super) fn plan(stage: &Stage<'_, VmFleet>) -> FleetOutput {
    match stage {
        Stage::Create { next } => FleetOutput {
            id: convert::id(next).map_or(Value::Unknown, |id| Value::Known(id.to_string())),
            drift: drift_output(vec![]),
        },
        Stage::Update { output, edits, .. } => {
            let edits: Vec<Edit> = edits
                .iter()
                .map(|changed| Edit {
                    at: changed.at.to_string(),
                    effect: changed.effect,
                    text: None,
                })
                .collect();
            let drift = Drift {
                objects: drift(output),
                vm: vec![],
            };
            match mesh::decide(&edits, &drift, None).effect {
                Effect::Nothing => (*output).clone(),
                _ => FleetOutput {
                    drift: drift_output(vec![]),
                    ..(*output).clone()
                },
            }
        }
        Stage::Delete { output, .. } => (*output).clone(),
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
