//! What the user writes: each attribute with its documentation and with what a change of it does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh::names::{
    Address, Cidr, EgressHost, EnvName, ExportTo, Host, Id, IstioVersion, LabelKey, LabelValue,
    Listen, Locality, Name, Namespace, Network, PortName, Protocol, Sha256,
};
use mesh::{
    Capture, Cause, ImageName, Interception, OutboundTraffic, ProxyConfig, PullPolicy, Runtime,
    Scheme,
};
use plugin::{GoDuration, Text, Timeouts, object};
use vm::HostKey;

use crate::rule::{ARCHIVE, BOOTSTRAP, MACHINE, OBJECTS, PACKAGE, REPLACE, TRIGGER};
use crate::workload::leaf::{OnDestroy, PortNumber};

object! {
    /// A virtual machine that is a member of an Istio mesh: its `WorkloadEntry`, the `ServiceEntry`
    /// of each service on it, its `Sidecar`, and the proxy that runs on it.
    ///
    /// These belong together because they change together: a label that a service selects is also
    /// baked into what the VM was bootstrapped with. Without `ssh` and `bundle` only the objects are written.
    pub struct WorkloadInput {
        /// Namespace of the workload. A VM has exactly one.
        Required namespace: Text<Namespace> => REPLACE,
        /// Name of the `WorkloadEntry`; the proxy calls itself by it. A DNS label.
        Required name: Text<Name> => REPLACE,
        /// What pods dial: an IP address or a fully qualified domain name.
        Required address: Text<Address> => BOOTSTRAP,
        /// What the VM's listeners bind where that differs from `address`, e.g. behind NAT. Default: `address`.
        Optional instance_ip: Text<IpAddr> => BOOTSTRAP,
        /// Labels of the workload. They end in the proxy's own metadata.
        Optional labels: BTreeMap<Text<LabelKey>, Text<LabelValue>> => BOOTSTRAP,
        /// Annotations of the `WorkloadEntry`.
        Optional annotations: BTreeMap<String, String> => OBJECTS,
        /// Kubernetes service account that the VM's certificate names. Default: `default`.
        Optional service_account: Text<Name> => BOOTSTRAP,
        /// Network the VM is on. Default: that of the pods.
        Optional network: Text<Network> => BOOTSTRAP,
        /// Where the VM is: `region/zone/subzone`.
        Optional locality: Text<Locality> => OBJECTS,
        /// Share of the traffic among the VMs of a service, from 0. Unset: left alone, e.g. for a canary controller.
        Optional weight: u32 => OBJECTS,
        /// Ports of the entry by name, for services that name their target. Unset: every inbound port is captured.
        Optional ports: BTreeMap<Text<PortName>, PortNumber> => BOOTSTRAP,
        /// More environment of the proxy, e.g. `ISTIO_AGENT_FLAGS`. Not for secrets: it is readable on the VM.
        Optional env: BTreeMap<Text<EnvName>, String> => BOOTSTRAP.hidden(),
        /// Any values: a change bootstraps the VM again. Name the machine's id here, so that a new
        /// machine behind the same address is bootstrapped in the same apply.
        Optional triggers: BTreeMap<String, String> => TRIGGER.hidden(),
        /// The `id` of a `mesh_vm_fleet` in the same namespace: the VM is a member of it. Services and Sidecar are then the
        /// fleet's, so that `services` and `sidecar` are not set here.
        Optional fleet: Text<Id> => BOOTSTRAP,
        /// What the VM offers, by name. Each becomes a `ServiceEntry` that selects this workload.
        Optional services: BTreeMap<Text<Name>, ServiceInput> => OBJECTS,
        /// The `Sidecar` of the workload. Its listeners follow from `services`. Unset: none is written.
        Optional sidecar: SidecarInput => OBJECTS,
        /// How to reach the VM. Unset: it is not reached.
        Optional ssh: SshInput => MACHINE,
        /// Instead of `ssh`: an archive of what the VM should run on, which somebody carries there.
        Optional bundle: BundleInput => ARCHIVE,
        /// How it is found out whether the application answers: the proxy asks it, and the VM takes traffic while it
        /// does. Unset: a VM takes traffic even when it is dead.
        Optional health_check: HealthCheckInput => BOOTSTRAP,
        /// How the proxy runs on the VM.
        Optional proxy: ProxyInput => BOOTSTRAP,
        /// Causes for which the VM may be bootstrapped again: `configuration` (a change of this resource), `mesh` (the
        /// cluster says something else of the mesh), `files`, `machine`, `proxy` (unit and rules) and `certificate`.
        /// What is left out is told by a warning and by `drift`, whose lines begin with their cause, and is not
        /// repaired. Default: all.
        Optional rebootstrap_on: Vec<Text<Cause>>,
        /// The VM is bootstrapped again, with a new token, when its certificate ends within this time, e.g. `6h`: then
        /// the proxy could not renew it, which it tries after half of the certificate's life; a longer time counts as that
        /// half. Default: when it has ended.
        Optional rotate_before: Text<GoDuration>,
        /// What a destroy does to the VM: `clean` stops and removes the proxy, `keep` leaves it. Default: `clean`.
        Optional on_destroy: Text<OnDestroy>,
        /// How conflicts with other owners of a field are treated.
        Optional field_manager: FieldManagerInput,
        /// How long each operation may take, e.g. `20m`.
        Optional timeouts: Timeouts,
    }
}

