//! Rules that need the cluster: asked before anything is written.

use std::net::IpAddr;

use serde_json::Value;

use crate::change::Problem;
use crate::facts::{Facts, Other};
use crate::fleet::Fleet;
use crate::mark::Mark;
use crate::names::Id;
use crate::objects::{service_entry_name, sidecar_name};
use crate::observed::ObservedObjects;
use crate::rule::Rule;
use crate::workload::{Interception, Workload};

/// Returns what stands against the workload in this cluster. `others` may hold entries of any
/// namespace, and the workload's own.
pub fn conflicts(workload: &Workload, facts: &Facts, others: &[Other]) -> Vec<Problem> {
    let account = (facts.service_account_exists == Some(false)).then(|| no_account(workload));
    let root = (!facts.root.0.contains("-----BEGIN CERTIFICATE-----")).then(|| no_root(workload));
    let taken = others
        .iter()
        .filter(|other| other.id != workload.id)
        .filter_map(|other| taken(workload, other));
    account.into_iter().chain(root).chain(taken).collect()
}

/// Returns what stands against a member of a fleet, of which `objects` are there: that there is none, or that the
/// application would not be reached.
pub fn fleet_conflicts(workload: &Workload, objects: &[Value]) -> Vec<Problem> {
    let Some(fleet) = &workload.fleet else {
        return vec![];
    };
    if objects.is_empty() {
        return vec![Problem {
            concerns: vec!["fleet".to_owned()],
            rule: Rule::FleetMissing,
            text: format!(
                "The fleet {fleet} has no objects in the cluster, so this VM would have neither services nor a \
                 Sidecar. Create the mesh_vm_fleet first, e.g. by fleet = mesh_vm_fleet.NAME.id."
            ),
        }];
    }
    if workload.proxy.interception != Interception::Tproxy {
        return vec![];
    }
    let listeners = objects
        .iter()
        .filter_map(|of| of["spec"]["ingress"].as_array());
    let endpoints = listeners
        .flatten()
        .filter_map(|of| of["defaultEndpoint"].as_str());
    let unreached = endpoints.filter(|at| !at.starts_with("0.0.0.0:") && !at.starts_with("[::]:"));
    unreached.map(|at| unreached_by_tproxy(fleet, at)).collect()
}

/// What `tproxy-loopback` tells of a workload's own services, before any cluster is asked.
fn unreached_by_tproxy(fleet: &Id, at: &str) -> Problem {
    Problem {
        concerns: ["proxy.interception", "fleet"].map(str::to_owned).into(),
        rule: Rule::FleetLoopback,
        text: format!(
            "The Sidecar of the fleet {fleet} forwards to {at}. With tproxy, the application sees the client's \
             address, and such traffic cannot reach it there. Let it listen on the VM's own address and set \
             app_address of the fleet's services to 0.0.0.0 or ::, or set proxy.interception to redirect."
        ),
    }
}

/// Returns the services whose `ServiceEntry`, and the Sidecar, which another workload or fleet of ours
/// has: `a` with the service `b-c` and `a-b` with the service `c` make the same name.
pub fn taken_services(workload: &Workload, observed: &ObservedObjects) -> Vec<Problem> {
    taken_of(&workload.mark(), workload, observed)
}

/// Returns the objects of a fleet that a workload or another fleet of ours has.
pub fn taken_objects(fleet: &Fleet, observed: &ObservedObjects) -> Vec<Problem> {
    taken_of(&fleet.mark(), &fleet.as_one(), observed)
}

