//! Rules of the services on the VM and of its `Sidecar`.

use std::collections::BTreeMap;

use super::problem;
use crate::change::Problem;
use crate::names::{Address, Fqdn, Host, Name, Namespace, Port, PortName};
use crate::workload::{Interception, Service, ServicePort, Sidecar, Workload};

/// Ports on which the proxy itself listens.
const PROXY_PORTS: [u16; 9] = [
    15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090,
];

pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    for (name, service) in &workload.services {
        hosts(workload, name, service, problems);
        numbers(name, service, problems);
        for (port_name, port) in &service.ports {
            targets(workload, name, port_name, port, problems);
        }
    }
    shared_targets(workload, problems);
    entry_ports(workload, problems);
    sidecar_needed(workload, problems);
    if let Some(sidecar) = &workload.sidecar {
        sidecar_content(workload, sidecar, problems);
    }
}

fn hosts(workload: &Workload, name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    let at = format!("services.{name}.hosts");
    let object = format!("{}-{name}", workload.id.name);
    if object.len() > 253 {
        let text = format!(
            "The ServiceEntry would be called {object:?}, with more than 253 characters. Shorten the service's name."
        );
        problems.push(problem("object-name", &[&format!("services.{name}")], text));
    }
    if service.hosts.is_empty() {
        let text =
            format!("The service {name} has no host. Give the name by which callers find it.");
        problems.push(problem("hosts-required", &[&at], text));
    }
    if service.hosts.len() > 256 {
        let text = format!(
            "The service {name} has {} hosts; a ServiceEntry holds at most 256.",
            service.hosts.len()
        );
        problems.push(problem("too-many", &[&at], text));
    }
    if let (true, Some((port, protocol))) = (service.hosts.len() > 1, hostless(service)) {
        let text = format!(
            "The service {name} has {} hosts, and its port {port} speaks {protocol}, which does not say which of them \
             is meant. Make it a service for each host, or use HTTP, HTTP2, GRPC, HTTPS or TLS.",
            service.hosts.len()
        );
        let protocol = format!("services.{name}.ports.{port}.protocol");
        problems.push(problem("several-hosts", &[&at, &protocol], text));
    }
    if let Some(Address::Fqdn(_)) = workload.address {
        resolved_by_dns(name, service, problems);
    }
}

fn hostless(service: &Service) -> Option<(&PortName, crate::names::Protocol)> {
    service
        .ports
        .iter()
        .map(|(name, port)| (name, port.protocol))
        .find(|(_, protocol)| !protocol.names_its_host())
}

/// A VM that is known by a name makes its services `resolution: DNS`, which has narrower rules.
fn resolved_by_dns(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if let Some(host) = service.hosts.iter().find(|host| host.is_wildcard()) {
        let at = format!("services.{name}.hosts");
        let text = format!(
            "The host {host} has a wildcard, which Istio refuses where the VM's address is a name. Use an IP address, or name the hosts."
        );
        problems.push(problem("dns-without-wildcard", &[&at, "address"], text));
    }
    if let Some(range) = service.addresses.iter().find(|address| address.is_range()) {
        let at = format!("services.{name}.addresses");
        let text = format!(
            "{range} is a range, which Istio refuses where the VM's address is a name. Give single addresses."
        );
        problems.push(problem("dns-without-range", &[&at, "address"], text));
    }
}

fn numbers(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if service.ports.is_empty() {
        let text = format!("The service {name} has no port. Give at least one.");
        problems.push(problem(
            "ports-required",
            &[&format!("services.{name}.ports")],
            text,
        ));
    }
    let mut seen: BTreeMap<Port, &PortName> = BTreeMap::new();
    for (port_name, port) in &service.ports {
        if let Some(first) = seen.insert(port.number, port_name) {
            let at = |port: &PortName| format!("services.{name}.ports.{port}.number");
            let text = format!(
                "The ports {first} and {port_name} of the service {name} are both {}. A number is used once.",
                port.number
            );
            problems.push(problem("port-numbers", &[&at(port_name), &at(first)], text));
        }
    }
}

