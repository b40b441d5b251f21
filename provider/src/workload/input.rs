//! What the user writes of a workload: each attribute with its documentation and with what a change of it does, and
//! the conversions to the domain and, for an import, back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh::cause::Cause;
use mesh::names::{
    Address, EnvName, Id, LabelKey, LabelValue, Locality, Name, Namespace, Network, PortName,
};
use mesh::workload::Workload;
use plugin::{GoDuration, Text, Timeouts, Value, object};

use crate::declared::field_manager::FieldManagerInput;
use crate::declared::health_check::{HealthCheckInput, from_health_check, health_check};
use crate::declared::proxy::{ProxyInput, from_proxy, proxy};
use crate::declared::scalars::{OnDestroy, PortNumber};
use crate::declared::services::{ServiceInput, from_services, services};
use crate::declared::sidecar::{SidecarInput, from_sidecar, sidecar};
use crate::declared::ssh::SshInput;
use crate::declared::values::{from_map, from_ports, from_text_map, ports, text, text_map};
use crate::rule::{ARCHIVE, BOOTSTRAP, MACHINE, OBJECTS, REPLACE, TRIGGER};

object! {
    /// A virtual machine in an Istio mesh: its `WorkloadEntry`, the `ServiceEntry` of each of its services, its
    /// `Sidecar`, and the proxy that runs on it.
    ///
    /// These belong together because they change together: a label that a service selects is also part of the VM's
    /// bootstrap files. Without `ssh` and `bundle`, only the mesh objects are managed; `objects_only` says that this is
    /// meant.
    pub struct WorkloadInput {
        /// Namespace of the workload. A VM belongs to exactly one.
        Required namespace: Text<Namespace> => REPLACE,
        /// Name of the `WorkloadEntry` and of the proxy. It must be a DNS label.
        Required name: Text<Name> => REPLACE,
        /// Address that pods connect to: an IP address or a fully qualified domain name.
        Required address: Text<Address> => BOOTSTRAP,
        /// Address that the VM's listeners bind, if it differs from `address`, e.g. behind NAT. Default: `address`.
        Optional instance_ip: IpAddr => BOOTSTRAP,
        /// Labels of the workload. They are also part of the proxy's metadata.
        Optional labels: BTreeMap<Text<LabelKey>, Text<LabelValue>> => BOOTSTRAP,
        /// Annotations of the `WorkloadEntry`.
        Optional annotations: BTreeMap<String, String> => OBJECTS,
        /// Kubernetes service account in the VM's certificate. Default: `default`.
        Optional service_account: Text<Name> => BOOTSTRAP,
        /// Network of the VM. Default: that of the pods.
        Optional network: Text<Network> => BOOTSTRAP,
        /// Location of the VM: `region/zone/subzone`.
        Optional locality: Text<Locality> => OBJECTS,
        /// Load-balancing weight relative to the service's other endpoints (0 or more). If unset, it is not managed,
        /// e.g. so that a canary controller can set it.
        Optional weight: u32 => OBJECTS,
        /// Ports of the entry by name, for services that refer to their target port by name. If unset, every inbound
        /// port is captured.
        Optional ports: BTreeMap<Text<PortName>, PortNumber> => BOOTSTRAP,
        /// Additional environment variables for the proxy, e.g. `ISTIO_AGENT_FLAGS`. They must not contain secrets:
        /// they are readable on the VM.
        Optional env: BTreeMap<Text<EnvName>, String> => BOOTSTRAP.hidden(),
        /// Arbitrary values that force a re-bootstrap when they change. Put the instance ID here, so that a replaced
        /// VM at the same address is bootstrapped in the same apply.
        Optional triggers: BTreeMap<String, String> => TRIGGER.hidden(),
        /// The `id` of a `mesh_vm_fleet` in the same namespace. The VM becomes a member of it. The fleet then owns
        /// services and Sidecar, so `services` and `sidecar` must not be set here.
        Optional fleet: Text<Id> => BOOTSTRAP,
        /// Services that the VM offers, by name. Each becomes a `ServiceEntry` that selects this workload.
        Optional services: BTreeMap<Text<Name>, ServiceInput> => OBJECTS,
        /// The `Sidecar` of the workload. Its listeners follow from `services`. If unset, none is created.
        Optional sidecar: SidecarInput => OBJECTS,
        /// SSH connection to the VM. If unset (and `bundle` is unset), only the mesh objects are managed and the VM
        /// is never bootstrapped; see `objects_only`.
        Optional ssh: SshInput => MACHINE,
        /// Instead of `ssh`: an archive with the VM's bootstrap files, which you copy to the VM.
        Optional bundle: BundleInput => ARCHIVE,
        /// Only the mesh objects are managed on purpose: the VM joins by other means, such as its user data. Without
        /// it, a workload that has neither `ssh`, `bundle` nor `health_check` causes a warning, because the mesh sends
        /// traffic to a VM that perhaps runs no proxy. It excludes `ssh` and `bundle`. Default: `false`.
        Optional objects_only: bool,
        /// Health probe of the application, run by the proxy. The VM receives traffic only while the probe succeeds.
        /// If unset, it receives traffic even when the application is down.
        Optional health_check: HealthCheckInput => BOOTSTRAP,
        /// How the proxy runs on the VM.
        Optional proxy: ProxyInput => BOOTSTRAP,
        /// Causes for which the VM may be re-bootstrapped: `configuration` (a change of this resource), `mesh`
        /// (changed mesh settings in the cluster), `files`, `machine`, `proxy` (unit and rules) and `certificate`.
        /// Causes not listed are reported (as a warning and in `drift`, prefixed with the cause) but not repaired.
        /// Default: all.
        Optional rebootstrap_on: Vec<Text<Cause>>,
        /// Remaining lifetime of the VM's certificate, e.g. `6h`, below which the VM is re-bootstrapped with a new
        /// token. The proxy renews the certificate itself after half of its lifetime, so a certificate that gets this
        /// close to its end was not renewed. A value of more than half the lifetime counts as half. Default:
        /// re-bootstrap once the certificate has expired.
        Optional rotate_before: Text<GoDuration>,
        /// What a destroy does on the VM: `clean` stops and removes the proxy, `keep` leaves it. Default: `clean`.
        Optional on_destroy: Text<OnDestroy>,
        /// How to handle conflicts with other owners of a field.
        Optional field_manager: FieldManagerInput,
        /// Time limit for each operation, e.g. `20m`.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// An archive that joins a machine to the mesh as this workload. Run as root on the VM, its `sh install.sh` does
    /// what the apply would do over SSH, and `sh install.sh remove` undoes it. A change that would re-bootstrap the
    /// VM writes a new archive, which you copy there again.
    pub struct BundleInput {
        /// Path to write the `.tar.gz` to. Only its owner can read it: it contains a token for the workload's service
        /// account, valid for one hour. The archive is not recreated if you delete it.
        Required path: String => ARCHIVE,
        /// Change this number to write a new archive with a new token.
        Optional token_version: u32 => ARCHIVE,
    }
}

impl WorkloadInput {
    /// Returns the workload; `None` while its namespace or name is unknown.
    pub(crate) fn workload(&self) -> Option<Workload> {
        Some(Workload {
            id: self.id()?,
            address: text(&self.address),
            instance_ip: self.instance_ip.known().copied(),
            labels: text_map(&self.labels),
            annotations: self.annotations.known().cloned().unwrap_or_default(),
            service_account: self.service_account()?,
            network: text(&self.network),
            locality: text(&self.locality),
            weight: self.weight.known().copied(),
            ports: ports(&self.ports),
            fleet: text(&self.fleet),
            services: services(&self.services),
            sidecar: self.sidecar.known().map(sidecar),
            env: self
                .env
                .known()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.0.clone(), value.clone()))
                .collect(),
            health_check: self.health_check.known().map(health_check),
            proxy: proxy(self.proxy.known().unwrap_or(&ProxyInput::default())),
        })
    }

    /// Returns the service account, which Kubernetes makes for each namespace where the user names none.
    pub(crate) fn service_account(&self) -> Option<Name> {
        text(&self.service_account).or_else(|| "default".parse().ok())
    }

    /// Returns namespace and name; `None` while one is unknown.
    pub(crate) fn id(&self) -> Option<Id> {
        Some(Id {
            namespace: text(&self.namespace)?,
            name: text(&self.name)?,
        })
    }
}

