//! The declaration of a workload: one VM and the services that it offers.

mod service;
mod sidecar;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::health::HealthCheck;
use crate::mark::Mark;
pub use service::{Capture, Service, ServicePort};
pub use sidecar::{EgressListener, OutboundTraffic, Sidecar};

use crate::names::words;
use crate::names::{
    Address, Cidr, EnvName, Id, ImageName, Invalid, IstioVersion, LabelKey, LabelValue, Locality,
    Name, Network, Port, PortName, Sha256,
};
use crate::proxy_config::ProxyConfig;

/// A VM as a member of the mesh, as the user declared it. Unknown values count as absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Namespace and name of the `WorkloadEntry`.
    pub id: Id,
    /// Address that pods connect to.
    pub address: Option<Address>,
    /// Address that the proxy's listeners bind, if it differs from `address` (a VM behind NAT).
    pub instance_ip: Option<IpAddr>,
    /// Labels of the VM.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Annotations of the entry.
    pub annotations: BTreeMap<String, String>,
    /// Kubernetes service account in the VM's certificate.
    pub service_account: Name,
    /// Network of the VM.
    pub network: Option<Network>,
    /// `region/zone/subzone`.
    pub locality: Option<Locality>,
    /// Load-balancing weight, 0 or more.
    pub weight: Option<u32>,
    /// Ports of the entry by name.
    pub ports: BTreeMap<PortName, Port>,
    /// Fleet of the VM, which then declares services and Sidecar.
    pub fleet: Option<Id>,
    /// Services by name. Each service with hosts becomes a `ServiceEntry` that selects this workload.
    pub services: BTreeMap<Name, Service>,
    /// Sidecar of the VM; `None`: no `Sidecar` is managed.
    pub sidecar: Option<Sidecar>,
    /// Additional environment variables of the proxy, written to cluster.env.
    pub env: BTreeMap<EnvName, String>,
    /// Health check of the application; `None`: it counts as healthy.
    pub health_check: Option<HealthCheck>,
    /// Settings of the proxy.
    pub proxy: Proxy,
}

impl Workload {
    /// Returns a workload with nothing else set.
    pub fn bare(id: Id, service_account: Name) -> Self {
        Self {
            id,
            address: None,
            instance_ip: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            service_account,
            network: None,
            locality: None,
            weight: None,
            ports: BTreeMap::new(),
            fleet: None,
            services: BTreeMap::new(),
            sidecar: None,
            env: BTreeMap::new(),
            health_check: None,
            proxy: Proxy {
                runtime: Runtime::Systemd,
                image: None,
                pull_policy: None,
                interception: Interception::Redirect,
                install: None,
                version: None,
                exclude_inbound_ports: Vec::new(),
                exclude_cidrs: Vec::new(),
                dns_capture: None,
                config: None,
                token_command: None,
            },
        }
    }

    /// Returns the mark of the workload's objects.
    pub fn mark(&self) -> Mark {
        Mark::Workload(self.id.name.clone())
    }
}

/// The proxy on the VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// Whether it runs as a systemd unit or in a container.
    pub runtime: Runtime,
    /// Istio's proxy image, if it runs in a container.
    pub image: Option<ImageName>,
    /// When the image is pulled; `None`: if the VM does not have it.
    pub pull_policy: Option<PullPolicy>,
    /// How traffic reaches the proxy.
    pub interception: Interception,
    /// Package to install; `None`: the installed one, otherwise Istio's release.
    pub install: Option<Install>,
    /// Version of Istio's release; `None`: the installed one, otherwise that of the control plane.
    pub version: Option<IstioVersion>,
    /// Inbound ports that bypass the proxy, in addition to those of SSH and of the proxy itself.
    pub exclude_inbound_ports: Vec<Port>,
    /// Destinations that bypass the proxy, in addition to the metadata addresses of cloud providers.
    pub exclude_cidrs: Vec<Cidr>,
    /// Whether the proxy answers DNS queries for mesh hosts; `None`: as set in the mesh config.
    pub dns_capture: Option<bool>,
    /// Settings that override those of the mesh config.
    pub config: Option<ProxyConfig>,
    /// Shell command that prints a new token on the VM; `None`: the token of the bootstrap is not renewed.
    pub token_command: Option<String>,
}

words! {
    /// How the proxy runs.
    Runtime: "a runtime", "\"systemd\", \"docker\" or \"podman\"" {
        /// Istio's package with its systemd unit.
        Systemd = "systemd",
        /// A Docker container that a systemd unit runs.
        Docker = "docker",
        /// A Podman container that a systemd unit runs.
        Podman = "podman",
    }
}

words! {
    /// When a bootstrap pulls the proxy's image, as in Kubernetes' `imagePullPolicy`.
    PullPolicy: "a pull policy", "\"IfNotPresent\", \"Always\" or \"Never\"" {
        /// If the VM does not have it.
        IfNotPresent = "IfNotPresent",
        /// At every bootstrap.
        Always = "Always",
        /// Never: the image must already be on the VM.
        Never = "Never",
    }
}

/// How the VM's traffic reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interception {
    /// NAT rules redirect it.
    Redirect,
    /// Like `Redirect`, but inbound traffic keeps the caller's address up to the application.
    Tproxy,
    /// Traffic is not intercepted: applications are reached only through the `Sidecar`'s listeners.
    None,
}

/// A package to install.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// URL that the VM downloads from: `https://`, `http://` or `file://`.
    pub url: String,
    /// SHA-256 of the package in hex.
    pub sha256: Sha256,
}

impl FromStr for Interception {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "redirect" => Ok(Self::Redirect),
            "tproxy" => Ok(Self::Tproxy),
            "none" => Ok(Self::None),
            _ => Err(Invalid::new(
                text,
                "an interception mode",
                "\"redirect\", \"tproxy\" or \"none\"",
            )),
        }
    }
}

impl fmt::Display for Interception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect => "redirect",
            Self::Tproxy => "tproxy",
            Self::None => "none",
        })
    }
}
