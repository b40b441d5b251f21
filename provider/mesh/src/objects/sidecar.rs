//! The `Sidecar`: the listeners of a VM's proxy and the hosts that it may reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use crate::names::{Listen, Name, Port, PortName};
use crate::workload::{EgressListener, Service, ServicePort, Sidecar};

/// Returns the spec for the VMs that `selector` selects. A listener without an address to bind gets `bind`: by default,
/// istiod uses the address of the entry, which no interface of a VM behind NAT has.
pub(crate) fn spec(
    sidecar: &Sidecar,
    services: &BTreeMap<Name, Service>,
    of_entry: &BTreeMap<PortName, Port>,
    bind: Option<IpAddr>,
    selector: &Value,
) -> Value {
    let ports = services.values().flat_map(|service| &service.ports);
    let ingress: Vec<Value> = ports
        .map(|(name, port)| ingress(name, port, of_entry, bind))
        .collect();
    let mut spec = json!({ "workloadSelector": selector });
    for (key, listeners) in [("ingress", ingress), ("egress", egress(sidecar))] {
        if !listeners.is_empty() {
            spec[key] = listeners.into();
        }
    }
    if let Some(mode) = sidecar.outbound_traffic {
        spec["outboundTrafficPolicy"] = json!({ "mode": mode.to_string() });
    }
    spec
}

fn ingress(
    name: &PortName,
    port: &ServicePort,
    of_entry: &BTreeMap<PortName, Port>,
    bind: Option<IpAddr>,
) -> Value {
    let loopback = Listen::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let app = port.app_address.as_ref().unwrap_or(&loopback);
    let mut listener = json!({
        "port": {
            "name": name.as_str(),
            "number": port.target(name, of_entry).get(),
            "protocol": port.protocol.to_string(),
        },
        "defaultEndpoint": app.endpoint(port.app_port(name, of_entry).get()),
    });
    if let Some(ip) = port.bind.or(bind) {
        listener["bind"] = json!(ip.to_string());
    }
    if let Some(mode) = port.capture {
        listener["captureMode"] = json!(mode.to_string());
    }
    listener
}

/// Returns the egress listeners. The catch-all listener, which has no port, must be the last one. If listeners are
/// declared without hosts, a catch-all for `*/*` is added: otherwise all other traffic would be rejected.
fn egress(sidecar: &Sidecar) -> Vec<Value> {
    let own = sidecar.egress_listeners.iter();
    let mut listeners: Vec<Value> = own.map(|(name, of)| egress_listener(name, of)).collect();
    let hosts: Vec<_> = sidecar
        .egress_hosts
        .iter()
        .map(ToString::to_string)
        .collect();
    if !hosts.is_empty() {
        listeners.push(json!({ "hosts": hosts }));
    } else if !listeners.is_empty() {
        listeners.push(json!({ "hosts": ["*/*"] }));
    }
    listeners
}

fn egress_listener(name: &PortName, listener: &EgressListener) -> Value {
    let hosts: Vec<_> = listener.hosts.iter().map(ToString::to_string).collect();
    let mut port = Map::from_iter([
        ("name".to_owned(), json!(name.as_str())),
        ("protocol".to_owned(), json!(listener.protocol.to_string())),
    ]);
    if let Some(number) = listener.port {
        port.insert("number".to_owned(), json!(number.get()));
    }
    let mut object = json!({ "port": port, "hosts": hosts });
    if let Some(bind) = &listener.bind {
        object["bind"] = json!(bind.to_string());
    }
    if let Some(mode) = listener.capture {
        object["captureMode"] = json!(mode.to_string());
    }
    object
}
