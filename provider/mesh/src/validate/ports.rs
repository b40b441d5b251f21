//! Rules of ports: of the service, the proxy and the application.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::problem::problem;
use crate::change::Problem;
use crate::names::{Address, Listen, Name, Port, PortName};
use crate::ports::is_of_proxy;
use crate::rule::Rule;
use crate::workload::{Interception, Service, ServicePort, Workload};

pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    for (name, service) in &workload.services {
        numbers(name, service, problems);
        for (port_name, port) in &service.ports {
            let at = format!("services.{name}.ports.{port_name}");
            targets(workload, &at, port_name, port, problems);
            application(workload, &at, port, problems);
            needs_sidecar(workload, &at, port_name, port, problems);
        }
    }
    shared_targets(workload, problems);
    entry_ports(workload, problems);
}

/// Adds a problem if the proxy reserves a port.
pub(super) fn not_reserved(number: Port, concerns: &[&str], problems: &mut Vec<Problem>) {
    if is_of_proxy(number.get()) {
        let text = format!("The proxy itself listens on port {number}. Use another port.");
        problems.push(problem(Rule::ProxyPort, concerns, text));
    }
}

fn numbers(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if service.ports.is_empty() {
        let text = format!("The service {name} has no port. Set at least one.");
        problems.push(problem(
            Rule::PortsRequired,
            &[&format!("services.{name}.ports")],
            text,
        ));
    }
    let mut seen: BTreeMap<Port, &PortName> = BTreeMap::new();
    for (port_name, port) in &service.ports {
        if let Some(first) = seen.insert(port.number, port_name) {
            let at = |port: &PortName| format!("services.{name}.ports.{port}.number");
            let text = format!(
                "The ports {first} and {port_name} of the service {name} are both {}. Each number can be used only \
                 once.",
                port.number
            );
            problems.push(problem(
                Rule::PortNumbers,
                &[&at(port_name), &at(first)],
                text,
            ));
        }
    }
}

fn targets(
    workload: &Workload,
    at: &str,
    name: &PortName,
    port: &ServicePort,
    problems: &mut Vec<Problem>,
) {
    if let (Some(own), Some(of_entry)) = (port.target_port, workload.ports.get(name))
        && own != *of_entry
    {
        let text = format!(
            "target_port is {own}, but ports.{name} is {of_entry}, and Istio prefers the latter. Remove one of them."
        );
        let concerns = [format!("{at}.target_port"), format!("ports.{name}")];
        let concerns = concerns.each_ref().map(String::as_str);
        problems.push(problem(Rule::TargetPortTwice, &concerns, text));
    }
    let target = port.target(name, &workload.ports);
    not_reserved(target, &[&target_path(workload, at, name, port)], problems);
    if let Some(app_port) = port.app_port.filter(|app_port| *app_port != target) {
        not_reserved(app_port, &[&format!("{at}.app_port")], problems);
    }
}

/// Returns the attribute that sets the port on which the VM's proxy receives the traffic.
pub(super) fn target_path(
    workload: &Workload,
    at: &str,
    name: &PortName,
    port: &ServicePort,
) -> String {
    if workload.ports.contains_key(name) {
        format!("ports.{name}")
    } else if port.target_port.is_some() {
        format!("{at}.target_port")
    } else {
        format!("{at}.number")
    }
}

