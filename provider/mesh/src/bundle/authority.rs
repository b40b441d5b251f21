//! The certificate authority that the proxy asks, if it is not istiod.

use std::collections::BTreeMap;

use super::control_plane::host_port;
use crate::desired::{Authority, AuthorityRoot};
use crate::facts::Facts;
use crate::workload::Runtime;

/// Port of gRPC for an address that names none.
const DEFAULT_PORT: &str = "443";
/// Suffix of an address that Istio's agent connects to without TLS.
const PLAINTEXT: &str = ":15010";
/// Name of Istio's own protocol in `CA_PROVIDER`.
const ISTIO: &str = "Citadel";
/// Trust root with which the proxy verifies istiod on the first connection.
pub const ROOT_CERT: &str = "/etc/certs/root-cert.pem";
/// The folder of certificates, which a container shares with the VM.
const SHARED: &str = "/etc/certs/";

/// Returns the authority in the environment of the proxy, wherever its address comes from.
pub(super) fn authority(
    variables: &BTreeMap<String, String>,
    facts: &Facts,
    runtime: Runtime,
) -> Option<Authority> {
    let address = with_port(variables.get("CA_ADDR")?);
    (address != host_port(&facts.control_plane)).then(|| Authority {
        root: root(&address, variables, runtime),
        address,
    })
}

fn with_port(address: &str) -> String {
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port {
        address.to_owned()
    } else {
        format!("{address}:{DEFAULT_PORT}")
    }
}

/// Returns what the agent verifies the authority against (`FindRootCAForCA` and `createCitadel` in Istio's agent).
fn root(address: &str, variables: &BTreeMap<String, String>, runtime: Runtime) -> AuthorityRoot {
    let variable = |name| variables.get(name).map(String::as_str).unwrap_or_default();
    let provider = variable("CA_PROVIDER");
    let is_istios = ["", ISTIO].contains(&provider) && !address.contains("googleapis.com");
    if address.ends_with(PLAINTEXT) || !is_istios {
        return AuthorityRoot::Unknown;
    }
    named(variable("CA_ROOT_CA"), runtime)
}

/// Whether the agent verifies istiod against another root than the mesh's.
pub(super) fn has_other_root(variables: &BTreeMap<String, String>, runtime: Runtime) -> bool {
    let root = variables.get("XDS_ROOT_CA");
    root.is_some_and(|root| named(root, runtime) != AuthorityRoot::Mesh)
}

/// Returns the root that a variable of the agent names.
fn named(root: &str, runtime: Runtime) -> AuthorityRoot {
    let is_image = runtime != Runtime::Systemd;
    match root {
        "" => AuthorityRoot::Mesh,
        "SYSTEM" if is_image => AuthorityRoot::Unknown,
        "SYSTEM" => AuthorityRoot::System,
        path => match absolute(path) {
            // The first bootstrap is checked before it writes this file.
            path if path == ROOT_CERT => AuthorityRoot::Mesh,
            path if is_image && !path.starts_with(SHARED) => AuthorityRoot::Unknown,
            path => AuthorityRoot::File(path),
        },
    }
}

/// Returns the path that a path means to the agent, whose working directory is the root.
fn absolute(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
