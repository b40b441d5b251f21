//! The `Sidecar` of a workload or a fleet, and its conversions.

use std::collections::BTreeMap;

use mesh::names::{EgressHost, Listen, Name, PortName, Protocol};
use mesh::rule::Rule;
use mesh::workload::{Capture, EgressListener, OutboundTraffic, Sidecar};
use plugin::{Diagnostic, Text, Value, object};

use super::scalars::PortNumber;
use super::values::{from_map, port, text, texts};
use crate::messages::{Code, Message};
use crate::rule::OBJECTS;

object! {
    /// A `Sidecar`.
    pub struct SidecarInput {
        /// Name of the `Sidecar`. Default: the name of the workload or fleet.
        Optional name: Text<Name> => OBJECTS,
        /// Hosts that the VM may reach, as `namespace/host` patterns, e.g. `./*`. `["*/*"]` means every host,
        /// `["~/*"]` none.
        Required egress_hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// Listeners, by name, that the application connects to instead of a host, e.g. `127.0.0.2:3306` for a
        /// database. Use them for an application whose calls cannot be intercepted.
        Optional egress_listeners: BTreeMap<Text<PortName>, EgressListenerInput> => OBJECTS,
        /// What happens to calls to hosts outside the mesh: `ALLOW_ANY` or `REGISTRY_ONLY`. Default: from the mesh
        /// config.
        Optional outbound_traffic: Text<OutboundTraffic> => OBJECTS,
    }
}

object! {
    /// A listener of the proxy that the application on the VM connects to.
    pub struct EgressListenerInput {
        /// Address to listen on: an IP address or a unix socket such as `unix:///run/db.sock`, which has no `port`.
        Optional bind: Text<Listen> => OBJECTS,
        /// Port to listen on. It must be the port of the services behind it.
        Optional port: PortNumber => OBJECTS,
        /// Application protocol, as in `services`.
        Required protocol: Text<Protocol> => OBJECTS,
        /// Hosts to forward to, as `namespace/host` patterns.
        Required hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// How the application's traffic reaches the listener: `IPTABLES` (intercepted) or `NONE` (the application
        /// connects to it directly). Default: follows from `proxy.interception`.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

/// Returns the Sidecar.
pub(crate) fn sidecar(input: &SidecarInput) -> Sidecar {
    let listeners = input.egress_listeners.known().into_iter().flatten();
    Sidecar {
        name: text(&input.name),
        egress_hosts: texts(&input.egress_hosts),
        egress_listeners: listeners
            .filter_map(|(name, of)| Some((name.0.clone(), egress_listener(of)?)))
            .collect(),
        outbound_traffic: text(&input.outbound_traffic),
    }
}

fn egress_listener(input: &EgressListenerInput) -> Option<EgressListener> {
    Some(EgressListener {
        bind: text(&input.bind),
        port: port(input.port),
        protocol: text(&input.protocol)?,
        hosts: texts(&input.hosts),
        capture: text(&input.capture),
    })
}

/// Reports an empty list of hosts: it reads like none, and Istio takes a Sidecar without any for every host.
pub(crate) fn without_hosts(input: &Value<SidecarInput>) -> Option<Diagnostic> {
    let hosts = input.known()?.egress_hosts.known()?;
    hosts.is_empty().then(|| {
        Message::new(Code::Rule(Rule::EgressHostsRequired))
            .text("The list must name at least one host, got []. [\"*/*\"] means every host, [\"~/*\"] none.")
            .at("sidecar.egress_hosts")
            .error()
    })
}

/// Returns a Sidecar as it is declared.
pub(crate) fn from_sidecar(sidecar: Sidecar) -> SidecarInput {
    let listeners = sidecar.egress_listeners.into_iter();
    let hosts = if sidecar.egress_hosts.is_empty() {
        "*/*".parse().into_iter().collect()
    } else {
        sidecar.egress_hosts
    };
    SidecarInput {
        name: sidecar.name.map(Text).into(),
        egress_hosts: Value::Known(hosts.into_iter().map(Text).collect()),
        egress_listeners: from_map(
            listeners
                .map(|(name, of)| (Text(name), from_egress_listener(of)))
                .collect(),
        ),
        outbound_traffic: sidecar.outbound_traffic.map(Text).into(),
    }
}

fn from_egress_listener(listener: EgressListener) -> EgressListenerInput {
    EgressListenerInput {
        bind: listener.bind.map(Text).into(),
        port: listener.port.map(PortNumber).into(),
        protocol: Value::Known(Text(listener.protocol)),
        hosts: Value::Known(listener.hosts.into_iter().map(Text).collect()),
        capture: listener.capture.map(Text).into(),
    }
}
