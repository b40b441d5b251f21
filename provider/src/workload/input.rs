//! What the user writes: each attribute with its documentation and with what a change of it does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh::cause::Cause;
use mesh::health::Scheme;
use mesh::names::ImageName;
use mesh::names::{
    Address, Cidr, EgressHost, EnvName, ExportTo, Host, Id, IstioVersion, LabelKey, LabelValue,
    Listen, Locality, Name, Namespace, Network, PortName, Protocol, Sha256,
};
use mesh::proxy_config::ProxyConfig;
use mesh::workload::{Capture, Interception, OutboundTraffic, PullPolicy, Runtime};
use plugin::{GoDuration, Text, Timeouts, object};
use vm::HostKey;

use crate::rule::{ARCHIVE, BOOTSTRAP, MACHINE, OBJECTS, PACKAGE, REPLACE, TRIGGER};
use crate::workload::leaf::{OnDestroy, PortNumber};

object! {
    /// A virtual machine in an Istio mesh: its `WorkloadEntry`, the `ServiceEntry` of each of its services, its
    /// `Sidecar`, and the proxy that runs on it.
    ///
    /// These belong together because they change together: a label that a service selects is also part of the VM's
    /// bootstrap files. Without `ssh` and `bundle`, only the mesh objects are managed.
    pub struct WorkloadInput {
        /// Namespace of the workload. A VM belongs to exactly one.
        Required namespace: Text<Namespace> => REPLACE,
        /// Name of the `WorkloadEntry` and of the proxy. It must be a DNS label.
        Required name: Text<Name> => REPLACE,
        /// Address that pods connect to: an IP address or a fully qualified domain name.
        Required address: Text<Address> => BOOTSTRAP,
        /// Address that the VM's listeners bind, if it differs from `address`, e.g. behind NAT. Default: `address`.
        Optional instance_ip: Text<IpAddr> => BOOTSTRAP,
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
        /// is never bootstrapped.
        Optional ssh: SshInput => MACHINE,
        /// Instead of `ssh`: an archive with the VM's bootstrap files, which you copy to the VM.
        Optional bundle: BundleInput => ARCHIVE,
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
    /// A service.
    pub struct ServiceInput {
        /// Host names of the service, e.g. `ratings.vm.bookinfo`. If unset, no `ServiceEntry` is created, because a
        /// Kubernetes Service or an object of your own leads here; the `Sidecar` still listens.
        Optional hosts: Vec<Text<Host>> => OBJECTS,
        /// Virtual IP addresses or ranges. Default: allocated by Istio, if it is configured to do so.
        Optional addresses: Vec<Text<Cidr>> => OBJECTS,
        /// Ports by name.
        Required ports: BTreeMap<Text<PortName>, ServicePortInput> => OBJECTS,
        /// Namespaces that can see the service: names, `.` (its own), `*` (all) or `~` (none). Default: from the mesh
        /// config.
        Optional export_to: Vec<Text<ExportTo>> => OBJECTS,
        /// Names that clients require in the VM's certificate. Default: its SPIFFE ID.
        Optional subject_alt_names: Vec<String> => OBJECTS,
        /// Name of the `ServiceEntry`. Default: the name of the workload or fleet, `-`, and the service's name.
        Optional object_name: Text<Name> => OBJECTS,
    }
}

object! {
    /// A port of a service.
    pub struct ServicePortInput {
        /// Port that clients connect to.
        Required number: PortNumber => OBJECTS,
        /// Application protocol: `HTTP`, `HTTP2`, `HTTP_PROXY`, `HTTPS`, `GRPC`, `GRPC-WEB`, `TCP`, `TLS`, `UDP`,
        /// `MONGO`, `MYSQL` or `REDIS`.
        Required protocol: Text<Protocol> => OBJECTS,
        /// Port that the VM's proxy listens on. Default: `number`.
        Optional target_port: PortNumber => OBJECTS,
        /// Port that the application listens on. Default: `target_port`.
        Optional app_port: PortNumber => OBJECTS,
        /// Address the application listens on: `127.0.0.1`, `::1` (only on a VM with an IPv6 address; otherwise Istio
        /// forwards to `127.0.0.1`), `0.0.0.0`, `::`, or a unix socket such as `unix:///run/app.sock`, which has no
        /// `app_port`. Default: `127.0.0.1`.
        Optional app_address: Text<Listen> => OBJECTS,
        /// Address of the VM that the `Sidecar`'s listener binds. Default: `instance_ip`, if set. In a fleet: chosen
        /// by Istio.
        Optional bind: Text<IpAddr> => OBJECTS,
        /// How traffic reaches the listener: `IPTABLES` (intercepted) or `NONE` (clients connect to it directly).
        /// Default: follows from `proxy.interception`.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

object! {
    /// A `Sidecar`.
    pub struct SidecarInput {
        /// Name of the `Sidecar`. Default: the name of the workload or fleet.
        Optional name: Text<Name> => OBJECTS,
        /// Hosts that the VM may reach, as `namespace/host` patterns, e.g. `./*`; `~/*` means none. Default: all.
        Optional egress_hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// Listeners, by name, that the application connects to instead of a host, e.g. `127.0.0.2:3306` for a
        /// database. Use them for an application whose calls cannot be intercepted.
        Optional egress_listeners: BTreeMap<Text<PortName>, EgressListenerInput> => OBJECTS,
        /// What happens to calls to hosts outside the mesh: `ALLOW_ANY` or `REGISTRY_ONLY`. Default: from the mesh
        /// config.
        Optional outbound_traffic: Text<OutboundTraffic> => OBJECTS,
    }
}

object! {
    /// A listener of the proxy that the application on the VM connects to.
    pub struct EgressListenerInput {
        /// Address to listen on: an IP address or a unix socket such as `unix:///run/db.sock`, which has no `port`.
        Optional bind: Text<Listen> => OBJECTS,
        /// Port to listen on. It must be the port of the services behind it.
        Optional port: PortNumber => OBJECTS,
        /// Application protocol, as in `services`.
        Required protocol: Text<Protocol> => OBJECTS,
        /// Hosts to forward to, as `namespace/host` patterns.
        Required hosts: Vec<Text<EgressHost>> => OBJECTS,
        /// How the application's traffic reaches the listener: `IPTABLES` (intercepted) or `NONE` (the application
        /// connects to it directly). Default: follows from `proxy.interception`.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

object! {
    /// SSH connection to the VM. Credentials are in the provider block, because a refresh and a destroy need them
    /// too.
    pub struct SshInput {
        /// Name or address to connect to. Default: `address`.
        Optional host: String => MACHINE,
        /// Port of sshd. Default: from the provider block, otherwise 22.
        Optional port: PortNumber,
        /// User to log in as: root, or a user who may use sudo without a password. Default: from the provider block.
        Optional user: String,
        /// Name of one of the provider block's `identities`. Default: from the provider block.
        Optional identity: String,
        /// The VM's public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the CA that signs host keys, e.g. `ssh-ed25519 AAAA…`.
        Optional host_ca: Text<HostKey>,
        /// Content of a known_hosts file. Default: from the provider block.
        Optional known_hosts: String,
        /// Accept any host key. Anyone on the network path can then read the VM's token. Default: `false`.
        Optional insecure_ignore_host_key: bool,
        /// Bastion (jump host) in front of the VM. Default: from the provider block.
        Optional bastion: BastionInput,
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

object! {
    /// A bastion: the last jump host before the VM.
    pub struct BastionInput {
        /// Name or address to connect to.
        Required host: String,
        /// Port of sshd. Default: 22.
        Optional port: PortNumber,
        /// User to log in as. Default: the VM's user.
        Optional user: String,
        /// Public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the CA that signs host keys.
        Optional host_ca: Text<HostKey>,
        /// Content of a known_hosts file.
        Optional known_hosts: String,
        /// Accept any host key. Default: `false`.
        Optional insecure_ignore_host_key: bool,
        /// Additional jump hosts, in connection order, before this one.
        Optional through: Vec<JumpInput>,
    }
}

object! {
    /// A jump host before the bastion.
    pub struct JumpInput {
        /// Name or address to connect to.
        Required host: String,
        /// Port of sshd. Default: 22.
        Optional port: PortNumber,
        /// User to log in as. Default: the VM's user.
        Optional user: String,
        /// Public host key, e.g. `ssh-ed25519 AAAA…`.
        Optional host_key: Text<HostKey>,
        /// Public key of the CA that signs host keys.
        Optional host_ca: Text<HostKey>,
        /// Content of a known_hosts file.
        Optional known_hosts: String,
        /// Accept any host key. Default: `false`.
        Optional insecure_ignore_host_key: bool,
    }
}

object! {
    /// How the proxy runs on the VM.
    pub struct ProxyInput {
        /// Runtime of the proxy: `systemd` (Istio's package and its unit), `docker` or `podman` (a container from
        /// Istio's image). A change removes what the previous runtime needed. Default: `systemd`.
        Optional runtime: Text<Runtime> => PACKAGE,
        /// Container image, with tag or digest: Istio's `proxyv2` in the control plane's version. Required with
        /// `docker` and `podman`, not allowed otherwise.
        Optional image: Text<ImageName> => PACKAGE,
        /// When a bootstrap pulls the image: `IfNotPresent`, `Always` or `Never`, as in Kubernetes. Default: `IfNotPresent`.
        Optional pull_policy: Text<PullPolicy> => PACKAGE,
        /// How traffic reaches the proxy: `redirect` (NAT rules), `tproxy` (like `redirect`, but the application sees
        /// the client's address) or `none` (only through the `Sidecar`'s listeners). Default: `redirect`.
        Optional interception: Text<Interception> => BOOTSTRAP,
        /// The package to install, with `systemd`. Default: the installed one, otherwise that of Istio's release.
        Optional install: InstallInput => PACKAGE,
        /// Version of Istio's release to install, with `systemd` and without `install`, e.g. `1.31.0`. Default: the
        /// installed version, otherwise the control plane's.
        Optional version: Text<IstioVersion> => PACKAGE,
        /// Inbound ports that bypass the proxy, in addition to those of sshd and of the proxy itself.
        Optional exclude_inbound_ports: Vec<PortNumber> => BOOTSTRAP,
        /// Destinations that bypass the proxy, in addition to the clouds' metadata addresses.
        Optional exclude_cidrs: Vec<Text<Cidr>> => BOOTSTRAP,
        /// Whether the proxy answers DNS queries for mesh hosts. Default: from the mesh config.
        Optional dns_capture: bool => BOOTSTRAP,
        /// Proxy settings that override the mesh's, in YAML, as in the annotation `proxy.istio.io/config`.
        Optional config: Text<ProxyConfig> => BOOTSTRAP.hidden(),
    }
}

object! {
    /// Health probe of the application. Exactly one of `http`, `tcp`, `exec` and `grpc` must be set.
    pub struct HealthCheckInput {
        /// HTTP GET request. It succeeds with a status from 200 to 399.
        Optional http: HttpCheckInput => BOOTSTRAP,
        /// TCP connection. It succeeds if the connection is accepted.
        Optional tcp: TcpCheckInput => BOOTSTRAP,
        /// Command and arguments, run on the VM as the proxy's user. It succeeds with exit code 0.
        Optional exec: Vec<String> => BOOTSTRAP.hidden(),
        /// Probe with the gRPC health checking protocol, on the loopback interface.
        Optional grpc: GrpcCheckInput => BOOTSTRAP,
        /// Seconds between the proxy's start and the first probe. Default: 0.
        Optional initial_delay_seconds: u16 => BOOTSTRAP,
        /// Time limit for a probe, in seconds. Default: 1.
        Optional timeout_seconds: u16 => BOOTSTRAP,
        /// Seconds between probes. Default: 10.
        Optional period_seconds: u16 => BOOTSTRAP,
        /// Consecutive successes until the application counts as healthy. Default: 1.
        Optional success_threshold: u16 => BOOTSTRAP,
        /// Consecutive failures until the application counts as unhealthy. Default: 1.
        Optional failure_threshold: u16 => BOOTSTRAP,
    }
}

object! {
    /// HTTP probe.
    pub struct HttpCheckInput {
        /// Host to probe. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
        /// Path and query. Default: `/`.
        Optional path: String => BOOTSTRAP.hidden(),
        /// `HTTP` or `HTTPS`. Certificates are not verified. Default: `HTTP`.
        Optional scheme: Text<Scheme> => BOOTSTRAP,
        /// Headers by name.
        Optional headers: BTreeMap<String, String> => BOOTSTRAP.hidden(),
    }
}

object! {
    /// TCP probe.
    pub struct TcpCheckInput {
        /// Host to probe. Default: the loopback interface.
        Optional host: Text<Address> => BOOTSTRAP,
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
    }
}

object! {
    /// gRPC health probe.
    pub struct GrpcCheckInput {
        /// Port that the application listens on.
        Required port: PortNumber => BOOTSTRAP,
        /// Service to check. Default: the server as a whole.
        Optional service: String => BOOTSTRAP,
    }
}

object! {
    /// Istio's sidecar package.
    pub struct InstallInput {
        /// URL that the VM downloads the package from: `https://`, `http://`, or `file:///` for a package that is
        /// already on the VM.
        Required url: String => PACKAGE.hidden(),
        /// SHA-256 of the package in hex.
        Required sha256: Text<Sha256> => PACKAGE,
    }
}

object! {
    /// How to handle conflicts with other owners of a field.
    pub struct FieldManagerInput {
        /// Take over fields from other owners. Default: `false`: the apply stops and names the owner and the field.
        Optional force_conflicts: bool,
    }
}