/// Checks the address that a `Sidecar` forwards to by Istio's rules. 0.0.0.0 means the first address of the proxy, which
/// no interface of a VM behind NAT has.
fn application(workload: &Workload, at: &str, port: &ServicePort, problems: &mut Vec<Problem>) {
    let attribute = format!("{at}.app_address");
    // Traffic keeps its source address up to the application, and the kernel drops packets from another machine's
    // address to a loopback address.
    let own = matches!(&port.app_address, Some(Listen::Ip(ip)) if ip.is_unspecified());
    if workload.proxy.interception == Interception::Tproxy && workload.sidecar.is_some() && !own {
        let text = "With tproxy, the application sees the client's address. Such traffic cannot reach it on \
                    127.0.0.1, which the Sidecar forwards to, or on a unix socket. Let it listen on the VM's own \
                    address and set app_address to 0.0.0.0 or ::, omit sidecar, or set proxy.interception to redirect.";
        let concerns = [&attribute, "proxy.interception", "sidecar"];
        problems.push(problem(Rule::TproxyLoopback, &concerns, text.to_owned()));
    }
    match &port.app_address {
        Some(Listen::Unix(_)) if port.app_port.is_some() => {
            let text = "The application listens on a unix socket, which has no port. Remove app_port, or use an IP \
                        address.";
            let concerns = [&format!("{at}.app_port"), attribute.as_str()];
            problems.push(problem(Rule::AppSocket, &concerns, text.to_owned()));
        }
        Some(Listen::Ip(ip)) if !ip.is_unspecified() && !is_usual_loopback(*ip) => {
            let text = format!(
                "A Sidecar cannot forward to {ip}: Istio accepts 127.0.0.1, ::1, 0.0.0.0, :: and unix sockets. For \
                 the VM's own address, use 0.0.0.0 or ::."
            );
            problems.push(problem(Rule::AppAddress, &[&attribute], text));
        }
        Some(Listen::Ip(ip)) if ip.is_unspecified() && is_behind_nat(workload) => {
            let text = format!(
                "{ip} means the first address of the VM at istiod. That is address, which no interface of the VM has. Let \
                the application listen on 127.0.0.1 or ::1."
            );
            let concerns = [&attribute, "instance_ip", "address"];
            problems.push(problem(Rule::AppAddress, &concerns, text));
        }
        _ => {}
    }
}

fn is_usual_loopback(ip: IpAddr) -> bool {
    ip == IpAddr::from([127, 0, 0, 1]) || ip == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16])
}

fn is_behind_nat(workload: &Workload) -> bool {
    let address = workload.address.as_ref().and_then(Address::ip);
    let differs = |ip: IpAddr| workload.instance_ip.is_some_and(|own| own != ip);
    address.is_some_and(differs)
}

fn needs_sidecar(
    workload: &Workload,
    at: &str,
    name: &PortName,
    port: &ServicePort,
    problems: &mut Vec<Problem>,
) {
    let has_other_port = port
        .app_port
        .is_some_and(|app| app != port.target(name, &workload.ports));
    let attributes = [
        ("app_port", has_other_port),
        ("app_address", port.app_address.is_some()),
        ("bind", port.bind.is_some()),
        ("capture", port.capture.is_some()),
    ];
    let set = attributes
        .iter()
        .filter(|(_, is_set)| *is_set && workload.sidecar.is_none());
    for (attribute, _) in set {
        let text = format!(
            "{attribute} changes where traffic is received or forwarded, which only a Sidecar can do. Set \
            sidecar, or remove {attribute}."
        );
        let concerns = [&format!("{at}.{attribute}"), "sidecar"];
        problems.push(problem(Rule::AppPortNeedsSidecar, &concerns, text));
    }
}

/// Checks that target ports are unique: Istio would silently use the older one of two services on the same port.
fn shared_targets(workload: &Workload, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<Port, String> = BTreeMap::new();
    for (name, service) in &workload.services {
        for (port_name, port) in &service.ports {
            let target = port.target(port_name, &workload.ports);
            let at = format!("services.{name}.ports.{port_name}");
            if let Some(first) = seen.get(&target) {
                let text = format!(
                    "{first} and {at} both forward to port {target} of the VM, and its proxy supports only one service \
                     per port. Give one of them another target_port."
                );
                let concerns = [&at, first].map(|at| format!("{at}.target_port"));
                problems.push(problem(
                    Rule::SamePortTwice,
                    &[&concerns[0], &concerns[1]],
                    text,
                ));
            } else {
                seen.insert(target, at);
            }
        }
    }
}

/// Checks the port names of the entry. Without services, they may be those of a Kubernetes `Service` and are not
/// checked.
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
            "No service has a port named {name}, so Istio would ignore it. Rename it to match a service's port, or \
             remove it."
        );
        problems.push(problem(
            Rule::EntryPortUnknown,
            &[&format!("ports.{name}"), "services"],
            text,
        ));
    }
}
