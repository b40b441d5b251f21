//! Rules of the `Sidecar` and of workloads that require one.

use std::collections::BTreeMap;

use super::ports::not_reserved;
use super::problem::problem;
use crate::change::Problem;
use crate::names::{Address, Listen, PortName};
use crate::rule::Rule;
use crate::workload::{Capture, EgressListener, Interception, Sidecar, Workload};

pub(super) fn validate(workload: &Workload, problems: &mut Vec<Problem>) {
    let Some(sidecar) = &workload.sidecar else {
        needed(workload, problems);
        return;
    };
    if is_empty(workload, sidecar) {
        let text = "The Sidecar would be empty, which Istio rejects. Declare services, set egress_hosts, or remove \
                    sidecar.";
        let concerns = ["sidecar", "services", "sidecar.egress_hosts"];
        problems.push(problem(Rule::SidecarEmpty, &concerns, text.to_owned()));
    }
    for (name, listener) in &sidecar.egress_listeners {
        egress(name, listener, problems);
    }
    shared_sockets(sidecar, problems);
    captured(workload, sidecar, problems);
}

fn is_empty(workload: &Workload, sidecar: &Sidecar) -> bool {
    workload.services.is_empty()
        && sidecar.egress_hosts.is_empty()
        && sidecar.egress_listeners.is_empty()
        && sidecar.outbound_traffic.is_none()
}

fn needed(workload: &Workload, problems: &mut Vec<Problem>) {
    if workload.services.is_empty() {
        return;
    }
    if workload.proxy.interception == Interception::None {
        let text = "Without interception, the proxy receives inbound traffic only through the Sidecar's listeners, and \
                    no sidecar is declared. Set sidecar, whose listeners are derived from \
                    services.";
        let concerns = ["proxy.interception", "sidecar", "services"];
        problems.push(problem(
            Rule::InterceptionNeedsSidecar,
            &concerns,
            text.to_owned(),
        ));
    }
    if let Some(Address::Fqdn(name)) = &workload.address {
        let text = format!(
            "The address is the name {name}. istiod finds a proxy's services by IP address, so this one would get no \
             listeners of its own. Set sidecar, whose listeners are derived from services."
        );
        problems.push(problem(
            Rule::FqdnNeedsSidecar,
            &["sidecar", "address", "services"],
            text,
        ));
    }
}

/// Istio's rules (`validateSidecarEgressPortBindAndCaptureMode`).
fn egress(name: &PortName, listener: &EgressListener, problems: &mut Vec<Problem>) {
    let at = format!("sidecar.egress_listeners.{name}");
    let (bind, port) = (format!("{at}.bind"), format!("{at}.port"));
    let is_socket = matches!(listener.bind, Some(Listen::Unix(_)));
    match listener.port {
        Some(_) if is_socket => {
            let text =
                format!("The listener {name} is a unix socket, which has no port. Remove port.");
            problems.push(problem(Rule::EgressPort, &[&port, &bind], text));
        }
        None if !is_socket => {
            let text = format!(
                "The listener {name} has no port. Set port, or let it bind a unix socket such as \
                 unix:///run/{name}.sock."
            );
            problems.push(problem(Rule::EgressPort, &[&port, &bind], text));
        }
        Some(number) => not_reserved(number, &[&port], problems),
        None => {}
    }
    if is_socket && listener.capture == Some(Capture::Iptables) {
        let text = format!(
            "NAT rules cannot redirect to a unix socket: the application can only connect to the listener {name} \
             directly."
        );
        problems.push(problem(
            Rule::EgressCapture,
            &[&format!("{at}.capture"), &bind],
            text,
        ));
    }
    if listener.hosts.is_empty() {
        let text = format!("The listener {name} forwards to no host. Set at least one host.");
        problems.push(problem(
            Rule::EgressHostsRequired,
            &[&format!("{at}.hosts")],
            text,
        ));
    }
}

/// Checks that egress listeners do not share a port. Istio compares only the numbers, not the addresses.
fn shared_sockets(sidecar: &Sidecar, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &PortName> = BTreeMap::new();
    for (name, listener) in &sidecar.egress_listeners {
        let (what, attribute) = match (&listener.bind, listener.port) {
            (Some(Listen::Unix(path)), _) => (format!("the socket {path}"), "bind"),
            (_, Some(port)) => (format!("port {port}"), "port"),
            _ => continue,
        };
        if let Some(first) = seen.get(&what) {
            let text = format!(
                "The egress listeners {first} and {name} both listen on {what}, which Istio rejects even on different \
                 addresses. Change one of them."
            );
            let at = |name: &PortName| format!("sidecar.egress_listeners.{name}.{attribute}");
            problems.push(problem(Rule::EgressTwice, &[&at(name), &at(first)], text));
        } else {
            seen.insert(what, name);
        }
    }
}

fn captured(workload: &Workload, sidecar: &Sidecar, problems: &mut Vec<Problem>) {
    if workload.proxy.interception != Interception::None {
        return;
    }
    let services = workload.services.iter().flat_map(|(service, of)| {
        let path = move |name| format!("services.{service}.ports.{name}.capture");
        of.ports
            .iter()
            .map(move |(name, port)| (path(name), port.capture))
    });
    let listeners = sidecar.egress_listeners.iter().map(|(name, listener)| {
        let path = format!("sidecar.egress_listeners.{name}.capture");
        (path, listener.capture)
    });
    for (at, _) in services
        .chain(listeners)
        .filter(|(_, mode)| *mode == Some(Capture::Iptables))
    {
        let text = "Without interception, no NAT rules redirect to this listener. Remove capture, or set \
                    proxy.interception to redirect.";
        problems.push(problem(
            Rule::CaptureNeedsInterception,
            &[&at, "proxy.interception"],
            text.to_owned(),
        ));
    }
}
