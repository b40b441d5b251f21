//! Rules over several values of a workload that need only the configuration. The rule of a single value is in its type
//! (`names`); rules that need the cluster are in `conflicts`.
//!
//! **Invariant**: all problems are reported at once, each at the attribute that the user would change.

mod captured;
mod fleet;
mod metadata;
mod ports;
mod problem;
mod services;
mod sidecar;
mod traffic;

pub use captured::bypasses_everything;
pub use captured::validate_sshd;
pub use fleet::validate_fleet;

use std::net::IpAddr;

use crate::bundle::{environment, owns};
use crate::change::Problem;
use crate::health;
use crate::names::{Address, EnvName, is_dns_label, shown};
use crate::proxy_config::ProxyConfig;
use crate::rule::Rule;
use crate::workload::{Install, Interception, Proxy, Runtime, Workload};
use metadata::{annotations, labels};
use problem::problem;

/// Returns all problems of a workload. The caller must drop a problem if one of its `concerns` is unknown. If the list
/// is empty, `render` succeeds.
pub fn validate(workload: &Workload) -> Vec<Problem> {
    let mut problems = Vec::new();
    address(workload, &mut problems);
    name(workload, &mut problems);
    labels(workload, &mut problems);
    annotations(workload, &mut problems);
    env(workload, &mut problems);
    if let Some(install) = &workload.proxy.install {
        package(install, &mut problems);
    }
    runtime(&workload.proxy, &mut problems);
    config(&workload.proxy, &mut problems);
    if let Some(check) = &workload.health_check {
        health::validate(check, &mut problems);
    }
    traffic::validate(workload, &mut problems);
    fleet::member(workload, &mut problems);
    problems
}

/// Returns all problems of a bundle, which may be created before the VM has an address.
pub fn validate_bundle(workload: &Workload) -> Vec<Problem> {
    let mut problems = validate(workload);
    problems.retain(|problem| problem.rule != Rule::AddressRequired);
    problems
}

fn address(workload: &Workload, problems: &mut Vec<Problem>) {
    match &workload.address {
        None => {
            let text =
                "The address is not set. Set the IP address or domain name that pods connect to.";
            problems.push(problem(
                Rule::AddressRequired,
                &["address"],
                text.to_owned(),
            ));
        }
        Some(Address::Fqdn(name)) if workload.instance_ip.is_none() => {
            let text = format!(
                "The address is the name {name}, and instance_ip is not set. The proxy must know an IP address of its \
                 own, because it does not resolve the name. Set instance_ip to the address of the VM's interface."
            );
            problems.push(problem(
                Rule::FqdnNeedsInstanceIp,
                &["instance_ip", "address"],
                text,
            ));
        }
        Some(_) => {}
    }
    for (at, ip) in [
        ("address", workload.address.as_ref().and_then(Address::ip)),
        ("instance_ip", workload.instance_ip),
    ] {
        if let Some(ip) = ip.filter(is_of_no_machine) {
            let text = format!(
                "{ip} is not the address of one machine that others can connect to. Set the VM's own address."
            );
            problems.push(problem(Rule::AddressOfOneMachine, &[at], text));
        }
    }
}

fn is_of_no_machine(ip: &IpAddr) -> bool {
    ip.is_unspecified() || ip.is_multicast() || ip.is_loopback()
}

/// Checks the name: the proxy's ID at istiod is `<name>.<namespace>`, which istiod splits at the first dot.
fn name(workload: &Workload, problems: &mut Vec<Problem>) {
    let name = workload.id.name.as_str();
    if !is_dns_label(name) {
        let text = format!(
            "The name {name:?} contains dots or has more than 63 characters. The proxy's ID is <name>.<namespace>, which \
            istiod splits at its only dot. Use letters, digits and '-'."
        );
        problems.push(problem(Rule::NameIsLabel, &["name"], text));
    }
}

fn env(workload: &Workload, problems: &mut Vec<Problem>) {
    for (key, value) in &workload.env {
        let at = format!("env.{key}");
        if let Some(instead) = owner_of(key) {
            let text = format!("{key} is written by the provider{instead}");
            problems.push(problem(Rule::EnvIsOurs, &[&at], text));
        }
        if value.chars().any(char::is_control) {
            let text = format!(
                "The value of {key} contains a control character or a line break, which cluster.env cannot represent. Remove it."
            );
            problems.push(problem(Rule::EnvValue, &[&at], text));
        }
    }
}

