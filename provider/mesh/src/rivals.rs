//! Objects of others that select a workload's VM or claim its hosts.
//!
//! istiod applies one Sidecar to a proxy: of those whose selector matches, the oldest. Of several `ServiceEntry` objects of
//! a namespace with the same host, it uses the oldest, too. A Sidecar without a selector is no rival: one with a selector
//! takes precedence over it. Neither is a `ServiceEntry` with another host: a VM may belong to several services.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::bundle::environment::labels;
use crate::change::Problem;
use crate::desired::Kind;
use crate::fleet::Fleet;
use crate::leftover::owned;
use crate::mark::{FLEET_LABEL, Mark, is_ours};
use crate::names::{Id, Name};
use crate::objects::object_ids;
use crate::rule::Rule;
use crate::selection::{entry_labels, sidecar_selects};
use crate::workload::Workload;

/// What a workload or a fleet claims in its namespace: its hosts, and one Sidecar for each of its VMs.
pub struct Claims {
    /// Its services and its Sidecar.
    workload: Workload,
    /// Marks of its own objects, and of the fleet's.
    marks: Vec<Mark>,
    /// Its own objects, including those that an import found and no apply has marked yet.
    own: BTreeSet<(Kind, Name)>,
    /// Labels by which Sidecars select its VMs.
    labels: Vec<Map<String, Value>>,
}

/// An object of others that makes it a matter of age which one istiod uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Rival {
    /// `ServiceEntry` or `Sidecar`.
    pub kind: Kind,
    /// Namespace and name.
    pub id: Id,
    /// Attribute of the declaration that it concerns.
    concerns: String,
    /// The host of a `ServiceEntry`.
    host: Option<String>,
}

impl Claims {
    /// Returns the claims of a workload. `entry` is its entry as observed: others may have added labels. `prior` are
    /// the objects that it had so far, which the next apply removes.
    pub fn of_workload(
        workload: &Workload,
        entry: Option<&Value>,
        prior: impl IntoIterator<Item = (Kind, Id)>,
    ) -> Self {
        let fleet = workload.fleet.as_ref();
        let fleet = fleet.map(|id| Mark::Fleet(id.name.clone()));
        let proxy = labels(workload).as_object().cloned().unwrap_or_default();
        let mut of_entry = entry.map(labels_of_others).unwrap_or_default();
        of_entry.extend(proxy.clone());
        let own = object_ids(workload).into_iter().chain(prior);
        Self {
            workload: workload.clone(),
            marks: [Some(workload.mark()), fleet]
                .into_iter()
                .flatten()
                .collect(),
            own: own.map(|(kind, id)| (kind, id.name)).collect(),
            labels: vec![proxy, of_entry],
        }
    }

    /// Returns the claims of a fleet. `members` are the entries of its members as observed.
    pub fn of_fleet(
        fleet: &Fleet,
        members: &[Value],
        prior: impl IntoIterator<Item = (Kind, Id)>,
    ) -> Self {
        let name = Value::from(fleet.id.name.as_str());
        let group = fleet.group.iter().flat_map(|group| &group.labels);
        let group = group.map(|(key, value)| (key.to_string(), value.as_str().into()));
        let mark = [(FLEET_LABEL.to_owned(), name)];
        let registered = group.chain(mark).collect();
        let workload = fleet.as_one();
        let own = object_ids(&workload).into_iter().chain(prior);
        Self {
            own: own.map(|(kind, id)| (kind, id.name)).collect(),
            workload,
            marks: vec![fleet.mark()],
            labels: members
                .iter()
                .map(entry_labels)
                .chain([registered])
                .collect(),
        }
    }

    /// Returns true if an object of the namespace has a part in the claims. [`rivals`](Self::rivals) needs all of these.
    pub fn concern(&self, kind: Kind, object: &Value) -> bool {
        match kind {
            Kind::Sidecar => self.labels.iter().any(|of| sidecar_selects(object, of)),
            Kind::ServiceEntry => self.hosts_in(object).next().is_some(),
            Kind::WorkloadEntry | Kind::WorkloadGroup | Kind::Lease => false,
        }
    }

