//! What is, in the cluster and on the VM.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::desired::{Kind, Owner};
use crate::mark::Mark;
use crate::names::{Id, Name, Namespace};
use crate::workload::Runtime;

/// The objects of one workload or fleet as the API server has them; `None` or absent: `NotFound`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedObjects {
    /// The whole `WorkloadEntry`.
    pub entry: Option<Value>,
    /// The whole `WorkloadGroup`, of a fleet.
    pub group: Option<Value>,
    /// Whole `ServiceEntry` objects by name: those asked for, and all that carry the workload's mark.
    pub services: BTreeMap<Name, Value>,
    /// Whole `Sidecar` objects by name, likewise.
    pub sidecars: BTreeMap<Name, Value>,
}

impl ObservedObjects {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        let single = self.entry.is_none() && self.group.is_none();
        single && self.services.is_empty() && self.sidecars.is_empty()
    }

    /// Returns an object; the entry and the group whatever `name` is.
    pub fn get(&self, kind: Kind, name: &Name) -> Option<&Value> {
        match kind {
            Kind::WorkloadEntry => self.entry.as_ref(),
            Kind::WorkloadGroup => self.group.as_ref(),
            Kind::ServiceEntry => self.services.get(name),
            Kind::Sidecar => self.sidecars.get(name),
        }
    }

    /// Returns the objects that carry the mark, whether or not they are still asked for.
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

/// What istiod itself says of the proxy, from the entry's annotations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// `istio.io/connectedAt`, as istiod wrote it.
    pub connected_at: Option<String>,
    /// `istio.io/disconnectedAt`, as istiod wrote it.
    pub disconnected_at: Option<String>,
    /// What the proxy's probe of the application found last; `None`: nothing yet, or none is made.
    pub healthy: Option<bool>,
    /// Why it is not healthy, as the proxy says.
    pub unhealthy: Option<String>,
}

impl Connection {
    /// Reads it from a whole `WorkloadEntry`.
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

/// Returns the conditions of an entry without that of its health, if it is healthy: with a health
/// check, one that is written so takes no traffic until the proxy's next start.
pub fn without_health(entry: &Value) -> Option<Vec<Value>> {
    let conditions = conditions(entry);
    let healthy = Connection::from_entry(entry).healthy == Some(true);
    let others = conditions
        .iter()
        .filter(|condition| !is_health(condition))
        .cloned();
    healthy.then(|| others.collect())
}

/// Returns what istiod says of an entry.
pub fn conditions(entry: &Value) -> &[Value] {
    entry["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn is_health(condition: &Value) -> bool {
    condition["type"] == "Healthy"
}

/// The VM as the remote program found it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedVm {
    /// `/etc/machine-id`; empty where there is none.
    pub machine_id: String,
    /// The marker of who owns the proxy.
    pub owner: Option<Owner>,
    /// The files that were asked for, by path.
    pub files: BTreeMap<String, Seen>,
    /// Files that say how the proxy's unit runs and that are changed, gone or new since the last bootstrap.
    pub changed: Vec<String>,
    /// Lines of `/etc/hosts` between our marks.
    pub hosts_lines: Vec<String>,
    /// How the proxy runs.
    pub runtime: SeenRuntime,
    /// Begin and end of the workload certificate.
    pub certificate: Option<(Timestamp, Timestamp)>,
    /// Jumps to chains of Istio's and ours that have rules, as `backend/table/from/to`, e.g.
    /// `nft/nat/OUTPUT/ISTIO_OUTPUT`, `6nft/…` for IPv6.
    pub jumps: Vec<String>,
    /// Jumps that the last bootstrap left and that are gone, as `family/table/from/to`; and those that come in the
    /// opposite order now, as `family/table/from/first/second`. A bootstrap of an earlier version left no list of them.
    pub lost_jumps: Vec<String>,
    /// A run that was begun and neither finished nor undone: its step.
    pub unfinished: Option<String>,
}

/// A file as it was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// There is none.
    Missing,
    /// It is there and was not read: why, e.g. `is a link`.
    Odd(String),
    /// It is there.
    File {
        /// User that owns it.
        owner: String,
        /// Permission bits.
        mode: u32,
        /// Its content.
        content: Vec<u8>,
    },
}

/// The proxy as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRuntime {
    /// As what the last bootstrap made it run.
    pub kind: Runtime,
    /// The image of its container, if that exists; empty: one that no bootstrap chose.
    pub image: Option<String>,
    /// The unit of the proxy.
    pub unit: UnitState,
    /// Version of the installed package or proxy.
    pub version: Option<String>,
    /// `GET :15021/healthz/ready` answered 200.
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
