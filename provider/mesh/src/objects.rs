//! Mesh objects of a workload (its entry, service entries and Sidecar) and of a fleet.
//!
//! Services and the Sidecar select the workload by the provider's label, `mesh.vm/workload: <name>`. The user's labels
//! are not suitable: a selector on `app: ratings` would select every VM with that label, but each workload owns the
//! services that it declares.

mod entry;
mod manifest;
mod service_entry;
mod sidecar;

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use crate::desired::{Kind, Manifest};
use crate::fleet::Fleet;
use crate::leftover::owned;
use crate::mark::{CLAIM, Mark};
use crate::names::{Address, Id, Name};
use crate::withdrawal::{WITHDRAWN, Withdrawal};
use crate::workload::{Service, Sidecar, Workload};
pub use entry::HEALTH_CHECKS;
pub(crate) use entry::entry;
use manifest::manifest;

/// Returns the objects of a workload except its entry, in the order in which they are written.
pub(crate) fn others(workload: &Workload, address: &Address) -> Vec<Manifest> {
    service_objects(workload, address, &workload.mark())
}

/// Returns the objects of a fleet in the order in which they are written. The group comes last, so that the services
/// exist before a VM registers itself.
pub fn fleet_objects(fleet: &Fleet) -> Vec<Manifest> {
    // The address itself does not matter, but it must not be a name, which would need DNS resolution.
    let address = Address::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut objects = service_objects(&fleet.as_one(), &address, &fleet.mark());
    let rollout = fleet.rollout;
    objects.extend(rollout.and_then(|of| crate::rollout::lease(&fleet.id, of)));
    objects.extend(fleet.group.as_ref().map(|of| entry::group(fleet, of)));
    objects
}

/// Returns the service entries and the Sidecar of the VMs that carry the mark.
fn service_objects(workload: &Workload, address: &Address, mark: &Mark) -> Vec<Manifest> {
    let (namespace, selector) = (&workload.id.namespace, mark.selector());
    let services = workload.services.iter().filter_map(|(name, service)| {
        let resolution = service_entry::Resolution::of(address);
        let spec = service_entry::spec(service, &workload.ports, resolution, &selector);
        let name = service_entry_name(&workload.id.name, name, service)?;
        Some(manifest(namespace, mark, Kind::ServiceEntry, name, spec))
    });
    let sidecar = workload.sidecar.as_ref().map(|sidecar| {
        let bind = workload.instance_ip.filter(|ip| address.ip() != Some(*ip));
        let (services, ports) = (&workload.services, &workload.ports);
        let spec = sidecar::spec(sidecar, services, ports, bind, &selector);
        let name = sidecar_name(workload, sidecar);
        manifest(namespace, mark, Kind::Sidecar, name, spec)
    });
    services.chain(sidecar).collect()
}

/// Returns the objects that a workload declares; none without an address. Nothing is validated: an invalid workload
/// has invalid objects.
pub fn declared(workload: &Workload) -> Vec<Manifest> {
    let address = workload.address.as_ref();
    address.map_or_else(Vec::new, |address| {
        let entry = entry::entry(workload, address);
        [vec![entry], others(workload, address)].concat()
    })
}

/// Returns an entry that receives no traffic and carries the mark. The listeners of its VM stay as they are. It is used
/// until the proxy is ready, around a bootstrap, and before a destroy.
#[must_use]
pub fn withdrawn(entry: &Manifest, mark: &Withdrawal) -> Manifest {
    let mut entry = entry.clone();
    let annotations = &mut entry.body["metadata"]["annotations"];
    annotations[HEALTH_CHECKS] = json!("true");
    annotations[WITHDRAWN] = json!(mark.to_string());
    entry
}

/// Returns an observed entry with what [`withdrawn`] changes as it was `before`.
#[must_use]
pub fn restored(id: &Id, entry: &Value, before: &Value) -> Manifest {
    let mut restored = as_observed(id, entry);
    let annotations = restored.body["metadata"]["annotations"].as_object_mut();
    if let Some(annotations) = annotations {
        for key in [HEALTH_CHECKS, WITHDRAWN] {
            match before["metadata"]["annotations"].get(key) {
                Some(value) => annotations.insert(key.to_owned(), value.clone()),
                None => annotations.remove(key),
            };
        }
    }
    restored
}

/// Returns a manifest of an observed entry with only the fields that we own, so that applying [`withdrawn`] of it
/// changes annotations and claims nothing else. If we never applied the entry, the manifest has all of its fields.
/// istiod's annotations are left out.
pub fn as_observed(id: &Id, entry: &Value) -> Manifest {
    let metadata = &entry["metadata"];
    let mut body = owned(entry).unwrap_or_else(
        || json!({ "metadata": { "labels": metadata["labels"], "annotations": metadata["annotations"] }, "spec": entry["spec"] }),
    );
    let annotations = &mut body["metadata"]["annotations"];
    let mut ours = annotations.as_object().cloned().unwrap_or_default();
    let is_of_others = |key: &str| key.starts_with("istio.io/") || key == WITHDRAWN || key == CLAIM;
    ours.retain(|key, _| !is_of_others(key));
    if let Some(checks) = metadata["annotations"].get(HEALTH_CHECKS) {
        ours.insert(HEALTH_CHECKS.to_owned(), checks.clone());
    }
    *annotations = ours.into();
    Manifest {
        kind: Kind::WorkloadEntry,
        id: id.clone(),
        body,
    }
}

/// Returns the kinds and IDs of a workload's objects.
pub fn object_ids(workload: &Workload) -> Vec<(Kind, Id)> {
    let id = |name| Id {
        namespace: workload.id.namespace.clone(),
        name,
    };
    let services = workload
        .services
        .iter()
        .filter_map(|(name, service)| service_entry_name(&workload.id.name, name, service));
    let sidecar = workload
        .sidecar
        .as_ref()
        .map(|sidecar| (Kind::Sidecar, id(sidecar_name(workload, sidecar))));
    std::iter::once((Kind::WorkloadEntry, workload.id.clone()))
        .chain(services.map(|name| (Kind::ServiceEntry, id(name))))
        .chain(sidecar)
        .collect()
}

/// Returns the name of a service's `ServiceEntry`; `None` if the service has none or the name would be too long.
pub(crate) fn service_entry_name(workload: &Name, name: &Name, service: &Service) -> Option<Name> {
    if service.hosts.is_empty() {
        return None;
    }
    let made = || format!("{workload}-{name}").parse().ok();
    service.object_name.clone().or_else(made)
}

/// Returns the name of the `Sidecar`.
pub(crate) fn sidecar_name(workload: &Workload, sidecar: &Sidecar) -> Name {
    let own = || workload.id.name.clone();
    sidecar.name.clone().unwrap_or_else(own)
}
