//! What the user writes of a fleet: each attribute with its documentation and with what a change of it does.

use std::collections::BTreeMap;

use mesh::names::{LabelKey, LabelValue, Locality, Name, Namespace, Network, PortName};
use plugin::{Text, Timeouts, object};

use crate::rule::{OBJECTS, REPLACE};
use crate::workload::input::{FieldManagerInput, HealthCheckInput, ServiceInput, SidecarInput};
use crate::workload::leaf::PortNumber;

object! {
    /// What several virtual machines share: the `ServiceEntry` of each service, one `Sidecar`, and a `WorkloadGroup`
    /// for machines that register themselves.
    ///
    /// A `mesh_vm_workload` becomes a member with `fleet = mesh_vm_fleet.NAME.id`. It then declares neither services
    /// nor a sidecar. The fleet's objects select members by the label `mesh.vm/fleet` on each member's
    /// `WorkloadEntry`, so adding or removing a VM changes only that VM's entry. Each member's `weight` and
    /// `locality` determine its share of the traffic.
    ///
    /// The `address` of a member must be an IP address. Destroying a fleet removes its objects and reports members
    /// that are left without services.
    pub struct FleetInput {
        /// Namespace of the fleet and of all its members.
        Required namespace: Text<Namespace> => REPLACE,
        /// Name of the fleet. At most 63 characters, because it is the value of the label `mesh.vm/fleet`.
        Required name: Text<Name> => REPLACE,
        /// Services that every member offers, by name. Each becomes a `ServiceEntry` that selects the members.
        Optional services: BTreeMap<Text<Name>, ServiceInput> => OBJECTS,
        /// The `Sidecar` shared by all members. Its listeners follow from `services`. If unset, none is created.
        Optional sidecar: SidecarInput => OBJECTS,
        /// A `WorkloadGroup` with the fleet's name. If unset, none is created.
        Optional group: GroupInput => OBJECTS,
        /// How to handle conflicts with other owners of a field.
        Optional field_manager: FieldManagerInput,
        /// Time limit for each operation, e.g. `20m`.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// A `WorkloadGroup`. From it, istiod creates the `WorkloadEntry` of a machine that registers itself, e.g. one of
    /// an autoscaling group. istiod removes the entry after the machine has gone; the provider never manages it.
    pub struct GroupInput {
        /// Labels of the entries. The label that makes them members is added.
        Optional labels: BTreeMap<Text<LabelKey>, Text<LabelValue>> => OBJECTS,
        /// Annotations of the entries.
        Optional annotations: BTreeMap<String, String> => OBJECTS,
        /// Kubernetes service account in the machines' certificates. Default: `default`.
        Optional service_account: Text<Name> => OBJECTS,
        /// Network of the machines. Default: that of the pods.
        Optional network: Text<Network> => OBJECTS,
        /// Location of the machines: `region/zone/subzone`. Default: what each machine's proxy reports.
        Optional locality: Text<Locality> => OBJECTS,
        /// Load-balancing weight of each machine (0 or more).
        Optional weight: u32 => OBJECTS,
        /// Ports of the entries by name, for services that refer to their target port by name.
        Optional ports: BTreeMap<Text<PortName>, PortNumber> => OBJECTS,
        /// Health probe that the machines' proxies run. `grpc` is not supported here.
        Optional health_check: HealthCheckInput => OBJECTS,
    }
}
