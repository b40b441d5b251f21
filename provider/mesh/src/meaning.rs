//! What a declaration means, written in one way: defaults are left out, and so is what is said twice.
//!
//! **Invariant**: whatever the facts of the mesh are, a workload and its meaning render the same.

use std::net::{IpAddr, Ipv4Addr};

use crate::bundle::{METADATA_CIDRS, is_of_pods};
use crate::health::HealthCheck;
use crate::names::{Address, Cidr, Listen, Name, PortName};
use crate::ports::SSH;
use crate::proxy_config::ProxyConfig;
use crate::workload::{Proxy, PullPolicy, Service, ServicePort, Sidecar, Workload};

/// Returns the meaning of a workload.
#[must_use]
pub fn meaning(workload: &Workload) -> Workload {
    let own = workload.address.as_ref().and_then(Address::ip);
    let mut meant = workload.clone();
    meant.instance_ip = workload.instance_ip.filter(|ip| Some(*ip) != own);
    meant.env.retain(|name, _| !is_of_pods(name.as_str()));
    for (name, service) in &mut meant.services {
        *service = of_service(service, name, workload, meant.instance_ip);
    }
    let sidecar = meant.sidecar.take();
    meant.sidecar = sidecar.map(|sidecar| Sidecar {
        name: sidecar.name.filter(|name| *name != workload.id.name),
        ..sidecar
    });
    meant.health_check = meant.health_check.map(of_health_check);
    meant.proxy = of_proxy(&workload.proxy);
    meant
}

/// `bind` is the address that listeners bind unless they say otherwise.
fn of_service(
    service: &Service,
    name: &Name,
    workload: &Workload,
    bind: Option<IpAddr>,
) -> Service {
    let default_name = format!("{}-{name}", workload.id.name);
    let object_name = service.object_name.clone();
    let ports = service.ports.iter();
    Service {
        object_name: object_name.filter(|name| name.as_str() != default_name),
        ports: ports
            .map(|(name, port)| (name.clone(), of_port(port, name, workload, bind)))
            .collect(),
        ..service.clone()
    }
}

fn of_port(
    port: &ServicePort,
    name: &PortName,
    workload: &Workload,
    bind: Option<IpAddr>,
) -> ServicePort {
    let target = port.target(name, &workload.ports);
    let loopback = Listen::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let app_address = port.app_address.clone();
    ServicePort {
        target_port: port.target_port.filter(|of| *of != port.number),
        app_port: port.app_port.filter(|of| *of != target),
        app_address: app_address.filter(|of| *of != loopback),
        bind: port.bind.filter(|of| Some(*of) != bind),
        ..port.clone()
    }
}

/// Istio treats 0 as unset.
fn of_health_check(check: HealthCheck) -> HealthCheck {
    let set = |number: Option<u16>| number.filter(|number| *number > 0);
    HealthCheck {
        methods: check.methods,
        initial_delay: set(check.initial_delay),
        timeout: set(check.timeout),
        period: set(check.period),
        success_threshold: set(check.success_threshold),
        failure_threshold: set(check.failure_threshold),
    }
}

fn of_proxy(proxy: &Proxy) -> Proxy {
    let mut ports = vec![];
    for port in &proxy.exclude_inbound_ports {
        // The proxy's own ports depend on the mesh.
        if port.get() != SSH && !ports.contains(port) {
            ports.push(*port);
        }
    }
    let mut cidrs = vec![];
    for cidr in proxy.exclude_cidrs.iter().map(Cidr::as_range) {
        let is_always_excluded = METADATA_CIDRS.contains(&cidr.to_string().as_str());
        if !is_always_excluded && !cidrs.contains(&cidr) {
            cidrs.push(cidr);
        }
    }
    Proxy {
        pull_policy: proxy
            .pull_policy
            .filter(|policy| *policy != PullPolicy::IfNotPresent),
        exclude_inbound_ports: ports,
        exclude_cidrs: cidrs,
        config: proxy.config.as_ref().and_then(ProxyConfig::meaning),
        ..proxy.clone()
    }
}
