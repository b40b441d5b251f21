//! Traffic that never reaches the proxy: ports of services that its rules leave alone, and destinations that they
//! exclude.

use super::ports::target_path;
use super::problem::problem;
use crate::change::Problem;
use crate::names::{Cidr, Port, PortName};
use crate::ports::SSH;
use crate::rule::Rule;
use crate::workload::{Capture, Interception, Service, ServicePort, Workload};

/// Checks that the proxy captures the port of each service: the VM would answer in plain text, without mutual TLS.
pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    for (at, name, port) in captured_ports(workload) {
        let target = port.target(name, &workload.ports);
        let own = target_path(workload, &at, name, port);
        if target.get() == SSH {
            refuse(target, "sshd listens on it", &[&own], problems);
        } else if workload.proxy.exclude_inbound_ports.contains(&target) {
            let cause = "it is in proxy.exclude_inbound_ports";
            let concerns = [own.as_str(), "proxy.exclude_inbound_ports"];
            refuse(target, cause, &concerns, problems);
        } else if !is_listed(workload, target) {
            let cause = "it is not in ports, and the proxy captures only those if any are set";
            refuse(target, cause, &[&own, "ports"], problems);
        }
    }
}

/// Returns the problems of the ports of services that are the port of sshd, which always bypasses the proxy.
pub fn validate_sshd(workload: &Workload, sshd: Port) -> Vec<Problem> {
    let mut problems = Vec::new();
    if sshd.get() == SSH {
        return problems;
    }
    for (at, name, port) in captured_ports(workload) {
        if port.target(name, &workload.ports) == sshd {
            let own = target_path(workload, &at, name, port);
            let cause = "sshd listens on it (ssh.port)";
            refuse(sshd, cause, &[&own, "ssh.port"], &mut problems);
        }
    }
    problems
}

/// Returns true if the proxy captures no outbound traffic of one IP version.
pub fn bypasses_everything(excluded: &Cidr) -> bool {
    excluded.as_range().to_string().ends_with("/0")
}

/// Returns the ports of services that need the proxy's rules, each with its attribute. A listener that clients connect
/// to directly does not.
fn captured_ports(workload: &Workload) -> impl Iterator<Item = (String, &PortName, &ServicePort)> {
    let intercepts = workload.proxy.interception != Interception::None;
    let services = workload.services.iter().filter(move |_| intercepts);
    services
        .flat_map(|(service, declared): (_, &Service)| {
            let ports = declared.ports.iter();
            ports.map(move |(name, port)| (format!("services.{service}.ports.{name}"), name, port))
        })
        .filter(|(_, _, port)| port.capture != Some(Capture::None))
}

/// Returns true if the proxy's rules capture a port: all of them, or those of `ports`.
fn is_listed(workload: &Workload, port: Port) -> bool {
    let mut listed = workload.ports.values();
    workload.ports.is_empty() || listed.any(|own| *own == port)
}

fn refuse(port: Port, cause: &str, concerns: &[&str], problems: &mut Vec<Problem>) {
    let text = format!(
        "Traffic to port {port} of the VM bypasses the proxy, because {cause}. The service would answer in plain text. \
         Set a port that the proxy captures."
    );
    problems.push(problem(Rule::PortNotCaptured, concerns, text));
}
