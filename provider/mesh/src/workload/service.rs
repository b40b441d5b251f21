//! Services on VMs and their ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::names::{Cidr, ExportTo, Host, Listen, Name, Port, PortName, Protocol, words};

/// A service that one or several VMs offer, with the ports of their proxies and applications.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Name of its `ServiceEntry`; `None`: `<owner>-<service>`.
    pub object_name: Option<Name>,
    /// Host names of the service. Empty: no `ServiceEntry` is written, because a Kubernetes Service or an object that is
    /// managed elsewhere selects the VM; the service then only defines listeners.
    pub hosts: Vec<Host>,
    /// Virtual addresses; empty: Istio allocates one if configured to.
    pub addresses: Vec<Cidr>,
    /// Ports by name.
    pub ports: BTreeMap<PortName, ServicePort>,
    /// Namespaces that the service is exported to; empty: as set in the mesh config.
    pub export_to: Vec<ExportTo>,
    /// Names that callers expect in the VM's certificate; empty: its SPIFFE ID.
    pub subject_alt_names: Vec<String>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// Port that clients connect to.
    pub number: Port,
    /// Application protocol.
    pub protocol: Protocol,
    /// Port on which the VM's proxy listens; `None`: `number`.
    pub target_port: Option<Port>,
    /// Port on which the application listens; `None`: `target_port`.
    pub app_port: Option<Port>,
    /// Address on which the application listens; `None`: 127.0.0.1. A Unix socket has no port.
    pub app_address: Option<Listen>,
    /// Address that the proxy's listener binds; `None`: the address of the VM.
    pub bind: Option<IpAddr>,
    /// Whether intercepted traffic reaches the listener; `None`: as for the proxy's other traffic.
    pub capture: Option<Capture>,
}

words! {
    /// How traffic reaches a listener of the proxy.
    Capture: "a capture mode", "\"IPTABLES\" or \"NONE\"" {
        /// NAT rules redirect it there.
        Iptables = "IPTABLES",
        /// Callers connect to the listener directly.
        None = "NONE",
    }
}

impl ServicePort {
    /// Returns a port with nothing else set.
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

    /// Returns the port on which the VM's proxy receives the traffic. Istio prefers the entry's port of the same name to
    /// the target port of the service.
    pub fn target(&self, name: &PortName, of_entry: &BTreeMap<PortName, Port>) -> Port {
        of_entry
            .get(name)
            .copied()
            .or(self.target_port)
            .unwrap_or(self.number)
    }

    /// Returns the port on which the application listens.
    pub fn app_port(&self, name: &PortName, of_entry: &BTreeMap<PortName, Port>) -> Port {
        self.app_port.unwrap_or_else(|| self.target(name, of_entry))
    }
}
