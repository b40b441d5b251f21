//! What should be, in the cluster and on the VM.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::names::{Id, IstioVersion, SpiffeId};
use crate::workload::Proxy;

/// Everything that should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The entry, which is written first: istiod refuses a proxy without one.
    pub entry: Manifest,
    /// The other objects, in the order in which they are written.
    pub others: Vec<Manifest>,
    /// What the VM runs on.
    pub bundle: Bundle,
}

/// The kinds of object that are written.
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
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WorkloadEntry => "WorkloadEntry",
            Self::WorkloadGroup => "WorkloadGroup",
            Self::ServiceEntry => "ServiceEntry",
            Self::Sidecar => "Sidecar",
        })
    }
}

/// One object: only the fields that are ours, so that server-side apply leaves the others alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub id: Id,
    /// `metadata` (labels, annotations) and `spec`; without `apiVersion`, `kind`, name, namespace.
    pub body: serde_json::Value,
}

/// What the VM runs on: no secret is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Files in the order in which they are placed.
    pub files: Vec<File>,
    /// What the workload itself sets of what the mesh could: variables by their names, settings of
    /// the mesh config by their paths.
    pub own: BTreeSet<String>,
    /// How the proxy runs.
    pub proxy: Proxy,
    /// Where the package is, where the user names none; `None`: it must be installed.
    pub release: Option<Release>,
    /// Who the VM is.
    pub identity: SpiffeId,
    /// Who owns the VM's proxy; written as a marker next to the files.
    pub owner: Owner,
    /// Line of `/etc/hosts` that names the control plane, e.g. `10.0.0.1 istiod.istio-system.svc`.
    pub hosts_line: Option<String>,
    /// `host:port` of istiod, for the checks.
    pub control_plane: String,
    /// Name that istiod's certificate must carry, for the checks.
    pub control_plane_san: String,
    /// Addresses of other entries, for the checks: the VM has none of them.
    pub taken: Vec<(IpAddr, Id)>,
    /// Whether the VM sets `ISTIO_SVC_IP` itself, to the address from which it calls the control plane:
    /// the bundle was made before the machine.
    pub finds_address: bool,
}

/// A release of Istio, whose package the VM fetches for its own kind of machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Its folder: `deb/istio-sidecar.deb` and the like are below it, each with a `.sha256` beside it.
    pub url: String,
    /// What the VM must have; `None`: any version that is installed will do.
    pub version: Option<IstioVersion>,
}

/// A file on the VM.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// `root` or `istio-proxy`; user and group.
    pub owner: &'static str,
    /// Permission bits, e.g. `0o644`.
    pub mode: u32,
    /// Content, byte for byte.
    pub content: Vec<u8>,
    /// Whether a difference is drift.
    pub watch: Watch,
}

/// Whether a difference on the VM is drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Yes, and it is part of the digest.
    Yes,
    /// No: the agent rewrites it (the root certificate).
    No,
}

/// Who a VM's proxy belongs to. Shape on the VM: one line `uid namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Uid of the entry; empty while it is not known.
    pub uid: String,
    /// Namespace and name of the entry.
    pub id: Id,
}

/// SHA-256 in lower-case hex over what the VM runs on, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