/// Returns what the user should set instead of one of the provider's variables.
fn owner_of(key: &EnvName) -> Option<&'static str> {
    Some(match key.as_str() {
        "CA_ADDR" => ". Set istio.ca_address in the provider block instead.",
        "ISTIO_META_DNS_CAPTURE" => ". Set proxy.dns_capture instead.",
        "ISTIO_META_INTERCEPTION_MODE"
        | "ISTIO_CUSTOM_IP_TABLES"
        | "ISTIO_INBOUND_INTERCEPTION_MODE" => ". Set proxy.interception instead.",
        environment::EXCLUDE_PORTS => ". Set proxy.exclude_inbound_ports instead.",
        environment::EXCLUDE_CIDRS => ". Set proxy.exclude_cidrs instead.",
        "ISTIO_INBOUND_PORTS" => ": every port is captured unless ports is set.",
        "ISTIO_SVC_IP" | "INSTANCE_IP" => ". Set address or instance_ip instead.",
        "ISTIO_META_NETWORK" => ". Set network instead.",
        "PROXY_CONFIG" => ". Set proxy.config instead.",
        "ISTIO_METAJSON_LABELS" => ". Set labels instead.",
        "PROXY_UID" | "PROXY_GID" | "FORCE_IPTABLES_BINARY" => " to match the VM. Remove it.",
        other if owns(other) => ". Remove it.",
        _ => return None,
    })
}

/// Checks the proxy's own settings: Istio ignores a name that it does not know, and the agent does not start with a
/// value of another type.
fn config(proxy: &Proxy, problems: &mut Vec<Problem>) {
    let found = proxy.config.iter().flat_map(ProxyConfig::problems);
    for wrong in found {
        let text = format!("{wrong} The settings are those of Istio's ProxyConfig.");
        problems.push(problem(Rule::ProxyConfigSetting, &["proxy.config"], text));
    }
}

/// Checks the runtime: each has its own source of the proxy.
fn runtime(proxy: &Proxy, problems: &mut Vec<Problem>) {
    let runtime = proxy.runtime;
    if runtime != Runtime::Systemd {
        if proxy.image.is_none() {
            let text = format!(
                "The runtime {runtime} needs an image. Set proxy.image to Istio's proxy image of the control plane's version."
            );
            problems.push(problem(
                Rule::ImageRequired,
                &["proxy.runtime", "proxy.image"],
                text,
            ));
        }
        if proxy.interception == Interception::Tproxy {
            let text = format!(
                "The interception mode tproxy needs the runtime systemd, got {runtime}. Set proxy.interception to \
                \"redirect\" or \"none\"."
            );
            problems.push(problem(
                Rule::TproxyRuntime,
                &["proxy.interception", "proxy.runtime"],
                text,
            ));
        }
    }
    sources(proxy, problems);
    if let (Some(_), Some(version)) = (&proxy.install, &proxy.version) {
        let text = format!(
            "proxy.version selects Istio's release {version}, and proxy.install sets a package. Remove one of them."
        );
        problems.push(problem(
            Rule::VersionOrInstall,
            &["proxy.version", "proxy.install"],
            text,
        ));
    }
}

/// Checks that only the attributes of the runtime's own source are set: package or image.
fn sources(proxy: &Proxy, problems: &mut Vec<Problem>) {
    let runtime = proxy.runtime;
    let (is, instead) = match runtime {
        Runtime::Systemd => ("a proxy in a container", "\"docker\" or \"podman\""),
        Runtime::Docker | Runtime::Podman => ("Istio's package", "\"systemd\""),
    };
    let of_package = [
        ("proxy.install", proxy.install.is_some()),
        ("proxy.version", proxy.version.is_some()),
    ];
    let of_image = [
        ("proxy.image", proxy.image.is_some()),
        ("proxy.pull_policy", proxy.pull_policy.is_some()),
    ];
    let foreign = if runtime == Runtime::Systemd {
        of_image
    } else {
        of_package
    };
    for (at, _) in foreign.into_iter().filter(|(_, set)| *set) {
        let text = format!(
            "{at} applies only to {is}, and the runtime is {runtime}. Remove it, or set proxy.runtime to {instead}."
        );
        problems.push(problem(Rule::RuntimeSource, &[at, "proxy.runtime"], text));
    }
}

fn package(install: &Install, problems: &mut Vec<Problem>) {
    let rest = ["https://", "http://", "file:///"]
        .iter()
        .find_map(|scheme| install.url.strip_prefix(scheme));
    let fits =
        rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic()));
    if !fits {
        let found = shown(&install.url);
        let text = format!(
            "{found:?} is not a URL that the VM can download from. It must begin with https://, http:// or file:/// \
             and must not contain spaces."
        );
        problems.push(problem(Rule::InstallUrl, &["proxy.install.url"], text));
    }
}
