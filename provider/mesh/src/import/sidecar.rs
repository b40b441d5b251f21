//! Imports a `Sidecar`: its listeners, the addresses that they bind, and the hosts that it may reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::field::{optional, parsed, parsed_list};
use crate::names::{Listen, Name, Port, PortName};
use crate::workload::{EgressListener, ServicePort, Sidecar, Workload};

/// Adds a Sidecar to the workload.
pub(super) fn add(workload: &mut Workload, name: &Name, object: &Value, notes: &mut Vec<String>) {
    let spec = &object["spec"];
    let title = format!("Sidecar {}/{name}", workload.id.namespace);
    let ingress = spec["ingress"].as_array().into_iter().flatten();
    let shared = shared_bind(workload, spec);
    workload.instance_ip = shared.or(workload.instance_ip);
    for listener in ingress {
        if let Err(why) = add_ingress(workload, listener, shared) {
            let number = &listener["port"]["number"];
            notes.push(format!(
                "{title}: the ingress listener on {number} cannot be declared: {why}."
            ));
        }
    }
    let mut sidecar = Sidecar {
        name: Some(name.clone()).filter(|name| *name != workload.id.name),
        outbound_traffic: optional("mode", &spec["outboundTrafficPolicy"]["mode"])
            .unwrap_or_default(),
        ..Sidecar::default()
    };
    for listener in spec["egress"].as_array().into_iter().flatten() {
        if let Err(why) = add_egress(&mut sidecar, listener) {
            notes.push(format!(
                "{title}: an egress listener cannot be declared: {why}."
            ));
        }
    }
    // Without a catch-all listener, the proxy reaches no other hosts.
    if sidecar.egress_hosts.is_empty() && !sidecar.egress_listeners.is_empty() {
        sidecar.egress_hosts.extend("~/*".parse().ok());
    }
    workload.sidecar = Some(sidecar);
}

/// Returns the address that all listeners bind, if it is that of the interface of a VM behind NAT.
fn shared_bind(workload: &Workload, spec: &Value) -> Option<IpAddr> {
    let mut binds = spec["ingress"].as_array()?.iter().map(bind);
    let first = binds.next()??;
    let of_nat = !first.is_unspecified() && workload.address.as_ref()?.ip() != Some(first);
    (of_nat && binds.all(|bind| bind == Some(first))).then_some(first)
}

fn bind(listener: &Value) -> Option<IpAddr> {
    listener["bind"].as_str()?.parse().ok()
}

/// Adds an ingress listener to the service port that defines it.
fn add_ingress(
    workload: &mut Workload,
    listener: &Value,
    shared: Option<IpAddr>,
) -> Result<(), String> {
    let number = listener["port"]["number"].as_u64();
    let Workload {
        services, ports, ..
    } = workload;
    let mut all = services.values_mut().flat_map(|service| &mut service.ports);
    let of = all.find(|(name, port)| number == Some(port.target(name, ports).get().into()));
    let (name, port) = of.ok_or("no service has its port")?;
    let endpoint = listener["defaultEndpoint"].as_str().unwrap_or_default();
    let (at, app) = application(endpoint).ok_or("it forwards to an unsupported address")?;
    *port = ServicePort {
        app_port: app.filter(|app| *app != port.target(name, ports)),
        app_address: at,
        bind: bind(listener).filter(|ip| Some(*ip) != shared),
        capture: optional("captureMode", &capture(listener))?,
        ..port.clone()
    };
    Ok(())
}

/// Returns the address unless it is the default, and the port unless it is a Unix socket.
fn application(endpoint: &str) -> Option<(Option<Listen>, Option<Port>)> {
    if endpoint.starts_with("unix://") {
        return Some((Some(endpoint.parse().ok()?), None));
    }
    let at: SocketAddr = endpoint.parse().ok()?;
    let usual = at.ip() == IpAddr::from([127, 0, 0, 1]);
    let address = (!usual).then_some(Listen::Ip(at.ip()));
    Some((address, Some(at.port().try_into().ok()?)))
}

/// Adds an egress listener. The one without a port is the catch-all.
fn add_egress(sidecar: &mut Sidecar, listener: &Value) -> Result<(), String> {
    let hosts = parsed_list("hosts", &listener["hosts"])?;
    let port = &listener["port"];
    if port.is_null() {
        sidecar.egress_hosts = hosts;
        return Ok(());
    }
    let name: PortName = parsed("port.name", &port["name"])?;
    let own = EgressListener {
        bind: optional("bind", &listener["bind"])?,
        port: optional("port.number", &port["number"])?,
        protocol: parsed("port.protocol", &port["protocol"])?,
        hosts,
        capture: optional("captureMode", &capture(listener))?,
    };
    let listeners: &mut BTreeMap<_, _> = &mut sidecar.egress_listeners;
    listeners.insert(name, own);
    Ok(())
}

/// Returns the capture mode. `DEFAULT` is the same as an absent mode.
fn capture(listener: &Value) -> Value {
    let mode = listener["captureMode"].clone();
    if mode == "DEFAULT" { Value::Null } else { mode }
}
