//! Fleets: services, a Sidecar and a group for autoscaled VMs, which several VMs share.
//!
//! A fleet has no VM and no address. Its objects select its members by the provider's label `mesh.vm/fleet: <name>`,
//! which the entry and the proxy of each member carry.

use std::collections::BTreeMap;

use crate::health::HealthCheck;
use crate::mark::Mark;
use crate::names::{Id, LabelKey, LabelValue, Locality, Name, Network, Port, PortName};
use crate::rollout::Rollout;
use crate::workload::{Service, Sidecar, Workload};

/// A fleet, as the user declared it. Unknown values count as absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Namespace and name.
    pub id: Id,
    /// Services by name. Each service with hosts becomes a `ServiceEntry` that selects the members.
    pub services: BTreeMap<Name, Service>,
    /// Sidecar of all members; `None`: no `Sidecar` is managed.
    pub sidecar: Option<Sidecar>,
    /// Group; `None`: no `WorkloadGroup` is managed.
    pub group: Option<Group>,
    /// How the members are bootstrapped; `None`: the default, and no `Lease` is managed.
    pub rollout: Option<Rollout>,
}

/// Template of the entries that istiod creates for VMs that register themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Labels of the entries.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Annotations of the entries.
    pub annotations: BTreeMap<String, String>,
    /// Kubernetes service account in the VMs' certificates.
    pub service_account: Name,
    /// Network of the VMs.
    pub network: Option<Network>,
    /// `region/zone/subzone`.
    pub locality: Option<Locality>,
    /// Load-balancing weight of each VM, 0 or more.
    pub weight: Option<u32>,
    /// Ports of the entries by name.
    pub ports: BTreeMap<PortName, Port>,
    /// Health check of the application; `None`: it counts as healthy.
    pub health_check: Option<HealthCheck>,
}

impl Fleet {
    /// Returns the mark of the fleet's objects and of its members' entries.
    pub fn mark(&self) -> Mark {
        Mark::Fleet(self.id.name.clone())
    }

    /// Returns a workload with the fleet's services and Sidecar, so that the same rules apply to both.
    pub(crate) fn as_one(&self) -> Workload {
        Workload {
            services: self.services.clone(),
            sidecar: self.sidecar.clone(),
            ..Workload::bare(self.id.clone(), self.id.name.clone())
        }
    }

    /// Returns a workload of the group, so that the rules of an entry apply to those that istiod creates.
    pub(crate) fn entry_of(&self, group: &Group) -> Workload {
        Workload {
            labels: group.labels.clone(),
            annotations: group.annotations.clone(),
            network: group.network.clone(),
            locality: group.locality.clone(),
            weight: group.weight,
            ports: group.ports.clone(),
            ..Workload::bare(self.id.clone(), group.service_account.clone())
        }
    }
}
