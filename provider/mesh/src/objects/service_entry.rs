//! The `ServiceEntry` of a service.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::names::{Address, Port, PortName};
use crate::workload::{Service, ServicePort};

/// How callers find the endpoints of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// istiod sends their IP addresses.
    Static,
    /// The callers' proxies resolve their names.
    Dns,
}

impl Resolution {
    /// Returns the resolution for a VM with this address. Istio accepts a name only with DNS resolution.
    pub(crate) fn of(address: &Address) -> Self {
        match address {
            Address::Ip(_) => Self::Static,
            Address::Fqdn(_) => Self::Dns,
        }
    }
}

/// Returns the spec of a service whose endpoints `selector` selects. `of_entry` are the named ports of each endpoint;
/// Istio prefers them to the target ports of the service.
pub(crate) fn spec(
    service: &Service,
    of_entry: &BTreeMap<PortName, Port>,
    resolution: Resolution,
    selector: &Value,
) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|(name, port)| service_port(name, port, of_entry))
        .collect();
    let resolution = match resolution {
        Resolution::Static => "STATIC",
        Resolution::Dns => "DNS",
    };
    let mut spec = json!({
        "hosts": texts(&service.hosts),
        "location": "MESH_INTERNAL",
        "ports": ports,
        "resolution": resolution,
        "workloadSelector": selector,
    });
    for (key, list) in [
        ("addresses", texts(&service.addresses)),
        ("exportTo", texts(&service.export_to)),
        ("subjectAltNames", texts(&service.subject_alt_names)),
    ] {
        if !list.is_empty() {
            spec[key] = list.into();
        }
    }
    spec
}

fn service_port(name: &PortName, port: &ServicePort, of_entry: &BTreeMap<PortName, Port>) -> Value {
    json!({
        "name": name.as_str(),
        "number": port.number.get(),
        "protocol": port.protocol.to_string(),
        "targetPort": port.target(name, of_entry).get(),
    })
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
