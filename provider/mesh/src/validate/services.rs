//! Rules of the services on the VM: their names, hosts and addresses.

use std::collections::BTreeMap;

use super::problem::problem;
use crate::change::Problem;
use crate::names::{Address, Name, PortName, Protocol};
use crate::objects::service_entry_name;
use crate::rule::Rule;
use crate::workload::{Service, Workload};

/// What the CRD of `ServiceEntry` takes of each list.
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

/// A service without hosts has no `ServiceEntry`: then nothing may be said of one, and only the
/// `Sidecar`'s listeners are left for it to be.
fn without_object(
    workload: &Workload,
    name: &Name,
    service: &Service,
    problems: &mut Vec<Problem>,
) {
    let at = format!("services.{name}");
    let told = [
        ("addresses", service.addresses.is_empty()),
        ("export_to", service.export_to.is_empty()),
        ("subject_alt_names", service.subject_alt_names.is_empty()),
        ("object_name", service.object_name.is_none()),
    ];
    let hosts = format!("{at}.hosts");
    for (attribute, _) in told.iter().filter(|(_, is_empty)| !is_empty) {
        let text = format!(
            "{attribute} is a part of the ServiceEntry, and without hosts the service {name} has none. Set hosts, or \
             remove {attribute}."
        );
        let concerns = [hosts.as_str(), &format!("{at}.{attribute}")];
        problems.push(problem(Rule::HostsRequired, &concerns, text));
    }
    if workload.sidecar.is_none() {
        let text = format!(
            "The service {name} has no host, so that it has no ServiceEntry, and there is no Sidecar that would \
             listen for it. Set the name that clients use, set sidecar = {{}}, or remove the service."
        );
        problems.push(problem(Rule::HostsRequired, &[&hosts, "sidecar"], text));
    }
}

fn object_name(workload: &Workload, name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    if service_entry_name(&workload.id.name, name, service).is_none() {
        let text = format!(
            "The ServiceEntry would be called {:?}, with more than 253 characters. Shorten the service's name, or set \
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

/// The later of two with one name would take the former's place, without a word.
fn shared_names(workload: &Workload, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<Name, &Name> = BTreeMap::new();
    for (name, service) in &workload.services {
        let Some(object) = service_entry_name(&workload.id.name, name, service) else {
            continue;
        };
        if let Some(first) = seen.insert(object.clone(), name) {
            let text = format!(
                "The services {first} and {name} would both be the ServiceEntry {object}. Give one of them another \
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
            "The service {name} has {} hosts, and its port {port} speaks {protocol}, which does not carry the host \
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
                "The service {name} has {count} {list}; a ServiceEntry holds at most {MOST}. Split it into several \
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

/// Istio's rule (`validateExportTo`): each once, where `.` is the own namespace; all and nobody alone.
fn export_to(workload: &Workload, name: &Name, service: &Service, problems: &mut Vec<Problem>) {
    let at = format!("services.{name}.export_to");
    let own = workload.id.namespace.as_str();
    let meant = service.export_to.iter().map(|to| match to.as_str() {
        "." => own,
        other => other,
    });
    let mut meant: Vec<&str> = meant.collect();
    if let Some(all) = meant.iter().find(|to| matches!(**to, "*" | "~"))
        && meant.len() > 1
    {
        let text = format!(
            "{all:?} must be the only entry in export_to of the service {name}. Remove it, or the others."
        );
        problems.push(problem(Rule::ExportTo, &[&at], text));
    }
    meant.sort_unstable();
    if let Some([twice, _]) = meant.array_windows().find(|[one, next]| one == next) {
        let text = format!("The service {name} is exported to {twice} twice, which Istio rejects.");
        problems.push(problem(Rule::ExportTo, &[&at, "namespace"], text));
    }
}

/// A VM that is known by a name makes its services `resolution: DNS`, which has narrower rules.
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
