//! What a VM needs to be a member of an Istio mesh, as pure functions from values to values.
//!
//! ```text
//! config -> Workload ─┐
//!             Facts ──┴-> render -> Desired ─┬-> objects -> cluster
//!                                            └-> bundle  -> vm
//! Desired, ObservedObjects, ObservedVm -> compare -> Drift
//! edits, Drift                         -> decide  -> Change
//! ```
//!
//! **Invariant**: no clock, environment, file system, network or process is used here, and no
//! word of Terraform's.

pub mod bounded;
pub mod bundle;
pub mod cause;
pub mod change;
pub mod conflicts;
pub mod desired;
pub mod drift;
pub mod facts;
pub mod fleet;
pub mod health;
pub mod import;
pub mod leftover;
pub mod mark;
pub mod names;
pub mod network;
pub mod objects;
pub mod observed;
pub mod plain;
pub mod ports;
mod proxy_config;
pub mod render;
pub mod source;
pub mod validate;
pub mod workload;

pub use cause::Cause;
pub use change::{Change, Drift, Edit, Effect, Problem, decide};
pub use conflicts::{
    conflicts, fleet_conflicts, replaced, taken_addresses, taken_objects, taken_services,
};
pub use desired::{Bundle, Desired, Digest, File, Kind, Manifest, Owner, Release, Watch};
pub use drift::compare;
pub use facts::{ControlPlane, Facts, Other, Pem, discovery_address};
pub use fleet::{Fleet, Group};
pub use health::{HealthCheck, Probe, Scheme};
pub use import::{Imported, ImportedFleet, fleet_from_objects, workload_from_objects};
pub use leftover::{adoption, leftover};
pub use mark::Mark;
pub use names::{
    Address, Cidr, EgressHost, EnvName, ExportTo, Fqdn, Host, Id, ImageName, Invalid, LabelKey,
    LabelValue, Listen, Locality, Name, Namespace, Network, Port, PortName, Protocol, Sha256,
    SpiffeId,
};
pub use network::{Announced, Endpoint, Networks, Way};
pub use objects::{
    as_it_is, declared, fleet_objects, is_unfinished, is_withdrawn, object_ids, withdrawn,
};
pub use observed::{Connection, ObservedObjects, ObservedVm, Seen, SeenRuntime, UnitState};
pub use proxy_config::ProxyConfig;
pub use render::{render, render_bundle};
pub use source::{Source, touched};
pub use validate::{validate, validate_bundle, validate_fleet};
pub use workload::{
    Capture, EgressListener, Install, Interception, OutboundTraffic, Proxy, PullPolicy, Runtime,
    Service, ServicePort, Sidecar, Workload,
};
