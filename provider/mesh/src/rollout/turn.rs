//! Whose turn it is: a bootstrap takes a member's traffic away only while fewer of the others than the limit are without.
//!
//! What counts is a VM, not an entry: while one entry takes a VM over from another, both have its address.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::Rollout;
use crate::mark::FLEET_LABEL;
use crate::names::Id;
use crate::objects::HEALTH_CHECKS;
use crate::observed::Connection;
use crate::withdrawal::{Operation, Withdrawal};

/// Why an entry is without traffic. Two values differ if the entry has changed in a way that shows progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// A run has withdrawn it. The mark changes each time that the run renews it.
    Withdrawn(Withdrawal),
    /// Somebody deletes it.
    Deleted,
    /// istiod reports its proxy as disconnected, since this time.
    Disconnected(String),
    /// Its health check fails, or has not succeeded yet.
    Unhealthy,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withdrawn(Withdrawal { by: Some(by), .. }) => write!(f, "withdrawn by a {by}"),
            Self::Withdrawn(_) => f.write_str("withdrawn"),
            Self::Deleted => f.write_str("being deleted"),
            Self::Disconnected(_) => f.write_str("disconnected"),
            Self::Unhealthy => f.write_str("unhealthy"),
        }
    }
}

/// Returns why an entry is without traffic; `None`: it takes traffic, or istiod has never said anything about it.
pub fn absence(entry: &Value) -> Option<Absence> {
    if let Some(mark) = Withdrawal::of(entry) {
        return Some(Absence::Withdrawn(mark));
    }
    if entry["metadata"]["deletionTimestamp"].is_string() {
        return Some(Absence::Deleted);
    }
    let connection = Connection::from_entry(entry);
    if let Some(since) = connection.disconnected_at {
        return Some(Absence::Disconnected(since));
    }
    let is_probed = entry["metadata"]["annotations"][HEALTH_CHECKS] == "true";
    let is_known = connection.connected_at.is_some() || connection.healthy.is_some();
    let is_unhealthy = is_probed && is_known && connection.healthy != Some(true);
    is_unhealthy.then_some(Absence::Unhealthy)
}

/// Returns the fleet of which an entry is a member, whoever made the entry.
pub fn fleet_of(entry: &Value, id: &Id) -> Option<Id> {
    let name = entry["spec"]["labels"][FLEET_LABEL].as_str()?;
    Some(Id {
        namespace: id.namespace.clone(),
        name: name.parse().ok()?,
    })
}

/// A member that a bootstrap waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Its entry.
    pub id: Id,
    /// Why it is without traffic.
    pub absence: Absence,
}

/// What a bootstrap may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Begin: it takes no traffic away.
    Free,
    /// Begin: the limit allows it.
    Granted,
    /// Wait for one of these.
    Waits(Vec<Waited>),
}

/// Decides whether a bootstrap may take away the traffic of its `own` entries. `entries` are all of the fleet's
/// namespace: a VM that another entry has brought back into service elsewhere is not waited for.
pub fn turn(rollout: Rollout, fleet: &Id, own: &[Id], entries: &[(Id, Value)]) -> Turn {
    let vms = vms(fleet, entries);
    let is_own = |vm: &&Vm<'_>| vm.members.iter().any(|(id, _)| own.contains(id));
    if !vms.values().filter(is_own).any(|vm| vm.absence().is_none()) {
        return Turn::Free;
    }
    let limit = rollout.max_unavailable.of(vms.len());
    let others = vms.values().filter(|vm| !is_own(vm));
    let waited: Vec<_> = others.filter_map(Vm::absence).collect();
    if waited.len() < limit {
        Turn::Granted
    } else {
        Turn::Waits(waited)
    }
}

/// A VM of a fleet.
#[derive(Default)]
struct Vm<'a> {
    /// The entries with its address that are members.
    members: Vec<(&'a Id, &'a Value)>,
    /// Whether an entry with its address takes traffic.
    serves: bool,
}

impl Vm<'_> {
    /// Returns the member that is without traffic, and why; `None`: the VM takes traffic.
    fn absence(&self) -> Option<Waited> {
        let mut absent = self.members.iter().filter(|_| !self.serves);
        absent.find_map(|(id, entry)| {
            let absence = absence(entry)?;
            Some(Waited {
                id: (*id).clone(),
                absence,
            })
        })
    }
}

/// Returns the VMs of a fleet by address. A first join counts only once it was admitted.
fn vms<'a>(fleet: &Id, entries: &'a [(Id, Value)]) -> BTreeMap<&'a str, Vm<'a>> {
    let mut vms = BTreeMap::<_, Vm<'_>>::new();
    let address = |id: &'a Id, entry: &'a Value| {
        let address = entry["spec"]["address"].as_str();
        // An entry without an address stands for itself.
        address.unwrap_or(id.name.as_str())
    };
    for (id, entry) in entries {
        if is_member(fleet, id, entry) && !is_joining(entry) {
            let vm = vms.entry(address(id, entry)).or_default();
            vm.members.push((id, entry));
        }
    }
    for (id, entry) in entries {
        if let Some(vm) = vms.get_mut(address(id, entry)) {
            vm.serves |= absence(entry).is_none();
        }
    }
    vms
}

/// Returns whether an entry is a member of a fleet, or leaves it by a bootstrap that still keeps its traffic away.
fn is_member(fleet: &Id, id: &Id, entry: &Value) -> bool {
    let leaves = || Withdrawal::of(entry)?.leaves;
    fleet_of(entry, id).as_ref() == Some(fleet)
        || id.namespace == fleet.namespace && leaves().as_ref() == Some(&fleet.name)
}

/// Returns whether an entry has never taken traffic yet.
fn is_joining(entry: &Value) -> bool {
    let mark = Withdrawal::of(entry);
    mark.is_some_and(|mark| mark.by == Some(Operation::Create))
}
