//! What one operation of an apply reserves against the others: the ID, the objects and the address. Operations of one
//! apply run at the same time, and none sees in the cluster what another one has not written yet.

use serde_json::json;

use crate::change::Problem;
use crate::conflicts::taken_of;
use crate::desired::Kind;
use crate::fleet::Fleet;
use crate::mark::{MANAGED_BY_LABEL, MANAGER, Mark};
use crate::names::{Address, Id};
use crate::objects::{fleet_objects, object_ids};
use crate::observed::ObservedObjects;
use crate::rule::Rule;
use crate::workload::Workload;

/// What one operation reserves.
#[derive(Clone, Debug)]
pub struct Reserved {
    mark: Mark,
    /// For a fleet, a workload with its services and Sidecar.
    workload: Workload,
    objects: Vec<(Kind, Id)>,
}

impl Reserved {
    /// Returns what a create or an update of a workload reserves.
    pub fn of_workload(workload: &Workload) -> Self {
        Self {
            mark: workload.mark(),
            objects: object_ids(workload),
            workload: workload.clone(),
        }
    }

    /// Returns what a create or an update of a fleet reserves.
    pub fn of_fleet(fleet: &Fleet) -> Self {
        let objects = fleet_objects(fleet).into_iter();
        Self {
            mark: fleet.mark(),
            objects: objects.map(|of| (of.kind, of.id)).collect(),
            workload: fleet.as_one(),
        }
    }

    /// Returns the mark of the objects.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Returns namespace and name.
    pub fn id(&self) -> &Id {
        &self.workload.id
    }

    /// Returns the address of the VM.
    pub fn address(&self) -> Option<&Address> {
        self.workload.address.as_ref()
    }

    /// Returns whether both are of the same workload or fleet.
    pub fn is_same(&self, other: &Self) -> bool {
        self.mark == other.mark && self.id().namespace == other.id().namespace
    }

    /// Returns whether this takes over the VM of another workload, in the same namespace.
    pub fn takes_vm_of(&self, other: &Self) -> bool {
        let is_near = self.id().namespace == other.id().namespace;
        let is_there = self.address().is_some() && self.address() == other.address();
        !self.is_same(other) && is_near && is_there
    }

    /// Returns the conflicts with what another workload or fleet reserved `first`.
    pub fn conflicts(&self, first: &Self) -> Vec<Problem> {
        let mut problems = taken_of(&self.mark, &self.workload, &first.as_observed(self));
        problems.extend(self.shared_address(first));
        problems
    }

    /// Returns the objects as an observation that shows whose they are.
    fn as_observed(&self, by: &Self) -> ObservedObjects {
        let mut observed = ObservedObjects::default();
        let labels =
            json!({ MANAGED_BY_LABEL: MANAGER, self.mark.label(): self.mark.name().as_str() });
        let object = json!({ "metadata": { "labels": labels } });
        let near = self.objects.iter();
        for (kind, id) in near.filter(|(_, id)| id.namespace == by.id().namespace) {
            let objects = match kind {
                Kind::ServiceEntry => &mut observed.services,
                Kind::Sidecar => &mut observed.sidecars,
                Kind::WorkloadEntry | Kind::WorkloadGroup | Kind::Lease => continue,
            };
            objects.insert(id.name.clone(), object.clone());
        }
        observed
    }

    /// The rule is that of an entry in the cluster: across namespaces, the network distinguishes two VMs.
    fn shared_address(&self, first: &Self) -> Option<Problem> {
        let (own, other) = (&self.workload, &first.workload);
        if own.id.namespace != other.id.namespace && own.network != other.network {
            return None;
        }
        let interface = |of: &Workload| of.instance_ip;
        let ip = |of: &Workload| of.address.as_ref().and_then(Address::ip);
        let same_address = own.address.is_some() && own.address == other.address;
        let own_interface = interface(own).is_some() && interface(own) == ip(other);
        let concern = match (same_address, own_interface) {
            (true, _) => "address",
            (_, true) => "instance_ip",
            _ if ip(own).is_some() && ip(own) == interface(other) => "address",
            _ => return None,
        };
        let address = match concern {
            "instance_ip" => other.address.as_ref(),
            _ => own.address.as_ref(),
        }?;
        Some(Problem {
            concerns: vec![concern.to_owned()],
            rule: Rule::AddressTaken,
            text: format!(
                "The address {address} also belongs to the {} {} of the same apply. istiod finds a VM by its address \
                 and could not distinguish the two. Give each its own address.",
                first.kind(),
                other.id
            ),
        })
    }

    /// Names the kind of what is reserved.
    pub fn kind(&self) -> &'static str {
        match self.mark {
            Mark::Workload(_) => "workload",
            Mark::Fleet(_) => "fleet",
        }
    }
}
