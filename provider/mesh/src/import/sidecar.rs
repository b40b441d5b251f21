//! A `Sidecar`: where the applications listen, what the listeners bind, what may be reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::field::{optional, parsed, parsed_list};
use crate::names::{Listen, Name, Port, PortName};
use crate::workload::{EgressListener, ServicePort, Sidecar, Workload};

/// Takes over the Sidecar of that name.
pub(super) fn add(workload: &mut Workload, name: &Name, object: &Value, notes: &mut Vec<String>) {
    let spec = &object["spec"];
    let title = format!("Sidecar {}/{name}", workload.id.namespace);
    let ingress = spec["ingress"].as_array().into_iter().flatten();
    let shared = shared_bind(workload, spec);
    workload.instance_ip = shared.or(workload.instance_ip);
    for listener in ingress {
        if let Err(why) = add_ingress(workload, listener, shared) {
            let number = &listener["port"]["number"];
            notes.push(format!("{title}: the listener on {number} {why}."));
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
    // Without a listener for everything else nothing else is reached.
    if sidecar.egress_hosts.is_empty() && !sidecar.egress_listeners.is_empty() {
        sidecar.egress_hosts.extend("~/*".parse().ok());
    }
    workload.sidecar = Some(sidecar);
}

/// Returns the address that all listeners bind, if it is the one that the VM's interface has.
fn shared_bind(workload: &Workload, spec: &Value) -> Option<IpAddr> {
    let mut binds = spec["ingress"].as_array()?.iter().map(bind);
    let first = binds.next()??;
    let of_nat = !first.is_unspecified() && workload.address.as_ref()?.ip() != Some(first);
    (of_nat && binds.all(|bind| bind == Some(first))).then_some(first)
}

fn bind(listener: &Value) -> Option<IpAddr> {
    listener["bind"].as_str()?.parse().ok()
}

/// Takes over a listener that follows from a service's port.
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
    let (name, port) = of.ok_or("follows from no service")?;
    let endpoint = listener["defaultEndpoint"].as_str().unwrap_or_default();
    let (at, app) = application(endpoint).ok_or("leads to no address that can be declared")?;
    *port = ServicePort {
        app_port: app.filter(|app| *app != port.target(name, ports)),
        app_address: at,
        bind: bind(listener).filter(|ip| Some(*ip) != shared),
        capture: optional("captureMode", &capture(listener))?,
        ..port.clone()
    };
    Ok(())
}

/// Returns the address unless it is the usual one, and the port unless it is a socket.
fn application(endpoint: &str) -> Option<(Option<Listen>, Option<Port>)> {
    if endpoint.starts_with("unix://") {
        return Some((Some(endpoint.parse().ok()?), None));
    }
    let at: SocketAddr = endpoint.parse().ok()?;
    let usual = at.ip() == IpAddr::from([127, 0, 0, 1]);
    let address = (!usual).then_some(Listen::Ip(at.ip()));
    Some((address, Some(at.port().try_into().ok()?)))
}

/// Takes over an egress listener: the one without a port is for everything else.
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

/// `DEFAULT` is what an absent mode means.
fn capture(listener: &Value) -> Value {
    let mode = listener["captureMode"].clone();
    if mode == "DEFAULT" { Value::Null } else { mode }
}
