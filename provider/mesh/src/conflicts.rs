//! Rules that need the cluster. They are checked before anything is written.

use std::net::IpAddr;

use serde_json::Value;

use crate::change::Problem;
use crate::facts::{Facts, OtherEntry};
use crate::fleet::Fleet;
use crate::mark::{Mark, is_labelled};
use crate::names::Id;
use crate::objects::{service_entry_name, sidecar_name};
use crate::observed::ObservedObjects;
use crate::proxy_config;
use crate::rule::Rule;
use crate::workload::{Interception, Workload};

/// Returns the conflicts of the workload with this cluster. `others` may contain entries of any namespace, including
/// the workload's own.
pub fn conflicts(workload: &Workload, facts: &Facts, others: &[OtherEntry]) -> Vec<Problem> {
    let account = (facts.service_account_exists == Some(false)).then(|| no_account(workload));
    let root = (!facts.root.0.contains("-----BEGIN CERTIFICATE-----")).then(|| no_root(workload));
    let taken = others
        .iter()
        .filter(|other| other.id != workload.id)
        .filter_map(|other| taken(workload, other));
    let mesh = proxy_config::problems_of_mesh(&facts.mesh_config);
    let mesh = mesh.iter().map(|wrong| refused_mesh(wrong));
    let account = account.into_iter().chain(root);
    account.chain(mesh).chain(taken).collect()
}

/// Returns the problem of a mesh config that istiod does not accept.
fn refused_mesh(wrong: &str) -> Problem {
    Problem {
        concerns: vec![],
        rule: Rule::MeshConfig,
        text: format!(
            "The mesh config sets what Istio refuses: {wrong} istiod keeps its former configuration until this is \
             fixed. Correct defaultConfig in the key mesh of istiod's ConfigMap."
        ),
    }
}

/// Returns the conflicts of a member with its fleet, which has these `objects` in the cluster: the fleet does not
/// exist, or traffic would not reach the application.
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

/// Returns the problem that `tproxy-loopback` reports for a workload's own services without the cluster.
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

/// Returns a problem for each `ServiceEntry` and `Sidecar` of the workload that already belongs to another workload or
/// fleet. Different owners can have the same object name, e.g. `a` with service `b-c` and `a-b` with service `c`.
pub fn taken_services(workload: &Workload, observed: &ObservedObjects) -> Vec<Problem> {
    taken_of(&workload.mark(), workload, observed)
}

/// Returns a problem for each object of the fleet that already belongs to a workload or another fleet.
pub fn taken_objects(fleet: &Fleet, observed: &ObservedObjects) -> Vec<Problem> {
    taken_of(&fleet.mark(), &fleet.as_one(), observed)
}

pub(crate) fn taken_of(
    mark: &Mark,
    workload: &Workload,
    observed: &ObservedObjects,
) -> Vec<Problem> {
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

/// Returns the addresses that no interface of the workload's VM may have: istiod would match the VM's proxy to the
/// other entry.
pub fn taken_addresses(workload: &Workload, others: &[OtherEntry]) -> Vec<(IpAddr, Id)> {
    let conflicting = others
        .iter()
        .filter(|other| other.id != workload.id && !cannot_conflict(workload, other));
    conflicting
        .filter_map(|other| Some((other.address.ip()?, other.id.clone())))
        .collect()
}

/// Returns the entries whose VM the workload takes over: managed entries in its namespace with the same address. While
/// they receive traffic, istiod also applies their labels to the VM's new proxy.
pub fn replaced<'a>(workload: &Workload, others: &'a [OtherEntry]) -> Vec<&'a Id> {
    let near = |other: &&OtherEntry| {
        other.ours
            && other.id.namespace == workload.id.namespace
            && other.id != workload.id
            && workload.address.as_ref() == Some(&other.address)
    };
    others.iter().filter(near).map(|other| &other.id).collect()
}

/// Returns whether an entry of the workload's namespace, as observed, still is one that [`replaced`] names.
pub fn is_replaced(workload: &Workload, entry: &Value) -> bool {
    let address = entry["spec"]["address"].as_str();
    let address = address.and_then(|address| address.parse().ok());
    let is_being_deleted = entry["metadata"]["deletionTimestamp"].is_string();
    is_labelled(entry) && !is_being_deleted && address.is_some() && workload.address == address
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

/// Returns the problem of an address that another entry already has. istiod finds a proxy's entry by IP address and
/// cannot distinguish two entries of a namespace with the same address, whatever their name or network. Across
/// namespaces, the network distinguishes them.
///
/// A managed entry in the same namespace is not a conflict: with `create_before_destroy` and a new name, the old entry
/// is deleted right afterwards, and the bootstrap takes over the VM. If it is kept by mistake, its next plan reports
/// that the proxy belongs to another workload.
fn taken(workload: &Workload, other: &OtherEntry) -> Option<Problem> {
    if cannot_conflict(workload, other) {
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

fn cannot_conflict(workload: &Workload, other: &OtherEntry) -> bool {
    if other.id.namespace == workload.id.namespace {
        other.ours
    } else {
        other.network != workload.network
    }
}
