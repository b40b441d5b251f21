//! What the `Sidecar` of a VM says besides the listeners that follow from its services.

use std::collections::BTreeMap;

use crate::names::{EgressHost, Listen, Name, Port, PortName, Protocol, words};
use crate::workload::Capture;

/// What the `Sidecar` adds to the ingress listeners that follow from the services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sidecar {
    /// Its name; `None`: that of the workload.
    pub name: Option<Name>,
    /// What the VM may reach; empty: everything.
    pub egress_hosts: Vec<EgressHost>,
    /// Listeners for an application whose calls cannot be intercepted, by the name of their port.
    pub egress_listeners: BTreeMap<PortName, EgressListener>,
    /// What becomes of calls to hosts that the mesh does not know; `None`: as the mesh config says.
    pub outbound_traffic: Option<OutboundTraffic>,
}

/// A listener that an application on the VM dials instead of the host that it leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct EgressListener {
    /// Where it listens; `None`: 127.0.0.1 if nothing is intercepted there, else every address.
    pub bind: Option<Listen>,
    /// Its port; `None`: `bind` is a unix socket.
    pub port: Option<Port>,
    /// What is spoken.
    pub protocol: Protocol,
    /// What it leads to.
    pub hosts: Vec<EgressHost>,
    /// Whether it is reached by interception; `None`: as the proxy's other traffic.
    pub capture: Option<Capture>,
}

words! {
    /// What becomes of calls to hosts that the mesh does not know.
    OutboundTraffic: "an outbound traffic policy", "\"ALLOW_ANY\" or \"REGISTRY_ONLY\"" {
        /// They go where the application sent them.
        AllowAny = "ALLOW_ANY",
        /// They are refused.
        RegistryOnly = "REGISTRY_ONLY",
    }
}
