//! The desired state in the cluster and on the VM.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::names::{Id, IstioVersion, SpiffeId};
use crate::workload::Proxy;

/// The desired state of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The entry. It is written first, because istiod rejects a proxy without one.
    pub entry: Manifest,
    /// The other objects, in the order in which they are written.
    pub others: Vec<Manifest>,
    /// Files and settings of the VM.
    pub bundle: Bundle,
}

/// Kinds of managed objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `networking.istio.io` `WorkloadEntry`.
    WorkloadEntry,
    /// `networking.istio.io` `WorkloadGroup`.
    WorkloadGroup,
    /// `networking.istio.io` `ServiceEntry`.
    ServiceEntry,
    /// `networking.istio.io` `Sidecar`.
    Sidecar,
    /// `coordination.k8s.io` `Lease`: how a fleet rolls, and whose turn is being decided.
    Lease,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkloadEntry => "WorkloadEntry",
            Self::WorkloadGroup => "WorkloadGroup",
            Self::ServiceEntry => "ServiceEntry",
            Self::Sidecar => "Sidecar",
            Self::Lease => "Lease",
        })
    }
}

/// An object with only the fields that we own, so that server-side apply does not change others.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub id: Id,
    /// `metadata` (labels, annotations) and `spec`, without `apiVersion`, `kind`, name and namespace.
    pub body: serde_json::Value,
}

/// Files and settings of a VM. It contains no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Files in the order in which they are written.
    pub files: Vec<File>,
    /// Settings of the workload that the mesh could set as well: variables by name, settings of the mesh config by path.
    pub own: BTreeSet<String>,
    /// Settings of the proxy.
    pub proxy: Proxy,
    /// Istio release that has the package; `None`: the user sets a package, none is needed, or it must already be installed.
    pub release: Option<Release>,
    /// SPIFFE ID of the VM.
    pub identity: SpiffeId,
    /// Owner of the VM's proxy, written as a marker next to the files.
    pub owner: Owner,
    /// Line of `/etc/hosts` for the control plane, e.g. `10.0.0.1 istiod.istio-system.svc`.
    pub hosts_line: Option<String>,
    /// `host:port` of istiod, for the checks.
    pub control_plane: String,
    /// Name that istiod's certificate must contain, for the checks.
    pub control_plane_san: String,
    /// Whether the proxy verifies istiod against another root than the mesh's.
    pub has_other_root: bool,
    /// Certificate authority of the proxy, if it is not istiod, for the checks.
    pub authority: Option<Authority>,
    /// Where pods reach the proxy, for the check of the VM's own firewall.
    pub inbound: Inbound,
    /// Ports on which the proxy listens, for the checks.
    pub ports: Vec<u16>,
    /// Addresses of other entries, for the checks: the VM must not have any of them.
    pub taken: Vec<(IpAddr, Id)>,
    /// Whether the VM itself sets `ISTIO_SVC_IP` to the source address of its connections to the control plane, because the
    /// bundle was created before the machine.
    pub finds_address: bool,
}

/// A certificate authority other than istiod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// `host:port`.
    pub address: String,
    /// What the proxy verifies its certificate against.
    pub root: AuthorityRoot,
}

/// What the proxy verifies the certificate of its authority against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityRoot {
    /// The mesh's root certificate.
    Mesh,
    /// The root certificates of the VM's system.
    System,
    /// The root certificates in a file on the VM.
    File(String),
    /// Nothing that can be checked from outside: there is no TLS, a protocol of another kind, or a file of a container's image.
    Unknown,
}

/// Ports of the proxy that connections from pods arrive at, once the VM's rules have redirected them. A firewall on the VM
/// sees these ports, and not those of the services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Whether pods connect by IPv6.
    pub ipv6: bool,
    /// None if nothing is redirected: the services' own ports count.
    pub ports: Vec<u16>,
}

/// A release of Istio. The VM downloads the package for its own distribution and architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// URL of the folder, with e.g. `deb/istio-sidecar.deb` below it, each package with a `.sha256` file.
    pub url: String,
    /// Version that the VM must have; `None`: any installed version is accepted.
    pub version: Option<IstioVersion>,
}

/// A file on the VM.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// User and group: `root` or `istio-proxy`.
    pub owner: &'static str,
    /// Permission bits, e.g. `0o644`.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
    /// Whether a difference is drift.
    pub watch: Watch,
}

/// Whether a difference of a file on the VM is drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It is drift, and the file is part of the digest.
    Yes,
    /// It is not, because the agent rewrites the file (the root certificate).
    No,
}

/// UID of an owner that is not known. No mark on a VM has it.
pub const UNKNOWN_UID: &str = "unknown";

/// Owner of a VM's proxy. Stored on the VM as one line `uid namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// UID of the entry; empty while it is unknown.
    pub uid: String,
    /// Namespace and name of the entry.
    pub id: Id,
}

/// SHA-256 of a bundle in lower-case hex. It does not cover secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
