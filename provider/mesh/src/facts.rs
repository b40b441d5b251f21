//! What only the cluster can tell, read before anything is written.

use std::net::IpAddr;

use crate::names::{Address, Id, Network};

/// PEM text of one or more certificates. Public: the mesh's trust root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem(pub String);

/// What the cluster says about the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Namespace of the control plane.
    pub istio_namespace: String,
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
    /// Whether the workload's service account exists; `None`: not allowed to look.
    pub service_account_exists: Option<bool>,
    /// Uid of the workload's entry, when it exists.
    pub entry_uid: Option<String>,
}

/// How the VM reaches istiod.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// Name that istiod's certificate carries, e.g. `istiod.istio-system.svc`.
    pub host: String,
    /// 15012.
    pub port: u16,
    /// What the hosts line maps `host` to; `None`: the VM's DNS knows it.
    pub address: Option<IpAddr>,
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