/// Returns the workload as an input. What is a default stays unset, as most users leave it.
pub(super) fn from_workload(workload: Workload) -> WorkloadInput {
    let default_account = workload.service_account.as_str() == "default";
    WorkloadInput {
        namespace: Value::Known(Text(workload.id.namespace)),
        name: Value::Known(Text(workload.id.name)),
        address: workload.address.map(Text).into(),
        instance_ip: workload.instance_ip.into(),
        labels: from_text_map(workload.labels),
        annotations: from_map(workload.annotations),
        service_account: Some(Text(workload.service_account))
            .filter(|_| !default_account)
            .into(),
        network: workload.network.map(Text).into(),
        locality: workload.locality.map(Text).into(),
        weight: workload.weight.into(),
        ports: from_ports(workload.ports),
        fleet: workload.fleet.map(Text).into(),
        services: from_services(workload.services),
        sidecar: workload.sidecar.map(from_sidecar).into(),
        env: from_env(workload.env),
        health_check: workload.health_check.map(from_health_check).into(),
        proxy: from_proxy(workload.proxy),
        ..WorkloadInput::default()
    }
}

fn from_env(env: BTreeMap<EnvName, String>) -> Value<BTreeMap<Text<EnvName>, String>> {
    let env = env.into_iter();
    from_map(env.map(|(name, value)| (Text(name), value)).collect())
}
