//! A service on VMs, and its ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::names::{Cidr, ExportTo, Host, Listen, Name, Port, PortName, Protocol, words};

/// A service that one VM or several offer, and where their proxies and applications take it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Name of its `ServiceEntry`; `None`: made of the owner's name and the service's.
    pub object_name: Option<Name>,
    /// Host names under which callers find it. Empty: no `ServiceEntry` is written, since a Service
    /// of Kubernetes or somebody else's object leads here; only the listeners follow.
    pub hosts: Vec<Host>,
    /// Virtual addresses; empty: Istio allocates one where it is configured to.
    pub addresses: Vec<Cidr>,
    /// Ports by name.
    pub ports: BTreeMap<PortName, ServicePort>,
    /// Namespaces that see it; empty: as the mesh config says.
    pub export_to: Vec<ExportTo>,
    /// Names that callers want in the VM's certificate instead of its SPIFFE id; empty: that.
    pub subject_alt_names: Vec<String>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// What callers dial.
    pub number: Port,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where the VM's proxy listens; `None`: `number`.
    pub target_port: Option<Port>,
    /// Where the application listens; `None`: `target_port`.
    pub app_port: Option<Port>,
    /// At which address the application listens; `None`: 127.0.0.1. A unix socket has no port.
    pub app_address: Option<Listen>,
    /// Which address of the VM the proxy's listener binds; `None`: the one that the VM has.
    pub bind: Option<IpAddr>,
    /// Whether the listener is reached by interception; `None`: as the proxy's other traffic.
    pub capture: Option<Capture>,
}

words! {
    /// How traffic reaches a listener of the proxy.
    Capture: "a capture mode", "\"IPTABLES\" or \"NONE\"" {
        /// NAT rules lead it there.
        Iptables = "IPTABLES",
        /// Callers dial it.
        None = "NONE",
    }
}

impl ServicePort {
    /// Returns a port of which nothing else is said.
    pub fn new(number: Port, protocol: Protocol) -> Self {
        Self {
            number,
            protocol,
            target_port: None,
            app_port: None,
            app_address: None,
            bind: None,
            capture: None,
        }
    }

    /// Returns where the VM's proxy takes its traffic. Istio prefers the port of that name which the
    /// VM's entry has to the service's own target.
    pub fn target(&self, name: &PortName, of_entry: &BTreeMap<PortName, Port>) -> Port {
        of_entry
            .get(name)
            .copied()
            .or(self.target_port)
            .unwrap_or(self.number)
    }

    /// Returns the port where the application listens.
    pub fn app_port(&self, name: &PortName, of_entry: &BTreeMap<PortName, Port>) -> Port {
        self.app_port.unwrap_or_else(|| self.target(name, of_entry))
    }
}
