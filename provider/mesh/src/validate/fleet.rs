//! Rules of fleets and their members.

use super::metadata::{annotations, annotations_of_group, labels};
use super::problem::problem;
use super::traffic;
use crate::change::Problem;
use crate::desired::Kind;
use crate::fleet::{Fleet, Group};
use crate::health::{self, Probe};
use crate::mark::FLEET_LABEL;
use crate::names::{Address, Id, LabelValue};
use crate::objects::fleet_objects;
use crate::rule::Rule;
use crate::workload::Workload;

/// Returns all problems of a fleet, as [`validate`](crate::validate::validate()) does for a workload.
pub fn validate_fleet(fleet: &Fleet) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = fleet.id.name.as_str();
    if name.parse::<LabelValue>().is_err() {
        let text = format!(
            "The name {name:?} has more than 63 characters, the limit for a value of the label {FLEET_LABEL}. Shorten it."
        );
        problems.push(problem(Rule::FleetName, &["name"], text));
    }
    if fleet_objects(fleet).iter().all(|of| of.kind == Kind::Lease) {
        let text = "The fleet is empty: its members would share nothing. Declare services, sidecar or group.";
        let concerns = ["services", "sidecar", "group"];
        problems.push(problem(Rule::FleetEmpty, &concerns, text.to_owned()));
    }
    traffic::validate(&fleet.as_one(), &mut problems);
    if let Some(group) = &fleet.group {
        problems.extend(self::group(fleet, group));
    }
    problems
}

/// Checks the group: the rules of an entry also apply to the entries that istiod creates from it.
fn group(fleet: &Fleet, group: &Group) -> Vec<Problem> {
    let entry = fleet.entry_of(group);
    let mut problems = Vec::new();
    labels(&entry, &mut problems);
    annotations(&entry, &mut problems);
    annotations_of_group(group, &mut problems);
    if let Some(check) = &group.health_check {
        health::validate(check, &mut problems);
        if check
            .methods
            .iter()
            .any(|of| matches!(of, Probe::Grpc { .. }))
        {
            let text = "Istio rejects a WorkloadGroup with a gRPC probe. Use http, tcp or exec.";
            problems.push(problem(
                Rule::GroupGrpc,
                &["health_check.grpc"],
                text.to_owned(),
            ));
        }
    }
    for problem in &mut problems {
        for at in &mut problem.concerns {
            *at = format!("group.{at}");
        }
    }
    problems
}

/// Checks a member. It must not declare services or a Sidecar besides its fleet: Istio would use the older one of two
/// Sidecars, and only this VM would offer the services.
pub(super) fn member(workload: &Workload, problems: &mut Vec<Problem>) {
    let Some(fleet) = &workload.fleet else {
        return;
    };
    same_namespace(workload, fleet, problems);
    let declared = [
        ("services", !workload.services.is_empty()),
        ("sidecar", workload.sidecar.is_some()),
    ];
    for (at, _) in declared.into_iter().filter(|(_, declared)| *declared) {
        let text = format!(
            "{at} and fleet are both set, but a member uses the {at} of its fleet {fleet}. Move {at} to the \
            mesh_vm_fleet, or remove fleet."
        );
        problems.push(problem(Rule::FleetDeclares, &[at, "fleet"], text));
    }
    if let Some(Address::Fqdn(name)) = &workload.address {
        let text = format!(
            "The address is the name {name}, and a fleet's services list their VMs by IP address, so clients could \
             not reach this one. Use an IP address, or remove fleet."
        );
        problems.push(problem(Rule::FleetNeedsIp, &["address", "fleet"], text));
    }
}

fn same_namespace(workload: &Workload, fleet: &Id, problems: &mut Vec<Problem>) {
    let namespace = &workload.id.namespace;
    if fleet.namespace != *namespace {
        let text = format!(
            "The fleet {fleet} is in another namespace than this workload, {namespace}. Istio selects VMs within a \
             namespace only: use a fleet of {namespace}."
        );
        problems.push(problem(Rule::FleetNamespace, &["fleet", "namespace"], text));
    }
}
