//! The actual state in the cluster and on the VM.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::desired::{Kind, Owner};
use crate::mark::Mark;
use crate::names::{Id, Name, Namespace};
use crate::workload::Runtime;

/// Objects of one workload or fleet as the API server returned them; `None` or absent: `NotFound`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedObjects {
    /// The whole `WorkloadEntry`.
    pub entry: Option<Value>,
    /// The whole `WorkloadGroup`, of a fleet.
    pub group: Option<Value>,
    /// The whole `Lease`, of a fleet.
    pub lease: Option<Value>,
    /// Whole `ServiceEntry` objects by name: the requested ones, and all that carry the mark.
    pub services: BTreeMap<Name, Value>,
    /// Whole `Sidecar` objects by name, likewise.
    pub sidecars: BTreeMap<Name, Value>,
}

impl ObservedObjects {
    /// Returns true if there are no objects. A Lease alone is none: a member creates it that finds none.
    pub fn is_empty(&self) -> bool {
        let single = self.entry.is_none() && self.group.is_none();
        single && self.services.is_empty() && self.sidecars.is_empty()
    }

    /// Returns the UID of the entry, if it exists.
    pub fn entry_uid(&self) -> Option<&str> {
        self.entry.as_ref()?["metadata"]["uid"].as_str()
    }

    /// Returns an object. For the entry, the group and the Lease, `name` is ignored.
    pub fn get(&self, kind: Kind, name: &Name) -> Option<&Value> {
        match kind {
            Kind::WorkloadEntry => self.entry.as_ref(),
            Kind::WorkloadGroup => self.group.as_ref(),
            Kind::Lease => self.lease.as_ref(),
            Kind::ServiceEntry => self.services.get(name),
            Kind::Sidecar => self.sidecars.get(name),
        }
    }

    /// Returns the objects that carry the mark, including those that are no longer declared. A Lease is left out: it may
    /// be there without being declared.
    pub fn marked<'a>(
        &'a self,
        namespace: &'a Namespace,
        mark: &'a Mark,
    ) -> impl Iterator<Item = (Kind, Id)> + 'a {
        let single = [
            (Kind::WorkloadEntry, &self.entry),
            (Kind::WorkloadGroup, &self.group),
        ];
        let single = single
            .into_iter()
            .filter_map(|(kind, object)| Some((kind, mark.name(), object.as_ref()?)));
        let named = [
            (Kind::ServiceEntry, &self.services),
            (Kind::Sidecar, &self.sidecars),
        ];
        let named = named
            .into_iter()
            .flat_map(|(kind, objects)| objects.iter().map(move |(name, of)| (kind, name, of)));
        let all = named.chain(single);
        all.filter(|(_, _, object)| Mark::of(object).as_ref() == Some(mark))
            .map(|(kind, name, _)| {
                let (namespace, name) = (namespace.clone(), name.clone());
                (kind, Id { namespace, name })
            })
    }
}

/// Connection and health of the proxy as istiod reports them on the entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// `istio.io/connectedAt`, as istiod wrote it.
    pub connected_at: Option<String>,
    /// `istio.io/disconnectedAt`, as istiod wrote it.
    pub disconnected_at: Option<String>,
    /// Latest result of the proxy's health check; `None`: none yet, or no health check.
    pub healthy: Option<bool>,
    /// Why the application is unhealthy, as reported by the proxy.
    pub unhealthy: Option<String>,
}

impl Connection {
    /// Reads the connection from a whole `WorkloadEntry`.
    pub fn from_entry(entry: &Value) -> Self {
        let annotations = &entry["metadata"]["annotations"];
        let health = conditions(entry)
            .iter()
            .find(|condition| is_health(condition));
        let said = |key: &str| health.and_then(|health| health[key].as_str());
        let text = |key: &str| annotations[key].as_str().map(str::to_owned);
        Self {
            connected_at: text("istio.io/connectedAt"),
            disconnected_at: text("istio.io/disconnectedAt"),
            healthy: said("status").map(|status| status == "True"),
            unhealthy: said("message").map(str::to_owned),
        }
    }
}

/// Returns the conditions of a healthy entry without the `Healthy` condition; `None` if it is not healthy. With a health
/// check, an entry that is written like this receives no traffic until the proxy restarts.
pub fn without_health(entry: &Value) -> Option<Vec<Value>> {
    let conditions = conditions(entry);
    let healthy = Connection::from_entry(entry).healthy == Some(true);
    let others = conditions
        .iter()
        .filter(|condition| !is_health(condition))
        .cloned();
    healthy.then(|| others.collect())
}

/// Returns the conditions of an entry with the `Healthy` condition that it had `before`; `None` if it was not healthy.
/// A proxy that was not restarted does not report its health again.
pub fn with_health_of(entry: &Value, before: &Value) -> Option<Vec<Value>> {
    without_health(before)?;
    let others = conditions(entry).iter().filter(|of| !is_health(of));
    let health = conditions(before).iter().filter(|of| is_health(of));
    Some(others.chain(health).cloned().collect())
}

/// Returns the status conditions of an entry.
pub fn conditions(entry: &Value) -> &[Value] {
    entry["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn is_health(condition: &Value) -> bool {
    condition["type"] == "Healthy"
}

/// The VM as the remote program observed it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedVm {
    /// `/etc/machine-id`; empty if it does not exist.
    pub machine_id: String,
    /// Owner of the proxy, from the marker file.
    pub owner: Option<Owner>,
    /// Requested files by path.
    pub files: BTreeMap<String, Seen>,
    /// Files that define the proxy's unit and were changed, removed or added since the last bootstrap.
    pub changed: Vec<String>,
    /// Lines of `/etc/hosts` between our markers.
    pub hosts_lines: Vec<String>,
    /// The proxy's runtime.
    pub runtime: SeenRuntime,
    /// Start and end of the workload certificate's validity.
    pub certificate: Option<(Timestamp, Timestamp)>,
    /// Jumps to chains of Istio and of the provider that have rules, as `backend/table/from/to`, e.g.
    /// `nft/nat/OUTPUT/ISTIO_OUTPUT`; `6nft/…` for IPv6.
    pub jumps: Vec<String>,
    /// Jumps of the last bootstrap that no longer exist, as `family/table/from/to`, and those whose order is now reversed,
    /// as `family/table/from/first/second`. Empty after a bootstrap by an earlier version, which did not record them.
    pub lost_jumps: Vec<String>,
    /// Step of a run that was started and neither finished nor undone.
    pub unfinished: Option<String>,
}

/// A file as it was observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It does not exist.
    Missing,
    /// It exists and was not read, for this reason, e.g. `is a link`.
    Odd(String),
    /// It exists.
    File {
        /// Owner.
        owner: String,
        /// Permission bits.
        mode: u32,
        /// Content.
        content: Vec<u8>,
    },
}

/// The proxy's runtime as it was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRuntime {
    /// Runtime that the last bootstrap set up.
    pub kind: Runtime,
    /// Image of its container, if that exists; empty: an image that no bootstrap selected.
    pub image: Option<String>,
    /// State of the proxy's unit.
    pub unit: UnitState,
    /// Version of the installed package, or of the proxy.
    pub version: Option<String>,
    /// Whether `GET :15021/healthz/ready` returned 200.
    pub ready: bool,
}

/// State of a systemd unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitState {
    /// `systemctl is-active`, e.g. `active`, `inactive`, `failed`; empty: no such unit.
    pub active: String,
    /// `systemctl is-enabled`, e.g. `enabled`, `disabled`; empty: no such unit.
    pub enabled: String,
}
