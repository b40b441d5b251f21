//! The mesh objects of a workload: its entry, the service entries, the sidecar.
//!
//! Services and the Sidecar select the workload by a label of our own, `mesh.vm/workload: <name>`.
//! The user's labels would not do: a selector over `app: ratings` also takes every other VM with
//! that label, while each workload owns the services that it declares.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::desired::{Kind, Manifest};
use crate::mark::WORKLOAD_LABEL;
use crate::names::{Address, Id, Name, PortName};
use crate::workload::{Service, ServicePort, Sidecar, Workload};

/// Label that says who writes an object; its value is [`MANAGER`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`], and the field manager of server-side apply.
pub const MANAGER: &str = "terraform-provider-mesh";

/// Annotation that makes istiod track a VM's connection. With "true" (also 1, t, T, TRUE, True) the
/// endpoint takes no traffic until a probe succeeds; with any other value it only is tracked.
pub const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";

/// Returns the objects in the order in which they are written: istiod refuses a proxy without entry.
pub(crate) fn objects(workload: &Workload, address: &Address) -> Vec<Manifest> {
    let mut objects = vec![entry(workload, address)];
    let services = workload.services.iter();
    objects.extend(
        services.filter_map(|(name, service)| service_entry(workload, address, name, service)),
    );
    objects.extend(
        workload
            .sidecar
            .as_ref()
            .map(|of| sidecar(workload, address, of)),
    );
    objects
}

/// Returns the objects that a workload declares; none without an address.
pub fn declared(workload: &Workload) -> Vec<Manifest> {
    let address = workload.address.as_ref();
    address.map_or_else(Vec::new, |address| objects(workload, address))
}

/// Returns an entry that takes no traffic, with the listeners of its VM left as they are: for the
/// time before the proxy is ready, around a bootstrap, and before a destroy.
#[must_use]
pub fn withdrawn(entry: &Manifest) -> Manifest {
    let mut entry = entry.clone();
    entry.body["metadata"]["annotations"][HEALTH_CHECKS] = json!("true");
    entry
}

