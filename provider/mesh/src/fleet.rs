//! What several VMs share: services behind one name, one Sidecar, and a group for VMs that come and
//! go by themselves.
//!
//! A fleet has no VM and no address of its own. Its objects select its members by a label of ours,
//! `mesh.vm/fleet: <name>`, which the entry of each member carries, and its proxy, too.

use std::collections::BTreeMap;

use crate::health::HealthCheck;
use crate::mark::Mark;
use crate::names::{Id, LabelKey, LabelValue, Locality, Name, Network, Port, PortName};
use crate::workload::{Service, Sidecar, Workload};

/// What several VMs share, as the user wrote it. Unknown values count as absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Namespace and name.
    pub id: Id,
    /// Each with hosts becomes a `ServiceEntry` that selects the members.
    pub services: BTreeMap<Name, Service>,
    /// The `Sidecar` of all members; `None`: not ours.
    pub sidecar: Option<Sidecar>,
    /// The `WorkloadGroup`; `None`: not ours.
    pub group: Option<Group>,
}

/// What istiod makes the entry of from a VM that registers itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Labels of the entries.
    pub labels: BTreeMap<LabelKey, LabelValue>,
    /// Annotations of the entries.
    pub annotations: BTreeMap<String, String>,
    /// The service account that the VMs' certificates name.
    pub service_account: Name,
    /// The network the VMs are on.
    pub network: Option<Network>,
    /// `region/zone/subzone`.
    pub locality: Option<Locality>,
    /// Share of the traffic of each VM, from 0.
    pub weight: Option<u32>,
    /// Ports of the entries by name.
    pub ports: BTreeMap<PortName, Port>,
    /// How the application is probed; `None`: not at all.
    pub health_check: Option<HealthCheck>,
}

impl Fleet {
    /// Returns the mark of its objects, and of its members' entries.
    pub fn mark(&self) -> Mark {
        Mark::Fleet(self.id.name.clone())
    }

    /// Returns a VM that offers all of it alone: what holds for that one's services and Sidecar
    /// holds for the fleet's.
    pub(crate) fn as_one(&self) -> Workload {
        Workload {
            services: self.services.clone(),
            sidecar: self.sidecar.clone(),
            ..Workload::bare(self.id.clone(), self.id.name.clone())
        }
    }

    /// Returns a VM of the group: what holds for its entry holds for those that istiod makes.
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
