//! Settings of a VM's `Sidecar`, in addition to the ingress listeners that its services define.

use std::collections::BTreeMap;

use crate::names::{EgressHost, Listen, Name, Port, PortName, Protocol, words};
use crate::workload::Capture;

/// Settings of a `Sidecar`, in addition to the ingress listeners that the services define.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sidecar {
    /// Name of the object; `None`: that of the workload.
    pub name: Option<Name>,
    /// Hosts that the VM may reach; empty: all of them.
    pub egress_hosts: Vec<EgressHost>,
    /// Listeners for applications whose outbound traffic cannot be intercepted, by port name.
    pub egress_listeners: BTreeMap<PortName, EgressListener>,
    /// Policy for traffic to hosts outside the mesh; `None`: as set in the mesh config.
    pub outbound_traffic: Option<OutboundTraffic>,
}

/// A listener that applications on the VM connect to instead of the target host.
#[derive(Clone, Debug, PartialEq)]
pub struct EgressListener {
    /// Address to bind; `None`: 127.0.0.1 if traffic is not intercepted there, otherwise all addresses.
    pub bind: Option<Listen>,
    /// Port; `None`: `bind` is a Unix socket.
    pub port: Option<Port>,
    /// Application protocol.
    pub protocol: Protocol,
    /// Hosts that the listener forwards to.
    pub hosts: Vec<EgressHost>,
    /// Whether intercepted traffic reaches the listener; `None`: as for the proxy's other traffic.
    pub capture: Option<Capture>,
}

words! {
    /// Policy for traffic to hosts outside the mesh.
    OutboundTraffic: "an outbound traffic policy", "\"ALLOW_ANY\" or \"REGISTRY_ONLY\"" {
        /// Traffic is forwarded to its original destination.
        AllowAny = "ALLOW_ANY",
        /// Traffic is rejected.
        RegistryOnly = "REGISTRY_ONLY",
    }
}
