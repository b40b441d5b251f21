//! The variables of `cluster.env`: the proxy's metadata and the settings of its start script.

use std::collections::BTreeMap;

use super::control_plane::{AGENT_FOLDER, ca_address, needs_wrapped_agent};
use super::environment::{
    EXCLUDE_CIDRS, EXCLUDE_PORTS, INBOUND_PORT, OUTBOUND_PORT, PROBE_LOOPBACK,
};
use super::proxy_ports::ProxyPorts;
use crate::facts::Facts;
use crate::names::{Cidr, EnvName};
use crate::ports;
use crate::workload::{Interception, Workload};

/// Metadata services of cloud providers. Their agents break if this traffic is intercepted.
pub(crate) const METADATA_CIDRS: [&str; 2] = ["169.254.169.254/32", "168.63.129.16/32"];

/// Returns the variables of `cluster.env`: the metadata, overridden by the start script's settings. Keys of the mesh
/// that are not valid variable names are left out, because root sources this file.
pub(crate) fn cluster_env(
    workload: &Workload,
    facts: &Facts,
    metadata: &BTreeMap<String, String>,
    own_ip: Option<std::net::IpAddr>,
) -> BTreeMap<String, String> {
    let mut variables = metadata.clone();
    variables.retain(|key, _| key.parse::<EnvName>().is_ok());
    let id = &workload.id;
    let ports = ProxyPorts::of(workload, facts, metadata);
    let settings = [
        ("ISTIO_INBOUND_PORTS", inbound_ports(workload)),
        (EXCLUDE_PORTS, exclude_ports(workload, ports)),
        (EXCLUDE_CIDRS, exclude_cidrs(workload)),
        ("ISTIO_NAMESPACE", id.namespace.to_string()),
        ("ISTIO_SERVICE", format!("{}.{}", id.name, id.namespace)),
        ("ISTIO_SERVICE_CIDR", "*".to_owned()),
        // istiod finds the proxy's entry by this address. If unset, the agent uses that of the first interface.
        (
            "ISTIO_SVC_IP",
            own_ip.map(|ip| ip.to_string()).unwrap_or_default(),
        ),
    ];
    variables.extend(settings.map(|(key, value)| (key.to_owned(), value)));
    if let Some(address) = ca_address(facts) {
        variables.insert("CA_ADDR".to_owned(), address);
    }
    if let Some(san) = &facts.control_plane.san {
        variables.insert("ISTIOD_SAN".to_owned(), san.clone());
    }
    if needs_wrapped_agent(facts) {
        variables.insert("ISTIO_BIN_BASE".to_owned(), AGENT_FOLDER.to_owned());
    }
    // What the rules redirect to must be where istiod lets the proxy listen.
    for (name, port, default) in [
        (OUTBOUND_PORT, ports.outbound, ports::OUTBOUND),
        (INBOUND_PORT, ports.inbound, ports::INBOUND),
    ] {
        if port != default {
            variables.insert(name.to_owned(), port.to_string());
        }
    }
    if workload.health_check.is_some() {
        variables.insert(PROBE_LOOPBACK.to_owned(), "true".to_owned());
    }
    match workload.proxy.interception {
        Interception::Redirect => None,
        // The start script and the rules read this variable, the proxy reads its metadata.
        Interception::Tproxy => {
            variables.insert("ISTIO_INBOUND_INTERCEPTION_MODE".into(), "TPROXY".into())
        }
        Interception::None => variables.insert("ISTIO_CUSTOM_IP_TABLES".into(), "true".into()),
    };
    variables
}

fn inbound_ports(workload: &Workload) -> String {
    if workload.ports.is_empty() {
        return "*".to_owned();
    }
    let mut ports: Vec<u16> = workload.ports.values().map(|port| port.get()).collect();
    ports.sort_unstable();
    ports.dedup();
    join(&ports)
}

/// Returns the inbound ports that bypass the proxy. The VM adds those of its sshd.
fn exclude_ports(workload: &Workload, of_proxy: ProxyPorts) -> String {
    let mut ports = vec![ports::SSH, of_proxy.metrics, of_proxy.health];
    let of_user = &workload.proxy.exclude_inbound_ports;
    let of_user = of_user.iter().map(|port| port.get());
    for port in std::iter::once(of_proxy.status).chain(of_user) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    join(&ports)
}

fn exclude_cidrs(workload: &Workload) -> String {
    let mut cidrs: Vec<String> = METADATA_CIDRS.map(str::to_owned).to_vec();
    for cidr in workload
        .proxy
        .exclude_cidrs
        .iter()
        .map(|cidr| Cidr::as_range(cidr).to_string())
    {
        if !cidrs.contains(&cidr) {
            cidrs.push(cidr);
        }
    }
    cidrs.join(",")
}

fn join(ports: &[u16]) -> String {
    ports
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
