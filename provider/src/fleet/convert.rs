//! From what the user wrote to the domain. An unknown value counts as absent.

use mesh::change::Problem;
use mesh::fleet::{Fleet, Group};
use plugin::{Diagnostic, Diagnostics, Paths};

use super::input::{FleetInput, GroupInput};
use crate::diagnose;
use crate::workload::convert::{health_check, ports, services, sidecar, text, texts};

/// Returns the fleet; `None` while its namespace or name is unknown.
pub(crate) fn fleet(input: &FleetInput) -> Option<Fleet> {
    Some(Fleet {
        id: id(input)?,
        services: services(&input.services),
        sidecar: input.sidecar.known().map(sidecar),
        group: input.group.known().and_then(group),
    })
}

/// Returns namespace and name; `None` while one is unknown.
pub(crate) fn id(input: &FleetInput) -> Option<mesh::names::Id> {
    Some(mesh::names::Id {
        namespace: text(&input.namespace)?,
        name: text(&input.name)?,
    })
}

fn group(input: &GroupInput) -> Option<Group> {
    Some(Group {
        labels: texts(&input.labels),
        annotations: input.annotations.known().cloned().unwrap_or_default(),
        service_account: text(&input.service_account).or_else(|| "default".parse().ok())?,
        network: text(&input.network),
        locality: text(&input.locality),
        weight: input.weight.known().copied(),
        ports: ports(&input.ports),
        health_check: input.health_check.known().map(health_check),
    })
}

/// Tells what is wrong with a fleet; what concerns unknown values is dropped.
pub(super) fn invalid(problems: Vec<Problem>, unknown: &Paths) -> Diagnostics {
    let told = diagnose::problems(problems, unknown).into_iter();
    told.map(|told| Diagnostic {
        summary: "Invalid fleet".into(),
        ..told
    })
    .collect()
}
