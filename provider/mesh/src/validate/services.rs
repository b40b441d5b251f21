//! Rules of services: their names, hosts and addresses.

use std::collections::BTreeMap;

use super::problem::problem;
use crate::change::Problem;
use crate::names::{Address, Name, PortName, Protocol};
use crate::objects::service_entry_name;
use crate::rule::Rule;
use crate::workload::{Service, Workload};

/// Maximum length of each list in the CRD of `ServiceEntry`.
const MOST: usize = 256;

pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    for (name, service) in &workload.services {
        if service.hosts.is_empty() {
            without_object(workload, name, service, problems);
        } else {
            object_name(workload, name, service, problems);
            hosts(name, service, problems);
            counts(name, service, problems);
            export_to(workload, name, service, problems);
            if let Some(Address::Fqdn(_)) = workload.address {
                resolved_by_dns(name, service, problems);
            }
        }
    }
    shared_names(workload, problems);
}

/// Checks a service without hosts. It has no `ServiceEntry`, so attributes of one must not be set, and it can only
/// define listeners of the `Sidecar`.
fn without_object(
    workload: &Workload,
    name: &Name,
    service: &Service,
    problems: &mut Vec<Problem>,
) {
    let at = format!("services.{name}");
    let attributes = [
        ("addresses", service.addresses.is_empty()),
        ("export_to", service.export_to.is_empty()),
        ("subject_alt_names", service.subject_alt_names.is_empty()),
        ("object_name", service.object_name.is_none()),
    ];
    let hosts = format!("{at}.hosts");
    for (attribute, _) in attributes.iter().filter(|(_, is_empty)| !is_empty) {
        let text = format!(
            "{attribute} is part of the ServiceEntry, and the service {name} has none, because its hosts are \
            empty. Add a host, or remove {attribute}."
        );
        let concerns = [hosts.as_str(), &format!("{at}.{attribute}")];
        problems.push(problem(Rule::HostsRequired, &concerns, text));
    }
    if workload.sidecar.is_none() {
        let text = format!(
            "The service {name} has no host, so it has no ServiceEntry, and there is no Sidecar to listen for it. Set \
            the host name that clients use, set sidecar, or remove the service."
        );
        problems.push(problem(Rule::HostsRequired, &[&hosts, "sidecar"], text));
    }
}

fn object_name(workload: &Workload, name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if service_entry_name(&workload.id.name, name, service).is_none() {
        let text = format!(
            "The name {:?} of the ServiceEntry would have more than 253 characters. Shorten the service's name, or set \
            object_name.",
            format!("{}-{name}", workload.id.name)
        );
        problems.push(problem(
            Rule::ObjectName,
            &[&format!("services.{name}")],
            text,
        ));
    }
}

/// Checks that object names are unique: the later one of two services would silently replace the other.
fn shared_names(workload: &Workload, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<Name, &Name> = BTreeMap::new();
    for (name, service) in &workload.services {
        let Some(object) = service_entry_name(&workload.id.name, name, service) else {
            continue;
        };
        if let Some(first) = seen.insert(object.clone(), name) {
            let text = format!(
                "The services {first} and {name} would both use the ServiceEntry {object}. Give one of them another \
                object_name."
            );
            let at = |service: &Name| format!("services.{service}.object_name");
            problems.push(problem(
                Rule::ObjectNameTwice,
                &[&at(name), &at(first)],
                text,
            ));
        }
    }
}

fn hosts(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    let at = format!("services.{name}.hosts");
    if let (true, Some((port, protocol))) = (service.hosts.len() > 1, hostless(service)) {
        let text = format!(
            "The service {name} has {} hosts, and the protocol {protocol} of its port {port} does not carry the host \
            name. Create one service per host, or use HTTP, HTTP2, GRPC, HTTPS or TLS.",
            service.hosts.len()
        );
        let protocol = format!("services.{name}.ports.{port}.protocol");
        problems.push(problem(Rule::SeveralHosts, &[&at, &protocol], text));
    }
}

fn hostless(service: &Service) -> Option<(&PortName, Protocol)> {
    service
        .ports
        .iter()
        .map(|(name, port)| (name, port.protocol))
        .find(|(_, protocol)| !protocol.names_its_host())
}

fn counts(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    for (list, count) in [
        ("hosts", service.hosts.len()),
        ("addresses", service.addresses.len()),
        ("ports", service.ports.len()),
    ] {
        if count > MOST {
            let text = format!(
                "The service {name} has {count} {list}; a ServiceEntry can have at most {MOST}. Split it into several \
                 services."
            );
            problems.push(problem(
                Rule::TooMany,
                &[&format!("services.{name}.{list}")],
                text,
            ));
        }
    }
}

/// Checks `export_to` by Istio's rule (`validateExportTo`): no duplicates, with `.` for the own namespace; `*` and `~`
/// must be the only element.
fn export_to(workload: &Workload, name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    let at = format!("services.{name}.export_to");
    let own = workload.id.namespace.as_str();
    let namespaces = service.export_to.iter().map(|to| match to.as_str() {
        "." => own,
        other => other,
    });
    let mut namespaces: Vec<&str> = namespaces.collect();
    if let Some(all) = namespaces.iter().find(|to| matches!(**to, "*" | "~"))
        && namespaces.len() > 1
    {
        let text = format!(
            "{all:?} must be the only entry in export_to of the service {name}. Remove it, or the others."
        );
        problems.push(problem(Rule::ExportTo, &[&at], text));
    }
    namespaces.sort_unstable();
    if let Some([twice, _]) = namespaces.array_windows().find(|[one, next]| one == next) {
        let text = format!("The service {name} is exported to {twice} twice, which Istio rejects.");
        problems.push(problem(Rule::ExportTo, &[&at, "namespace"], text));
    }
}

/// Checks a service of a VM whose address is a name: its resolution is `DNS`, which has stricter rules.
fn resolved_by_dns(name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if let Some(host) = service.hosts.iter().find(|host| host.is_wildcard()) {
        let at = format!("services.{name}.hosts");
        let text = format!(
            "The host {host} has a wildcard, which Istio rejects if the VM's address is a name. Use an IP address, or \
             list the hosts."
        );
        problems.push(problem(Rule::DnsWithoutWildcard, &[&at, "address"], text));
    }
    if let Some(range) = service.addresses.iter().find(|address| address.is_range()) {
        let at = format!("services.{name}.addresses");
        let text = format!(
            "{range} is a range, which Istio rejects if the VM's address is a name. Use single addresses."
        );
        problems.push(problem(Rule::DnsWithoutRange, &[&at, "address"], text));
    }
}