    /// Returns the rivals among the objects that [`concern`](Self::concern) the claims.
    pub fn rivals(&self, objects: &[(Kind, Value)]) -> Vec<Rival> {
        let sidecars = objects.iter().filter(|(kind, _)| *kind == Kind::Sidecar);
        let (own, others): (Vec<_>, Vec<_>) =
            sidecars.partition(|(kind, of)| self.is_own(*kind, of));
        let has_own = !own.is_empty() || self.workload.sidecar.is_some();
        // Exactly one may match a VM, whoever made it.
        let is_one_of_several = |of: &Value| {
            self.labels.iter().any(|labels| {
                let matching = others.iter().filter(|(_, of)| sidecar_selects(of, labels));
                sidecar_selects(of, labels) && (has_own || matching.count() > 1)
            })
        };
        let sidecars = others.iter().filter(|(_, of)| is_one_of_several(of));
        let sidecars = sidecars.filter_map(|(kind, of)| self.rival(*kind, of, None));
        let services = objects.iter().filter(|(kind, of)| {
            *kind == Kind::ServiceEntry && !self.is_own(*kind, of) && !is_ours(of)
        });
        let services = services.filter_map(|(kind, of)| {
            let claimed = self.hosts_in(of).next()?;
            self.rival(*kind, of, Some(claimed))
        });
        sidecars.chain(services).collect()
    }

    fn rival(
        &self,
        kind: Kind,
        object: &Value,
        claimed: Option<(String, String)>,
    ) -> Option<Rival> {
        let namespace = self.workload.id.namespace.clone();
        let (concerns, host) = match claimed {
            Some((service, host)) => (format!("services.{service}.hosts"), Some(host)),
            None if self.workload.sidecar.is_some() => ("sidecar".to_owned(), None),
            None => ("labels".to_owned(), None),
        };
        let name = name_of(object)?;
        Some(Rival {
            kind,
            id: Id { namespace, name },
            concerns,
            host,
        })
    }

    fn is_own(&self, kind: Kind, object: &Value) -> bool {
        let marked = Mark::of(object).is_some_and(|mark| self.marks.contains(&mark));
        marked || name_of(object).is_some_and(|name| self.own.contains(&(kind, name)))
    }

    /// Returns each service, and its host that the object has as well.
    fn hosts_in(&self, object: &Value) -> impl Iterator<Item = (String, String)> {
        let hosts = object["spec"]["hosts"].as_array();
        let hosts: BTreeSet<_> = hosts
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.workload
            .services
            .iter()
            .filter_map(move |(name, service)| {
                let mut own = service.hosts.iter().map(ToString::to_string);
                let host = own.find(|host| hosts.contains(host.as_str()))?;
                Some((name.to_string(), host))
            })
    }
}

impl Rival {
    /// Returns the problem that prevents an apply.
    pub fn problem(&self) -> Problem {
        let Self { kind, id, .. } = self;
        let (rule, text) = match &self.host {
            None => (
                Rule::SidecarSelectsVm,
                format!(
                    "The {kind} {id} selects the VM as well. istiod applies one Sidecar to a proxy, the oldest of those \
                     whose workloadSelector matches, so one of them would have no effect. Delete that Sidecar, or change \
                     its workloadSelector so that it does not match the labels of the VM."
                ),
            ),
            Some(host) => (
                Rule::HostTaken,
                format!(
                    "The {kind} {id}, which this provider does not manage, has the host {host} as well. istiod uses the \
                     oldest ServiceEntry with a host, so one of them would have no effect. Delete that ServiceEntry, \
                     remove the host from it, or use another host here."
                ),
            ),
        };
        Problem {
            concerns: vec![self.concerns.clone()],
            rule,
            text,
        }
    }

    /// Returns the text of the line of drift.
    pub(crate) fn line(&self) -> String {
        let Self { kind, id, .. } = self;
        match &self.host {
            None => format!(
                "{kind} {id} selects the VM as well, and istiod applies only the oldest Sidecar"
            ),
            Some(host) => format!(
                "{kind} {id} has the host {host} as well, and istiod uses only the oldest one"
            ),
        }
    }
}

/// Returns the labels of an entry that stay whatever we apply.
fn labels_of_others(entry: &Value) -> Map<String, Value> {
    let mut labels = entry_labels(entry);
    let ours = owned(entry).map(|ours| entry_labels(&ours));
    for key in ours.iter().flat_map(Map::keys) {
        labels.remove(key);
    }
    labels
}

fn name_of(object: &Value) -> Option<Name> {
    object["metadata"]["name"].as_str()?.parse().ok()
}
