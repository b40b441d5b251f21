//! What the user asks for: one VM and the services that it offers.

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

/// A VM that is a member of the mesh, as the user wrote it. Unknown values count as absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Namespace and name of the `WorkloadEntry`.
    pub id: Id,
    /// What pods dial.
    pub address: Option<Address>,
    /// What the proxy's listeners bind, where that differs from `address` (a VM behind NAT).
    pub instance_ip: Option<IpAddr>,
    /// Labels that services select.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Annotations of the entry.
    pub annotations: BTreeMap<String, String>,
    /// The Kubernetes service account that the VM's certificate names.
    pub service_account: Name,
    /// The network the VM is on.
    pub network: Option<Network>,
    /// `region/zone/subzone`.
    pub locality: Option<Locality>,
    /// Share of the traffic, from 0.
    pub weight: Option<u32>,
    /// Ports of the entry by name.
    pub ports: BTreeMap<PortName, Port>,
    /// The fleet that it is a member of: services and Sidecar are then the fleet's.
    pub fleet: Option<Id>,
    /// Each with hosts becomes a `ServiceEntry` that selects this workload.
    pub services: BTreeMap<Name, Service>,
    /// The `Sidecar` object; `None`: not ours.
    pub sidecar: Option<Sidecar>,
    /// More environment of the proxy: written to cluster.env.
    pub env: BTreeMap<EnvName, String>,
    /// How it is found out whether the application answers; `None`: it is taken to.
    pub health_check: Option<HealthCheck>,
    /// How the proxy runs.
    pub proxy: Proxy,
}

impl Workload {
    /// Returns a workload of which nothing else is said.
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
            },
        }
    }

    /// Returns the mark of its objects.
    pub fn mark(&self) -> Mark {
        Mark::Workload(self.id.name.clone())
    }
}

/// How the proxy runs on the VM.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// As what it runs.
    pub runtime: Runtime,
    /// Istio's image of the proxy, where it runs in a container.
    pub image: Option<ImageName>,
    /// When that is pulled; `None`: where the VM does not have it.
    pub pull_policy: Option<PullPolicy>,
    /// How traffic reaches it.
    pub interception: Interception,
    /// Where the package comes from; `None`: what is installed already, else Istio's release.
    pub install: Option<Install>,
    /// The version of that release; `None`: what is installed already, else the control plane's.
    pub version: Option<IstioVersion>,
    /// Inbound ports that bypass the proxy, besides those of SSH and of the proxy itself.
    pub exclude_inbound_ports: Vec<Port>,
    /// Destinations that bypass the proxy, besides the clouds' metadata addresses.
    pub exclude_cidrs: Vec<Cidr>,
    /// Whether the proxy answers DNS for mesh hosts; `None`: as the mesh config says.
    pub dns_capture: Option<bool>,
    /// Settings over those of the mesh config.
    pub config: Option<ProxyConfig>,
}

words! {
    /// As what the proxy runs.
    Runtime: "a runtime", "\"systemd\", \"docker\" or \"podman\"" {
        /// Istio's package and its systemd unit.
        Systemd = "systemd",
        /// A container of Docker's, which a systemd unit runs.
        Docker = "docker",
        /// A container of Podman's, which a systemd unit runs.
        Podman = "podman",
    }
}

words! {
    /// When a bootstrap pulls the proxy's image: as Kubernetes' `imagePullPolicy`.
    PullPolicy: "a pull policy", "\"IfNotPresent\", \"Always\" or \"Never\"" {
        /// Where the VM does not have it.
        IfNotPresent = "IfNotPresent",
        /// Every time.
        Always = "Always",
        /// Never: somebody else brings it to the VM.
        Never = "Never",
    }
}

/// How the VM's traffic reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interception {
    /// NAT rules redirect it.
    Redirect,
    /// As `Redirect`, but inbound traffic keeps the caller's address on its way to the application.
    Tproxy,
    /// Nothing does: applications are called through the `Sidecar`'s listeners only.
    None,
}

/// A package to install.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// `https://`, `http://` or `file://` address that the VM itself fetches.
    pub url: String,
    /// Hex SHA-256 of the package.
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
                "an interception",
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
