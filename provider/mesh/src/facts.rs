//! What only the cluster can tell, read before anything is written.

use std::net::IpAddr;

use serde_json::Value;

use crate::names::{Address, Fqdn, Id, IstioVersion, Network, ReleaseUrl};
use crate::proxy_config;

/// PEM text of one or more certificates. Public: the mesh's trust root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem(pub String);

/// What the cluster says about the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Resolved revision; `default` for an unrevisioned control plane.
    pub revision: String,
    /// Name of the cluster as istiod knows it.
    pub cluster_id: String,
    /// Trust domain of the mesh.
    pub trust_domain: String,
    /// Id of the mesh.
    pub mesh_id: String,
    /// The whole mesh config; `defaultConfig` is the part that enters the bundle.
    pub mesh_config: serde_json::Value,
    /// Certificates that sign workloads, from `istio-ca-root-cert` in the workload's namespace.
    pub root: Pem,
    /// How the VM reaches istiod.
    pub control_plane: ControlPlane,
    /// `caAddress` of the mesh, where certificates come from somewhere else than istiod.
    pub ca_address: Option<String>,
    /// Version of the proxies that the control plane injects, and so of its own; `None`: Istio released none of it.
    pub version: Option<IstioVersion>,
    /// Where Istio's packages are.
    pub releases: ReleaseUrl,
    /// Whether the workload's service account exists; `None`: not allowed to look.
    pub service_account_exists: Option<bool>,
    /// Uid of the workload's entry, when it exists.
    pub entry_uid: Option<String>,
}

/// How the VM reaches istiod.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// Name that istiod is called by, e.g. `istiod.istio-system.svc`.
    pub host: String,
    /// Name that istiod's certificate carries; `None`: `host`.
    pub san: Option<String>,
    /// 15012.
    pub port: u16,
    /// What the hosts line maps `host` to; `None`: the VM's DNS knows it.
    pub address: Option<IpAddr>,
}

impl ControlPlane {
    /// Returns the name that istiod's certificate must carry.
    pub fn certified(&self) -> &str {
        self.san.as_deref().unwrap_or(&self.host)
    }
}

/// Returns name and port of the control plane that the mesh config tells every proxy, where that is none of
/// the cluster's own names: an operator wrote it there for proxies that are elsewhere, and in its place the
/// cluster's own would lead to another control plane or nowhere.
pub fn discovery_address(mesh_config: &Value, istio_namespace: &str) -> Option<(Fqdn, u16)> {
    let config = proxy_config::of_mesh(mesh_config);
    let (host, port) = config.get("discoveryAddress")?.as_str()?.rsplit_once(':')?;
    let Address::Fqdn(name) = host.parse().ok()? else {
        return None;
    };
    // `service.namespace`, and `service.namespace.svc` with or without the cluster's domain.
    let mut labels = host.split('.').skip(1);
    let namespace = labels.next()?;
    let own = match labels.next() {
        None => namespace == istio_namespace,
        Some(kind) => kind == "svc",
    };
    (!own).then_some((name, port.parse().ok()?))
}

/// Another `WorkloadEntry` of the cluster, as far as it can be in a workload's way.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    /// Namespace and name.
    pub id: Id,
    /// What pods dial.
    pub address: Address,
    /// The network it is on; `None`: that of the cluster.
    pub network: Option<Network>,
    /// Whether this provider wrote it.
    pub ours: bool,
}