fn taken_of(mark: &Mark, workload: &Workload, observed: &ObservedObjects) -> Vec<Problem> {
    let (own, namespace) = (&workload.id.name, &workload.id.namespace);
    let other = |object: &Value| Mark::of(object).filter(|other| other != mark);
    let services = workload.services.iter().filter_map(|(service, of)| {
        let name = service_entry_name(own, service, of)?;
        let other = other(observed.services.get(&name)?)?;
        Some(Problem {
            concerns: vec![format!("services.{service}")],
            rule: Rule::ServiceEntryTaken,
            text: format!(
                "The ServiceEntry {namespace}/{name} already belongs to the {other}: their combined names are the \
                 same. Rename this service."
            ),
        })
    });
    let sidecar = workload.sidecar.as_ref().and_then(|sidecar| {
        let name = sidecar_name(workload, sidecar);
        let other = other(observed.sidecars.get(&name)?)?;
        Some(Problem {
            concerns: vec!["sidecar".to_owned()],
            rule: Rule::SidecarTaken,
            text: format!(
                "The Sidecar {namespace}/{name} already belongs to the {other}. Set a different sidecar.name here."
            ),
        })
    });
    services.chain(sidecar).collect()
}

/// Returns the addresses that no interface of the workload's VM may have: istiod also finds a proxy's
/// entry by these, and would take the VM for another one.
pub fn taken_addresses(workload: &Workload, others: &[Other]) -> Vec<(IpAddr, Id)> {
    let in_the_way = others
        .iter()
        .filter(|other| other.id != workload.id && !is_apart(workload, other));
    in_the_way
        .filter_map(|other| Some((other.address.ip()?, other.id.clone())))
        .collect()
}

/// Returns the entries whose VM the workload takes over: those of ours in its namespace with its
/// address. While they take traffic, istiod gives their labels to the VM's new proxy, too.
pub fn replaced<'a>(workload: &Workload, others: &'a [Other]) -> Vec<&'a Id> {
    let near = |other: &&Other| {
        other.ours
            && other.id.namespace == workload.id.namespace
            && other.id != workload.id
            && workload.address.as_ref() == Some(&other.address)
    };
    others.iter().filter(near).map(|other| &other.id).collect()
}

fn no_account(workload: &Workload) -> Problem {
    let (account, namespace) = (&workload.service_account, &workload.id.namespace);
    Problem {
        concerns: vec!["service_account".to_owned()],
        rule: Rule::ServiceAccountExists,
        text: format!(
            "There is no service account {account} in the namespace {namespace}, so istiod would not issue a \
             certificate to the VM. Create it, or use one that exists."
        ),
    }
}

fn no_root(workload: &Workload) -> Problem {
    let namespace = &workload.id.namespace;
    Problem {
        concerns: vec!["namespace".to_owned()],
        rule: Rule::TrustRootExists,
        text: format!(
            "The mesh's root certificate in the namespace {namespace} contains no certificate, so the VM \
             could not verify istiod. istiod writes it: check that istiod runs and watches this namespace."
        ),
    }
}

/// istiod finds a proxy's entry by IP address: within a namespace two with the same are not told
/// apart, whatever their name or network. Across namespaces the network tells them apart.
///
/// An entry of ours in the same namespace is no obstacle: with `create_before_destroy` and a new
/// name the old one goes right after, and the VM is taken over by the bootstrap. Where it stays by
/// mistake, its next plan says that the proxy belongs to another workload.
fn taken(workload: &Workload, other: &Other) -> Option<Problem> {
    if is_apart(workload, other) {
        return None;
    }
    let address = &other.address;
    let concern = if workload.address.as_ref() == Some(address) {
        "address"
    } else if workload.instance_ip.is_some() && workload.instance_ip == address.ip() {
        "instance_ip"
    } else {
        return None;
    };
    Some(Problem {
        concerns: vec![concern.to_owned()],
        rule: Rule::AddressTaken,
        text: format!(
            "The address {address} already belongs to the WorkloadEntry {}. istiod finds a VM by its address and \
             could not distinguish the two. Use another address, or remove that entry first.",
            other.id
        ),
    })
}

fn is_apart(workload: &Workload, other: &Other) -> bool {
    if other.id.namespace == workload.id.namespace {
        other.ours
    } else {
        other.network != workload.network
    }
}