/// Tells whether an observed entry is what a killed create of the same VM left behind: ours, at the
/// same address, and still without traffic. No state knows of it.
pub fn is_unfinished(desired: &Manifest, entry: &Value) -> bool {
    entry["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER
        && entry["metadata"]["annotations"][HEALTH_CHECKS] == "true"
        && entry["spec"]["address"] == desired.body["spec"]["address"]
}

/// Returns an observed entry as a manifest that changes nothing, so that [`withdrawn`] of it changes
/// one annotation only. istiod's own annotations are left out.
pub fn as_it_is(id: &Id, entry: &Value) -> Manifest {
    let metadata = &entry["metadata"];
    let mut annotations = metadata["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    annotations.retain(|key, _| !key.starts_with("istio.io/"));
    Manifest {
        kind: Kind::WorkloadEntry,
        id: id.clone(),
        body: json!({
            "metadata": { "labels": metadata["labels"], "annotations": annotations },
            "spec": entry["spec"],
        }),
    }
}

/// Returns what a workload's objects are, without what is in them.
pub fn object_ids(workload: &Workload) -> Vec<(Kind, Id)> {
    let id = |name| Id {
        namespace: workload.id.namespace.clone(),
        name,
    };
    let services = service_entry_names(workload).into_iter();
    let sidecar = workload.sidecar.as_ref();
    std::iter::once((Kind::WorkloadEntry, workload.id.clone()))
        .chain(services.map(|name| (Kind::ServiceEntry, id(name))))
        .chain(sidecar.map(|_| (Kind::Sidecar, workload.id.clone())))
        .collect()
}

/// Returns the names of the `ServiceEntry` objects of a workload.
pub fn service_entry_names(workload: &Workload) -> Vec<Name> {
    workload
        .services
        .keys()
        .filter_map(|name| service_entry_name(&workload.id.name, name))
        .collect()
}

/// Returns the name of the object of a service; `None` if it would be too long.
pub(crate) fn service_entry_name(workload: &Name, service: &Name) -> Option<Name> {
    format!("{workload}-{service}").parse().ok()
}

fn entry(workload: &Workload, address: &Address) -> Manifest {
    let mut annotations = text_map(&workload.annotations);
    annotations.insert(HEALTH_CHECKS.to_owned(), json!("false"));
    let mut labels = text_map(&workload.labels);
    labels.insert(WORKLOAD_LABEL.to_owned(), json!(workload.id.name.as_str()));

    let mut spec = Map::new();
    spec.insert("address".to_owned(), json!(address.to_string()));
    spec.insert("labels".to_owned(), labels.into());
    spec.insert(
        "serviceAccount".to_owned(),
        json!(workload.service_account.as_str()),
    );
    if !workload.ports.is_empty() {
        let ports = workload
            .ports
            .iter()
            .map(|(name, port)| (name.to_string(), json!(port.get())));
        spec.insert("ports".to_owned(), ports.collect::<Map<_, _>>().into());
    }
    let optional = [
        (
            "network",
            workload
                .network
                .as_ref()
                .map(|network| json!(network.as_str())),
        ),
        (
            "locality",
            workload
                .locality
                .as_ref()
                .map(|locality| json!(locality.as_str())),
        ),
        ("weight", workload.weight.map(Value::from)),
    ];
    spec.extend(
        optional
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );

    let mut entry = manifest(
        workload,
        Kind::WorkloadEntry,
        workload.id.name.clone(),
        spec.into(),
    );
    entry.body["metadata"]["annotations"] = annotations.into();
    entry
}

fn service_entry(
    workload: &Workload,
    address: &Address,
    name: &Name,
    service: &Service,
) -> Option<Manifest> {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|(name, port)| service_port(workload, name, port))
        .collect();
    let mut spec = json!({
        "hosts": service.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "location": "MESH_INTERNAL",
        "ports": ports,
        "resolution": resolution(address),
        "workloadSelector": selector(workload),
    });
    if !service.addresses.is_empty() {
        spec["addresses"] = service.addresses.iter().map(ToString::to_string).collect();
    }
    let name = service_entry_name(&workload.id.name, name)?;
    Some(manifest(workload, Kind::ServiceEntry, name, spec))
}

fn service_port(workload: &Workload, name: &PortName, port: &ServicePort) -> Value {
    json!({
        "name": name.as_str(),
        "number": port.number.get(),
        "protocol": port.protocol.to_string(),
        "targetPort": workload.target(name, port).get(),
    })
}

/// Istio takes a name as an endpoint's address only where callers resolve it.
fn resolution(address: &Address) -> &'static str {
    match address {
        Address::Ip(_) => "STATIC",
        Address::Fqdn(_) => "DNS",
    }
}

fn sidecar(workload: &Workload, address: &Address, sidecar: &Sidecar) -> Manifest {
    let ports = workload
        .services
        .values()
        .flat_map(|service| &service.ports);
    let ingress: Vec<Value> = ports
        .map(|(name, port)| listener(workload, address, name, port))
        .collect();
    let mut spec = json!({ "workloadSelector": selector(workload) });
    if !ingress.is_empty() {
        spec["ingress"] = ingress.into();
    }
    if !sidecar.egress_hosts.is_empty() {
        spec["egress"] = json!([{ "hosts": sidecar.egress_hosts }]);
    }
    manifest(workload, Kind::Sidecar, workload.id.name.clone(), spec)
}

/// Without `bind` the listener is on the address that istiod knows, which a VM behind NAT does not have.
fn listener(workload: &Workload, address: &Address, name: &PortName, port: &ServicePort) -> Value {
    let mut listener = json!({
        "port": {
            "name": name.as_str(),
            "number": workload.target(name, port).get(),
            "protocol": port.protocol.to_string(),
        },
        "defaultEndpoint": format!("127.0.0.1:{}", workload.app_port(name, port)),
    });
    if let Some(ip) = workload.instance_ip.filter(|ip| address.ip() != Some(*ip)) {
        listener["bind"] = json!(ip.to_string());
    }
    listener
}

fn selector(workload: &Workload) -> Value {
    workload.mark().selector()
}

fn manifest(workload: &Workload, kind: Kind, name: Name, spec: Value) -> Manifest {
    let labels = workload.mark().labels();
    let id = Id {
        namespace: workload.id.namespace.clone(),
        name,
    };
    let mut body = json!({ "metadata": { "labels": labels } });
    body["spec"] = spec;
    Manifest { kind, id, body }
}

fn text_map<K: ToString, V: ToString>(texts: &BTreeMap<K, V>) -> Map<String, Value> {
    texts
        .iter()
        .map(|(key, value)| (key.to_string(), json!(value.to_string())))
        .collect()
}
