//! What the user writes of a fleet: each attribute with its documentation and with what a change of it does.

use std::collections::BTreeMap;

use mesh::names::{LabelKey, LabelValue, Locality, Name, Namespace, Network, PortName};
use plugin::{Text, Timeouts, object};

use crate::rule::{OBJECTS, REPLACE};
use crate::workload::input::{FieldManagerInput, HealthCheckInput, ServiceInput, SidecarInput};
use crate::workload::leaf::PortNumber;

object! {
    /// What several virtual machines share: the `ServiceEntry` of each service, one `Sidecar`, and a
    /// `WorkloadGroup` for machines that come and go by themselves.
    ///
    /// A `mesh_vm_workload` becomes a member by `fleet = mesh_vm_fleet.NAME.id`, and then declares
    /// neither services nor a sidecar. The objects select members by the label `mesh.vm/fleet`, which
    /// is on each member's `WorkloadEntry`: a VM that is added or removed changes its own entry and
    /// nothing else. Each member's `weight` and `locality` say how much of the traffic it gets.
    ///
    /// Members have an IP address as their `address`. The destroy of a fleet removes its objects and
    /// says which members are left without services.
    pub struct FleetInput {
        /// Namespace of the fleet and of all its members.
        Required namespace: Text<Namespace> => REPLACE,
        /// Name of the fleet: at most 63 characters, since it is the value of the label `mesh.vm/fleet`.
        Required name: Text<Name> => REPLACE,
        /// What every member offers, by name. Each becomes a `ServiceEntry` that selects the members.
        Optional services: BTreeMap<Text<Name>, ServiceInput> => OBJECTS,
        /// The one `Sidecar` of all members. Its listeners follow from `services`. Unset: none is written.
        Optional sidecar: SidecarInput => OBJECTS,
        /// The `WorkloadGroup` of the fleet's name. Unset: none is written.
        Optional group: GroupInput => OBJECTS,
        /// How conflicts with other owners of a field are treated.
        Optional field_manager: FieldManagerInput,
        /// How long each operation may take, e.g. `20m`.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// A `WorkloadGroup`: from it istiod makes the `WorkloadEntry` of a machine that registers itself, e.g. one of an
    /// autoscaling group. istiod removes such an entry after the machine has gone; the provider never manages it.
    pub struct GroupInput {
        /// Labels of the entries. The label that makes them members is added.
        Optional labels: BTreeMap<Text<LabelKey>, Text<LabelValue>> => OBJECTS,
        /// Annotations of the entries.
        Optional annotations: BTreeMap<String, String> => OBJECTS,
        /// Kubernetes service account that the machines' certificates name. Default: `default`.
        Optional service_account: Text<Name> => OBJECTS,
        /// Network the machines are on. Default: that of the pods.
        Optional network: Text<Network> => OBJECTS,
        /// Where the machines are: `region/zone/subzone`. Default: what each machine's proxy tells.
        Optional locality: Text<Locality> => OBJECTS,
        /// Share of the traffic of each machine, from 0.
        Optional weight: u32 => OBJECTS,
        /// Ports of the entries by name, for services that name their target.
        Optional ports: BTreeMap<Text<PortName>, PortNumber> => OBJECTS,
        /// How the machines' proxies find out whether the application answers; `grpc` is not possible here.
        Optional health_check: HealthCheckInput => OBJECTS,
    }
}
