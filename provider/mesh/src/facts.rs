//! Facts of the mesh that only the cluster knows. They are read before anything is written.

use std::net::IpAddr;

use serde_json::Value;

use crate::names::{Address, Fqdn, Id, IstioVersion, Network, ReleaseUrl};
use crate::proxy_config;

/// The mesh's trust root: one or more certificates in PEM. It is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem(pub String);

/// Facts of the mesh, read from the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Resolved revision; `default` for a control plane without one.
    pub revision: String,
    /// Name of the cluster at istiod.
    pub cluster_id: String,
    /// Trust domain of the mesh.
    pub trust_domain: String,
    /// ID of the mesh.
    pub mesh_id: String,
    /// The whole mesh config; the bundle contains its `defaultConfig`.
    pub mesh_config: serde_json::Value,
    /// Certificates that sign workload certificates, from `istio-ca-root-cert` in the workload's namespace.
    pub root: Pem,
    /// Address at which the VM reaches istiod.
    pub control_plane: ControlPlane,
    /// Address of the certificate authority, if the provider's block or the mesh sets one. It may be istiod's own.
    pub ca_address: Option<String>,
    /// Version of the proxies that the control plane injects, which is also its own; `None`: not a version that Istio
    /// released.
    pub version: Option<IstioVersion>,
    /// Base URL of Istio's packages.
    pub releases: ReleaseUrl,
    /// Whether the workload's service account exists; `None`: the credential may not read it.
    pub service_account_exists: Option<bool>,
    /// UID of the workload's entry, if it exists.
    pub entry_uid: Option<String>,
}

/// Address at which the VM reaches istiod.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// Host name that the VM connects to, e.g. `istiod.istio-system.svc`.
    pub host: String,
    /// Name in istiod's certificate; `None`: `host`.
    pub san: Option<String>,
    /// Port, normally 15012.
    pub port: u16,
    /// IP address of `host` for `/etc/hosts`; `None`: the VM resolves `host` through DNS.
    pub address: Option<IpAddr>,
}

impl ControlPlane {
    /// Returns the name that istiod's certificate must contain.
    pub fn certified(&self) -> &str {
        self.san.as_deref().unwrap_or(&self.host)
    }
}

/// Where all proxies of a mesh reach istiod, as the mesh config says.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscoveryAddress {
    /// Host name.
    pub host: Fqdn,
    /// Port.
    pub port: u16,
    /// Service and namespace, if the name belongs to the cluster: it is resolved there, and elsewhere only with an
    /// entry in a hosts file. `None`: a name outside the cluster, which an operator sets for proxies out there.
    pub service: Option<(String, String)>,
}

/// Returns the mesh config's `discoveryAddress`, unless it is an IP address.
pub fn discovery_address(mesh_config: &Value, istio_namespace: &str) -> Option<DiscoveryAddress> {
    let config = proxy_config::of_mesh(mesh_config);
    let (host, port) = config.get("discoveryAddress")?.as_str()?.rsplit_once(':')?;
    let Address::Fqdn(name) = host.parse().ok()? else {
        return None;
    };
    // `service.namespace`, and `service.namespace.svc` with or without the cluster's domain.
    let mut labels = host.split('.');
    let (service, namespace) = (labels.next()?, labels.next()?);
    let is_service = match labels.next() {
        None => namespace == istio_namespace,
        Some(kind) => kind == "svc",
    };
    Some(DiscoveryAddress {
        host: name,
        port: port.parse().ok()?,
        service: is_service.then(|| (service.to_owned(), namespace.to_owned())),
    })
}

/// Returns the address of the certificate authority in the mesh config's `proxyMetadata`. In a pod, it takes precedence
/// over the chart's `global.caAddress`.
pub fn ca_address(mesh_config: &Value) -> Option<String> {
    let metadata = proxy_config::of_mesh(mesh_config).remove("proxyMetadata")?;
    let address = metadata.get("CA_ADDR")?.as_str()?;
    (!address.is_empty()).then(|| address.to_owned())
}

/// Another `WorkloadEntry` of the cluster that may conflict with a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherEntry {
    /// Namespace and name.
    pub id: Id,
    /// Address that pods connect to.
    pub address: Address,
    /// Network of the VM; `None`: that of the cluster.
    pub network: Option<Network>,
    /// Whether this provider manages it.
    pub ours: bool,
}
