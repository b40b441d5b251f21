//! From what the user wrote to the domain: the only place where nulls and unknowns become values.
//!
//! An unknown value counts as absent here; whoever reports a problem drops those that concern it.

use std::collections::BTreeMap;

use mesh::health::{HealthCheck, Probe};
use mesh::names::{Id, Name, PortName};
use mesh::workload::{
    EgressListener, Install, Interception, Proxy, Runtime, Service, ServicePort, Sidecar, Workload,
};
use plugin::{Text, Value};

use super::input::{
    EgressListenerInput, HealthCheckInput, InstallInput, ProxyInput, ServiceInput,
    ServicePortInput, SidecarInput, WorkloadInput,
};
use super::leaf::PortNumber;

/// Returns the workload; `None` while its namespace or name is unknown.
pub(crate) fn workload(input: &WorkloadInput) -> Option<Workload> {
    Some(Workload {
        id: id(input)?,
        address: text(&input.address),
        instance_ip: text(&input.instance_ip),
        labels: texts(&input.labels),
        annotations: input.annotations.known().cloned().unwrap_or_default(),
        service_account: service_account(input)?,
        network: text(&input.network),
        locality: text(&input.locality),
        weight: input.weight.known().copied(),
        ports: ports(&input.ports),
        fleet: text(&input.fleet),
        services: services(&input.services),
        sidecar: input.sidecar.known().map(sidecar),
        env: input
            .env
            .known()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.0.clone(), value.clone()))
            .collect(),
        health_check: input.health_check.known().map(health_check),
        proxy: proxy(input.proxy.known().unwrap_or(&ProxyInput::default())),
    })
}

/// Returns the service account, which Kubernetes makes for each namespace where the user names none.
pub(crate) fn service_account(input: &WorkloadInput) -> Option<Name> {
    text(&input.service_account).or_else(|| "default".parse().ok())
}

/// Returns namespace and name; `None` while one is unknown.
pub(crate) fn id(input: &WorkloadInput) -> Option<Id> {
    Some(Id {
        namespace: text(&input.namespace)?,
        name: text(&input.name)?,
    })
}

/// Returns the ports of an entry.
pub(crate) fn ports(
    input: &Value<BTreeMap<Text<PortName>, PortNumber>>,
) -> BTreeMap<PortName, mesh::names::Port> {
    let ports = input.known().into_iter().flatten();
    ports.map(|(name, port)| (name.0.clone(), port.0)).collect()
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
        hosts: list(&input.hosts),
        addresses: list(&input.addresses),
        ports: input
            .ports
            .known()
            .into_iter()
            .flatten()
            .filter_map(|(name, port)| Some((name.0.clone(), service_port(port)?)))
            .collect(),
        export_to: list(&input.export_to),
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
        bind: text(&input.bind),
        capture: text(&input.capture),
    })
}

/// Returns the Sidecar.
pub(crate) fn sidecar(input: &SidecarInput) -> Sidecar {
    let listeners = input.egress_listeners.known().into_iter().flatten();
    Sidecar {
        name: text(&input.name),
        egress_hosts: list(&input.egress_hosts),
        egress_listeners: listeners
            .filter_map(|(name, of)| Some((name.0.clone(), egress_listener(of)?)))
            .collect(),
        outbound_traffic: text(&input.outbound_traffic),
    }
}

fn egress_listener(input: &EgressListenerInput) -> Option<EgressListener> {
    Some(EgressListener {
        bind: text(&input.bind),
        port: port(input.port),
        protocol: text(&input.protocol)?,
        hosts: list(&input.hosts),
        capture: text(&input.capture),
    })
}

fn proxy(input: &ProxyInput) -> Proxy {
    Proxy {
        runtime: text(&input.runtime).unwrap_or(Runtime::Systemd),
        image: text(&input.image),
        pull_policy: text(&input.pull_policy),
        interception: text(&input.interception).unwrap_or(Interception::Redirect),
        install: input.install.known().and_then(install),
        version: text(&input.version),
        exclude_inbound_ports: input
            .exclude_inbound_ports
            .known()
            .into_iter()
            .flatten()
            .map(|port| port.0)
            .collect(),
        exclude_cidrs: list(&input.exclude_cidrs),
        dns_capture: input.dns_capture.known().copied(),
        config: text(&input.config),
    }
}

/// Returns the health check.
pub(crate) fn health_check(input: &HealthCheckInput) -> HealthCheck {
    let http = input.http.known().and_then(|http| {
        Some(Probe::Http {
            host: text(&http.host),
            port: port(http.port)?,
            path: http.path.known().cloned(),
            scheme: text(&http.scheme),
            headers: http.headers.known().cloned().unwrap_or_default(),
        })
    });
    let tcp = input.tcp.known().and_then(|tcp| {
        Some(Probe::Tcp {
            host: text(&tcp.host),
            port: port(tcp.port)?,
        })
    });
    let grpc = input.grpc.known().and_then(|grpc| {
        Some(Probe::Grpc {
            port: port(grpc.port)?,
            service: grpc.service.known().cloned(),
        })
    });
    let exec = input.exec.known().cloned().map(Probe::Exec);
    HealthCheck {
        methods: [http, tcp, exec, grpc].into_iter().flatten().collect(),
        initial_delay: input.initial_delay_seconds.known().copied(),
        timeout: input.timeout_seconds.known().copied(),
        period: input.period_seconds.known().copied(),
        success_threshold: input.success_threshold.known().copied(),
        failure_threshold: input.failure_threshold.known().copied(),
    }
}

fn install(input: &InstallInput) -> Option<Install> {
    Some(Install {
        url: input.url.known()?.clone(),
        sha256: text(&input.sha256)?,
    })
}

/// Returns a parsed text.
pub(crate) fn text<T: Clone>(value: &Value<Text<T>>) -> Option<T> {
    value.known().map(|text| text.0.clone())
}

fn port(value: Value<PortNumber>) -> Option<mesh::names::Port> {
    value.known().map(|port| port.0)
}

fn list<T: Clone>(value: &Value<Vec<Text<T>>>) -> Vec<T> {
    value
        .known()
        .into_iter()
        .flatten()
        .map(|text| text.0.clone())
        .collect()
}

/// Returns a map of parsed texts.
pub(crate) fn texts<K: Clone + Ord, V: Clone>(
    value: &Value<BTreeMap<Text<K>, Text<V>>>,
) -> BTreeMap<K, V> {
    value
        .known()
        .into_iter()
        .flatten()
        .map(|(key, text)| (key.0.clone(), text.0.clone()))
        .collect()
}
