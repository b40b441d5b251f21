//! What the user writes of a fleet: each attribute with its documentation and with what a change of it does, and the
//! conversions to the domain and, for an import, back.

use std::collections::BTreeMap;

use mesh::fleet::{Fleet, Group};
use mesh::names::{Id, LabelKey, LabelValue, Locality, Name, Namespace, Network, PortName};
use mesh::rollout::{MaxUnavailable, OnFailure, Rollout};
use plugin::{Text, Timeouts, Value, object};

use crate::declared::field_manager::FieldManagerInput;
use crate::declared::health_check::{HealthCheckInput, from_health_check, health_check};
use crate::declared::scalars::PortNumber;
use crate::declared::services::{ServiceInput, from_services, services};
use crate::declared::sidecar::{SidecarInput, from_sidecar, sidecar};
use crate::declared::values::{from_map, from_ports, from_text_map, ports, text, text_map};
use crate::rule::{OBJECTS, REPLACE};

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
        /// How the members are re-bootstrapped: one at a time, unless this says otherwise. The limit is written to a
        /// `Lease` with the name `mesh-vm-fleet-NAME`, from which the members read it.
        Optional rollout: RolloutInput => OBJECTS,
        /// How to handle conflicts with other owners of a field.
        Optional field_manager: FieldManagerInput,
        /// Time limit for each operation, e.g. `20m`.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// How the members are re-bootstrapped. A bootstrap takes a VM's traffic away for some seconds, so the members take
    /// turns, also across several applies and states.
    pub struct RolloutInput {
        /// How many members may be without traffic at a time: a number from `"1"`, or a percentage such as `"25%"` of
        /// all members, rounded down but at least 1. A member counts as without traffic while a bootstrap or a destroy
        /// has withdrawn it, while its health check fails, or while istiod reports it as disconnected. More than the
        /// fleet has is no limit. Default: `"1"`.
        Optional max_unavailable: Text<MaxUnavailable> => OBJECTS,
        /// What happens after the bootstrap of a member has failed: `stop` refuses the members of the same apply that
        /// have not begun, `continue` goes on with them as long as `max_unavailable` allows. Default: `stop`.
        Optional on_failure: Text<OnFailure> => OBJECTS,
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

impl FleetInput {
    /// Returns the fleet; `None` while its namespace or name is unknown.
    pub(crate) fn fleet(&self) -> Option<Fleet> {
        Some(Fleet {
            id: self.id()?,
            services: services(&self.services),
            sidecar: self.sidecar.known().map(sidecar),
            group: self.group.known().and_then(group),
            rollout: self.rollout.known().map(rollout),
        })
    }

    /// Returns namespace and name; `None` while one is unknown.
    pub(crate) fn id(&self) -> Option<Id> {
        Some(Id {
            namespace: text(&self.namespace)?,
            name: text(&self.name)?,
        })
    }
}

fn rollout(input: &RolloutInput) -> Rollout {
    let default = Rollout::default();
    Rollout {
        max_unavailable: text(&input.max_unavailable).unwrap_or(default.max_unavailable),
        on_failure: text(&input.on_failure).unwrap_or(default.on_failure),
    }
}

fn group(input: &GroupInput) -> Option<Group> {
    Some(Group {
        labels: text_map(&input.labels),
        annotations: input.annotations.known().cloned().unwrap_or_default(),
        service_account: text(&input.service_account).or_else(|| "default".parse().ok())?,
        network: text(&input.network),
        locality: text(&input.locality),
        weight: input.weight.known().copied(),
        ports: ports(&input.ports),
        health_check: input.health_check.known().map(health_check),
    })
}

/// Returns the fleet as an input. What is a default stays unset, as most users leave it.
pub(super) fn from_fleet(fleet: Fleet) -> FleetInput {
    FleetInput {
        namespace: Value::Known(Text(fleet.id.namespace)),
        name: Value::Known(Text(fleet.id.name)),
        services: from_services(fleet.services),
        sidecar: fleet.sidecar.map(from_sidecar).into(),
        group: fleet.group.map(from_group).into(),
        rollout: fleet.rollout.map(from_rollout).into(),
        ..FleetInput::default()
    }
}

fn from_rollout(rollout: Rollout) -> RolloutInput {
    let default = Rollout::default();
    let limit = Some(rollout.max_unavailable).filter(|of| *of != default.max_unavailable);
    let on_failure = Some(rollout.on_failure).filter(|of| *of != default.on_failure);
    RolloutInput {
        max_unavailable: limit.map(Text).into(),
        on_failure: on_failure.map(Text).into(),
    }
}

fn from_group(group: Group) -> GroupInput {
    let default_account = group.service_account.as_str() == "default";
    GroupInput {
        labels: from_text_map(group.labels),
        annotations: from_map(group.annotations),
        service_account: Some(Text(group.service_account))
            .filter(|_| !default_account)
            .into(),
        network: group.network.map(Text).into(),
        locality: group.locality.map(Text).into(),
        weight: group.weight.into(),
        ports: from_ports(group.ports),
        health_check: group.health_check.map(from_health_check).into(),
    }
}