fn targets(
    workload: &Workload,
    name: &Name,
    port_name: &PortName,
    port: &ServicePort,
    problems: &mut Vec<Problem>,
) {
    let at = format!("services.{name}.ports.{port_name}");
    let target = workload.target(port_name, port);
    if let (Some(own), Some(of_entry)) = (port.target_port, workload.ports.get(port_name))
        && own != *of_entry
    {
        let text = format!(
            "target_port is {own}, but ports.{port_name} is {of_entry}, and Istio prefers the latter. Remove one of them."
        );
        let entry = format!("ports.{port_name}");
        problems.push(problem(
            "target-port-twice",
            &[&format!("{at}.target_port"), &entry],
            text,
        ));
    }
    for (attribute, number) in [
        ("target_port", target),
        ("app_port", workload.app_port(port_name, port)),
    ] {
        if PROXY_PORTS.contains(&number.get()) {
            let text = format!(
                "On {number} the proxy itself listens. Let the application use another port."
            );
            problems.push(problem(
                "proxy-port",
                &[&format!("{at}.{attribute}"), &format!("{at}.number")],
                text,
            ));
        }
    }
    if workload.sidecar.is_none() && port.app_port.is_some_and(|app| app != target) {
        let text = "app_port is another port than the one that callers reach, and without a Sidecar nothing leads \
                    from one to the other. Set sidecar = {}, or remove app_port.";
        problems.push(problem(
            "app-port-needs-sidecar",
            &[&format!("{at}.app_port"), "sidecar"],
            text.to_owned(),
        ));
    }
}

/// Istio would take the oldest service of two on the same port, without a word.
fn shared_targets(workload: &Workload, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<Port, String> = BTreeMap::new();
    for (name, service) in &workload.services {
        for (port_name, port) in &service.ports {
            let target = workload.target(port_name, port);
            let at = format!("services.{name}.ports.{port_name}");
            if let Some(first) = seen.get(&target) {
                let text = format!(
                    "{first} and {at} both lead to port {target} of the VM, and its proxy can tell only one service \
                     on a port. Give one of them another target_port."
                );
                let concerns = [&at, first].map(|at| format!("{at}.target_port"));
                problems.push(problem(
                    "same-port-twice",
                    &[&concerns[0], &concerns[1]],
                    text,
                ));
            } else {
                seen.insert(target, at);
            }
        }
    }
}

/// Without services the names may be those of a Kubernetes `Service`: then they are not ours to check.
fn entry_ports(workload: &Workload, problems: &mut Vec<Problem>) {
    if workload.services.is_empty() {
        return;
    }
    let known = |name: &PortName| {
        workload
            .services
            .values()
            .any(|service| service.ports.contains_key(name))
    };
    for name in workload.ports.keys().filter(|name| !known(name)) {
        let text = format!(
            "No service has a port of the name {name}, so Istio would ignore it. Rename it after a service's port, or remove it."
        );
        problems.push(problem(
            "entry-port-unknown",
            &[&format!("ports.{name}"), "services"],
            text,
        ));
    }
}

fn sidecar_needed(workload: &Workload, problems: &mut Vec<Problem>) {
    if workload.sidecar.is_some() || workload.services.is_empty() {
        return;
    }
    if workload.proxy.interception == Interception::None {
        let text = "Without interception the proxy takes no inbound traffic but that of the Sidecar's listeners, and \
                    no sidecar is declared. Set sidecar = {}, whose listeners follow from services.";
        let concerns = ["proxy.interception", "sidecar", "services"];
        problems.push(problem(
            "interception-needs-sidecar",
            &concerns,
            text.to_owned(),
        ));
    }
    if let Some(Address::Fqdn(name)) = &workload.address {
        let text = format!(
            "The address is the name {name}. istiod finds a proxy's services by IP address, so this one would get no \
             listeners of its own. Set sidecar = {{}}, whose listeners follow from services."
        );
        problems.push(problem(
            "fqdn-needs-sidecar",
            &["sidecar", "address", "services"],
            text,
        ));
    }
}

fn sidecar_content(workload: &Workload, sidecar: &Sidecar, problems: &mut Vec<Problem>) {
    let at = "sidecar.egress_hosts";
    if workload.services.is_empty() && sidecar.egress_hosts.is_empty() {
        let text = "The Sidecar would be empty, which Istio refuses. Declare services, give egress_hosts, or remove sidecar.";
        problems.push(problem(
            "sidecar-empty",
            &["sidecar", "services", at],
            text.to_owned(),
        ));
    }
    for host in sidecar
        .egress_hosts
        .iter()
        .filter(|host| !is_egress_host(host))
    {
        let text = format!(
            "{host:?} is not namespace/host: the namespace may be '*', '.' (its own) or '~' (none), the host '*' or begin with '*.'."
        );
        problems.push(problem("egress-host", &[at], text));
    }
}

fn is_egress_host(text: &str) -> bool {
    let Some((namespace, host)) = text.split_once('/') else {
        return false;
    };
    let namespace_fits =
        matches!(namespace, "*" | "." | "~") || namespace.parse::<Namespace>().is_ok();
    let host_fits = host == "*" || host.parse::<Host>().is_ok() || host.parse::<Fqdn>().is_ok();
    namespace_fits && host_fits
}