object! {
    /// A service on the VM.
    pub struct ServiceInput {
        /// Names under which callers find it, e.g. `ratings.vm.bookinfo`. Unset: no `ServiceEntry` is written, since
        /// a Service of Kubernetes or an object of yours leads here; the `Sidecar` still listens.
        Optional hosts: Vec<Text<Host>> => OBJECTS,
        /// Virtual IP addresses or ranges. Default: allocated by Istio where it is configured to.
        Optional addresses: Vec<Text<Cidr>> => OBJECTS,
        /// Ports by name.
        Required ports: BTreeMap<Text<PortName>, ServicePortInput> => OBJECTS,
        /// Namespaces that see it: names, or `.` (its own), `*` (all), `~` (none). Default: as the mesh config says.
        Optional export_to: Vec<Text<ExportTo>> => OBJECTS,
        /// Names that callers want in the VM's certificate. Default: its SPIFFE id.
        Optional subject_alt_names: Vec<String> => OBJECTS,
        /// Name of the `ServiceEntry`. Default: the workload's name, `-` and the service's.
        Optional object_name: Text<Name> => OBJECTS,
    }
}

object! {
    /// A port of a service.
    pub struct ServicePortInput {
        /// What callers dial.
        Required number: PortNumber => OBJECTS,
        /// What is spoken: `HTTP`, `HTTP2`, `HTTPS`, `GRPC`, `GRPC-WEB`, `TCP`, `TLS`, `MONGO`, `MYSQL`, `REDIS`.
        Required protocol: Text<Protocol> => OBJECTS,
        /// Where the VM's proxy listens. Default: `number`.
        Optional target_port: PortNumber => OBJECTS,
        /// Where the application listens. Default: `target_port`.
        Optional app_port: PortNumber => OBJECTS,
        /// At which address the application listens: `127.0.0.1`, `::1` (on a VM with an IPv6 address only: else Istio
        /// leads to `127.0.0.1`), `0.0.0.0`, `::`, or a unix socket such as `unix:///run/app.sock`, which has no
        /// `app_port`. Default: `127.0.0.1`.
        Optional app_address: Text<Listen> => OBJECTS,
        /// Address of the VM that the `Sidecar`'s listener binds. Default: `instance_ip` where that is set.
        Optional bind: Text<IpAddr> => OBJECTS,
        /// How callers reach the listener: `IPTABLES` (intercepted) or `NONE` (dialled). Default: as `proxy.interception` says.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

object! {
    /// The `Sidecar` of the workload.
    pub struct SidecarInput {
        /// Its name. Default: the workload's.
        Optional name: Text<Name> => OBJECTS,
        /// What the VM may reach, as `namespace/host` patterns, e.g. `./*`; `~/*` is nothing. Default: everything.
        Optional egress_hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// Listeners that the application dials instead of a host, by name: for one whose calls cannot be
        /// intercepted, e.g. `127.0.0.2:3306` for a database.
        Optional egress_listeners: BTreeMap<Text<PortName>, EgressListenerInput> => OBJECTS,
        /// What becomes of calls to hosts that the mesh does not know: `ALLOW_ANY` or `REGISTRY_ONLY`. Default: as the mesh config says.
        Optional outbound_traffic: Text<OutboundTraffic> => OBJECTS,
    }
}

object! {
    /// A listener of the proxy that the application on the VM dials.
    pub struct EgressListenerInput {
        /// Where it listens: an IP address or a unix socket such as `unix:///run/db.sock`, which has no `port`.
        Optional bind: Text<Listen> => OBJECTS,
        /// Its port, that of the services it leads to.
        Optional port: PortNumber => OBJECTS,
        /// What is spoken, as in `services`.
        Required protocol: Text<Protocol> => OBJECTS,
        /// What it leads to, as `namespace/host` patterns.
        Required hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// How the application reaches it: `IPTABLES` (intercepted) or `NONE` (dialled). Default: as `proxy.interception` says.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

object! {
    /// Where the VM is reached. Credentials are in the provider block: a refresh and a destroy need them too.
    pub struct SshInput {
        /// Name or address to dial. Default: `address`.
        Optional host: String => MACHINE,
        /// Port of sshd. Default: the provider block's, else 22.
        Optional port: PortNumber,
        /// User to log in as: root, or one who may use sudo without a password. Default: the provider block's.
        Optional user: String,
        /// Name of one of the provider block's `identities`. Default: the provider block's.
        Optional identity: String,
        /// The VM's public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the authority that signs host keys, e.g. `ssh-ed25519 AAAA…`.
        Optional host_ca: Text<HostKey>,
        /// Text in the form of a known_hosts file. Default: the provider block's.
        Optional known_hosts: String,
        /// Accept any host key. Anybody on the way can then read the VM's token. Default: `false`.
        Optional insecure_ignore_host_key: bool,
        /// Host to go through. Default: the provider block's.
        Optional bastion: BastionInput,
    }
}

object! {
    /// An archive that makes a machine the VM of this workload: `sh install.sh` in it, as root, does there what the
    /// apply would do over SSH, and `sh install.sh remove` takes it back. A change that would bootstrap the VM again
    /// writes a new one, to be carried there.
    pub struct BundleInput {
        /// Where the `.tar.gz` is written, for its owner only to read: in it is a token for the workload's service account,
        /// which lasts one hour. A file that is gone is not missed.
        Required path: String => ARCHIVE,
        /// Any number: another one has the archive written anew, with a fresh token.
        Optional token_version: u32 => ARCHIVE,
    }
}

object! {
    /// A host that SSH connections go through, the last one before the VM.
    pub struct BastionInput {
        /// Name or address to dial.
        Required host: String,
        /// Port of sshd. Default: 22.
        Optional port: PortNumber,
        /// User to log in as. Default: the VM's user.
        Optional user: String,
        /// Public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the authority that signs host keys.
        Optional host_ca: Text<HostKey>,
        /// Text in the form of a known_hosts file.
        Optional known_hosts: String,
        /// Accept any host key. Default: `false`.
        Optional insecure_ignore_host_key: bool,
        /// Hosts to go through on the way to this one, the one that is dialled first at first.
        Optional through: Vec<JumpInput>,
    }
}

object! {
    /// A host on the way to the bastion.
    pub struct JumpInput {
        /// Name or address to dial.
        Required host: String,
        /// Port of sshd. Default: 22.
        Optional port: PortNumber,
        /// User to log in as. Default: the VM's user.
        Optional user: String,
        /// Public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the authority that signs host keys.
        Optional host_ca: Text<HostKey>,
        /// Text in the form of a known_hosts file.
        Optional known_hosts: String,
        /// Accept any host key. Default: `false`.
        Optional insecure_ignore_host_key: bool,
    }
}

object! {
    /// How the proxy runs.
    pub struct ProxyInput {
        /// As what it runs: `systemd` (Istio's package and its unit), `docker` or `podman` (a container of Istio's image).
        /// A change removes what the other one needed. Default: `systemd`.
        Optional runtime: Text<Runtime> => PACKAGE,
        /// The image of the container, with tag or digest: Istio's `proxyv2` for the control plane's version. Needed with
        /// `docker` and `podman`, and only there.
        Optional image: Text<ImageName> => PACKAGE,
        /// When a bootstrap pulls the image: `IfNotPresent`, `Always` or `Never`, as in Kubernetes. Default: `IfNotPresent`.
        Optional pull_policy: Text<PullPolicy> => PACKAGE,
        /// How traffic reaches it: `redirect` (NAT rules), `tproxy` (as `redirect`, and the application sees the caller's address) or `none` (only through the `Sidecar`'s listeners). Default: `redirect`.
        Optional interception: Text<Interception> => BOOTSTRAP,
        /// The package to install, with `systemd`. Default: what is installed, else the one of Istio's release.
        Optional install: InstallInput => PACKAGE,
        /// Version of Istio's release that is installed, with `systemd` and without `install`, e.g. `1.31.0`. Default: what
        /// is installed, else the control plane's.
        Optional version: Text<IstioVersion> => PACKAGE,
        /// Inbound ports that bypass the proxy, besides those of sshd and of the proxy itself.
        Optional exclude_inbound_ports: Vec<PortNumber> => BOOTSTRAP,
        /// Destinations that bypass the proxy, besides the clouds' metadata addresses.
        Optional exclude_cidrs: Vec<Text<Cidr>> => BOOTSTRAP,
        /// Whether the proxy answers DNS for mesh hosts. Default: as the mesh config says.
        Optional dns_capture: bool => BOOTSTRAP,
        /// Settings of the proxy instead of the mesh's, in YAML, as in the annotation `proxy.istio.io/config`.
        Optional config: Text<ProxyConfig> => BOOTSTRAP.hidden(),
    }
}

object! {
    /// A probe of the application. One of `http`, `tcp`, `exec` and `grpc` must be set.
    pub struct HealthCheckInput {
        /// A GET that is answered with 200 to 399.
        Optional http: HttpCheckInput => BOOTSTRAP,
        /// A connection that is accepted.
        Optional tcp: TcpCheckInput => BOOTSTRAP,
        /// A command and its arguments, run on the VM by the proxy's user, that ends with 0.
        Optional exec: Vec<String> => BOOTSTRAP.hidden(),
        /// gRPC's health protocol, asked on the loopback interface.
        Optional grpc: GrpcCheckInput => BOOTSTRAP,
        /// Seconds between the proxy's start and the first probe. Default: 0.
        Optional initial_delay_seconds: u16 => BOOTSTRAP,
        /// Seconds that an answer may take. Default: 1.
        Optional timeout_seconds: u16 => BOOTSTRAP,
        /// Seconds between two probes. Default: 10.
        Optional period_seconds: u16 => BOOTSTRAP,
        /// Answers in a row that make it healthy. Default: 1.
        Optional success_threshold: u16 => BOOTSTRAP,
        /// Failures in a row that make it unhealthy. Default: 1.
        Optional failure_threshold: u16 => BOOTSTRAP,
    }
}

object! {
    /// A probe by HTTP.
    pub struct HttpCheckInput {
        /// Who is asked. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Where the application listens.
        Required port: PortNumber => BOOTSTRAP,
        /// Path and query. Default: `/`.
        Optional path: String => BOOTSTRAP.hidden(),
        /// `HTTP` or `HTTPS`; certificates are not verified. Default: `HTTP`.
        Optional scheme: Text<Scheme> => BOOTSTRAP,
        /// Headers by name.
        Optional headers: BTreeMap<String, String> => BOOTSTRAP.hidden(),
    }
}

object! {
    /// A probe by a connection.
    pub struct TcpCheckInput {
        /// Who is asked. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Where the application listens.
        Required port: PortNumber => BOOTSTRAP,
    }
}

object! {
    /// A probe by gRPC's health protocol.
    pub struct GrpcCheckInput {
        /// Where the application listens.
        Required port: PortNumber => BOOTSTRAP,
        /// Service to ask about. Default: the server as a whole.
        Optional service: String => BOOTSTRAP,
    }
}

object! {
    /// A package of Istio's sidecar.
    pub struct InstallInput {
        /// Address that the VM fetches it from: `https://`, `http://`, or `file:///` of a package that lies there.
        Required url: String => PACKAGE.hidden(),
        /// SHA-256 of the package in hex.
        Required sha256: Text<Sha256> => PACKAGE,
    }
}

object! {
    /// How conflicts with other owners of a field are treated.
    pub struct FieldManagerInput {
        /// Take fields over from other owners. Default: `false`: the apply stops and names owner and field.
        Optional force_conflicts: bool,
    }
}
