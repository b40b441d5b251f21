//! The services of a workload or a fleet, and their conversions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh::names::{Cidr, ExportTo, Host, Listen, Name, PortName, Protocol};
use mesh::workload::{Capture, Service, ServicePort};
use plugin::{Text, Value, object};

use super::scalars::PortNumber;
use super::values::{from_list, from_map, from_texts, port, text, texts};
use crate::rule::OBJECTS;

object! {
    /// A service.
    pub struct ServiceInput {
        /// Host names of the service, e.g. `ratings.vm.bookinfo`. With `[]`, no `ServiceEntry` is created, because a
        /// Kubernetes Service or an object of your own leads here; the `Sidecar` still listens.
        Required hosts: Vec<Text<Host>> => OBJECTS,
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
        Optional bind: IpAddr => OBJECTS,
        /// How traffic reaches the listener: `IPTABLES` (intercepted) or `NONE` (clients connect to it directly).
        /// Default: follows from `proxy.interception`.
        Optional capture: Text<Capture> => OBJECTS,
    }
}

/// Returns the services.
pub(crate) fn services(
    input: &Value<BTreeMap<Text<Name>, ServiceInput>>,
) -> BTreeMap<Name, Service> {
    input
        .known()
        .into_iter()
        .flatten()
        .map(|(name, service)| (name.0.clone(), self::service(service)))
        .collect()
}

fn service(input: &ServiceInput) -> Service {
    Service {
        object_name: text(&input.object_name),
        hosts: texts(&input.hosts),
        addresses: texts(&input.addresses),
        ports: input
            .ports
            .known()
            .into_iter()
            .flatten()
            .filter_map(|(name, port)| Some((name.0.clone(), service_port(port)?)))
            .collect(),
        export_to: texts(&input.export_to),
        subject_alt_names: input.subject_alt_names.known().cloned().unwrap_or_default(),
    }
}

fn service_port(input: &ServicePortInput) -> Option<ServicePort> {
    Some(ServicePort {
        number: port(input.number)?,
        protocol: text(&input.protocol)?,
        target_port: port(input.target_port),
        app_port: port(input.app_port),
        app_address: text(&input.app_address),
        bind: input.bind.known().copied(),
        capture: text(&input.capture),
    })
}

/// Returns services as they are declared.
pub(crate) fn from_services(
    services: BTreeMap<Name, Service>,
) -> Value<BTreeMap<Text<Name>, ServiceInput>> {
    let services = services.into_iter();
    from_map(
        services
            .map(|(name, of)| (Text(name), from_service(of)))
            .collect(),
    )
}

fn from_service(service: Service) -> ServiceInput {
    ServiceInput {
        object_name: service.object_name.map(Text).into(),
        hosts: Value::Known(service.hosts.into_iter().map(Text).collect()),
        addresses: from_texts(service.addresses),
        ports: Value::Known(
            service
                .ports
                .into_iter()
                .map(|(name, of)| (Text(name), from_port(of)))
                .collect(),
        ),
        export_to: from_texts(service.export_to),
        subject_alt_names: from_list(service.subject_alt_names),
    }
}

fn from_port(port: ServicePort) -> ServicePortInput {
    ServicePortInput {
        number: Value::Known(PortNumber(port.number)),
        protocol: Value::Known(Text(port.protocol)),
        target_port: port.target_port.map(PortNumber).into(),
        app_port: port.app_port.map(PortNumber).into(),
        app_address: port.app_address.map(Text).into(),
        bind: port.bind.into(),
        capture: port.capture.map(Text).into(),
    }
}
