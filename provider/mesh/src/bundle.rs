//! Files that the VM's proxy runs on: the environment of its start script, its mesh config and the trust root. They
//! contain no secret: the token is sent separately.

mod authority;
mod cluster_env;
mod control_plane;
pub(crate) mod environment;
mod proxy_ports;
pub(crate) mod quote;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::json;
use sha2::Digest as _;

pub(crate) use cluster_env::METADATA_CIDRS;
use proxy_ports::ProxyPorts;

pub use authority::ROOT_CERT;
use control_plane::{AGENT_FOLDER, DEFAULT_CONTROL_PLANE, host_port, needs_wrapped_agent};
pub(crate) use environment::{is_of_pods, of_facts, owns};
pub use environment::{left_out_of_mesh, left_out_of_own};

use crate::desired::{Bundle, Digest, File, Inbound, Owner, Release, Watch};
use crate::facts::Facts;
use crate::health::readiness_probe;
use crate::names::{Address, SpiffeId};
use crate::ports;
use crate::proxy_config;
use crate::workload::{Interception, Runtime, Workload};

/// Environment file that the start script sources.
pub const CLUSTER_ENV: &str = "/var/lib/istio/envoy/cluster.env";
/// Mesh config of the proxy; `/etc/istio` is a symlink to `/var/lib/istio`.
pub const MESH_CONFIG: &str = "/etc/istio/config/mesh";
/// The user's command that prints a new token.
pub const TOKEN_COMMAND: &str = "/var/lib/istio/token-command";
/// Audience that istiod expects in a token (the default of its `--tokenAudience`).
pub const TOKEN_AUDIENCE: &str = "istio-ca";

/// Wrapper of Istio's agent that makes it verify the control plane by `ISTIOD_SAN` on both of its connections. On the
/// connection for certificates, the agent does so only without `CA_ADDR`, which the start script always sets.
const AGENT: &str = "#!/bin/sh
unset CA_ADDR
exec /usr/local/bin/pilot-agent \"$@\"
";

/// Returns the bundle of a VM. istiod finds the proxy's entry by `own_ip`; `None`: the VM determines its own address.
pub(crate) fn bundle(workload: &Workload, facts: &Facts, own_ip: Option<IpAddr>) -> Bundle {
    let metadata = environment::metadata(workload, facts);
    let ports = ProxyPorts::of(workload, facts, &metadata);
    let variables = cluster_env::cluster_env(workload, facts, &metadata, own_ip);
    let file = |path: &str, owner, content: String, watch| File {
        path: path.to_owned(),
        owner,
        mode: 0o644,
        content: content.into_bytes(),
        watch,
    };
    let mut files = vec![
        // Root sources this file, so the proxy's user must not be able to write it.
        file(CLUSTER_ENV, "root", quote::write(&variables), Watch::Yes),
        file(
            MESH_CONFIG,
            "istio-proxy",
            mesh_config(workload, facts, &metadata),
            Watch::Yes,
        ),
        file(ROOT_CERT, "istio-proxy", facts.root.0.clone(), Watch::No),
    ];
    if needs_wrapped_agent(facts) {
        let path = format!("{AGENT_FOLDER}/pilot-agent");
        files.push(File {
            mode: 0o755,
            ..file(&path, "root", AGENT.to_owned(), Watch::Yes)
        });
    }
    files.extend(workload.proxy.token_command.as_deref().map(token_command));
    Bundle {
        files,
        own: environment::own(workload),
        proxy: workload.proxy.clone(),
        release: release(workload, facts),
        identity: SpiffeId {
            trust_domain: facts.trust_domain.clone(),
            namespace: workload.id.namespace.clone(),
            service_account: workload.service_account.clone(),
        },
        owner: Owner {
            uid: facts.entry_uid.clone().unwrap_or_default(),
            id: workload.id.clone(),
        },
        hosts_line: facts
            .control_plane
            .address
            .map(|ip| format!("{ip} {}", facts.control_plane.host)),
        control_plane: host_port(&facts.control_plane),
        control_plane_san: facts.control_plane.certified().to_owned(),
        has_other_root: authority::has_other_root(&variables, workload.proxy.runtime),
        authority: authority::authority(&variables, facts, workload.proxy.runtime),
        inbound: inbound(workload, &metadata, own_ip, ports),
        ports: ports.all().to_vec(),
        taken: vec![],
        finds_address: own_ip.is_none(),
    }
}

/// Returns the file with the command that prints a new token. Only root can read it.
pub fn token_command(command: &str) -> File {
    File {
        path: TOKEN_COMMAND.to_owned(),
        owner: "root",
        mode: 0o700,
        content: command.into(),
        watch: Watch::Yes,
    }
}

/// Returns the release to install: the configured version, otherwise the version of the control plane. `None`: no
/// package is needed, the user set its URL, or the version is unknown.
fn release(workload: &Workload, facts: &Facts) -> Option<Release> {
    let proxy = &workload.proxy;
    let version = proxy.version.as_ref().or(facts.version.as_ref())?;
    (proxy.runtime == Runtime::Systemd && proxy.install.is_none()).then(|| Release {
        url: format!("{}/{version}", facts.releases),
        version: proxy.version.clone(),
    })
}

/// Returns where pods reach the proxy. With tproxy the packets keep the service's port.
fn inbound(
    workload: &Workload,
    metadata: &BTreeMap<String, String>,
    own_ip: Option<IpAddr>,
    of_proxy: ProxyPorts,
) -> Inbound {
    let tunnel = metadata.get("ISTIO_META_ENABLE_HBONE");
    let tunnel = tunnel.is_some_and(|value| value == "true");
    let redirects = workload.proxy.interception == Interception::Redirect;
    let ports = [(redirects, of_proxy.inbound), (tunnel, ports::TUNNEL)];
    let ports = ports.into_iter().filter(|(is_used, _)| *is_used);
    Inbound {
        ipv6: own_ip.is_some_and(|ip| ip.is_ipv6()),
        ports: ports.map(|(_, port)| port).collect(),
    }
}

/// Returns the IP address by which istiod matches the proxy to its entry.
pub(crate) fn own_ip(workload: &Workload, address: &Address) -> Option<IpAddr> {
    address.ip().or(workload.instance_ip)
}

impl Bundle {
    /// Returns true if the VM renews its token by a command.
    pub fn renews_token(&self) -> bool {
        self.files.iter().any(|file| file.path == TOKEN_COMMAND)
    }

    /// Returns the SHA-256 of the watched files and the hosts line. It does not cover the trust root, which is rotated
    /// independently, or the token.
    pub fn digest(&self) -> Digest {
        let mut hash = sha2::Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        };
        for file in self.files.iter().filter(|file| file.watch == Watch::Yes) {
            for part in [
                file.path.as_bytes(),
                file.owner.as_bytes(),
                &file.mode.to_be_bytes(),
                &file.content,
            ] {
                add(part);
            }
        }
        add(self.hosts_line.as_deref().unwrap_or_default().as_bytes());
        let hex = hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Digest(hex)
    }
}

/// Returns the mesh config as sorted JSON: only the settings of the cluster, without Istio's defaults.
fn mesh_config(workload: &Workload, facts: &Facts, metadata: &BTreeMap<String, String>) -> String {
    let mut config = proxy_config::settings(&facts.mesh_config, workload.proxy.config.as_ref());
    // The probe of the mesh config is for pods.
    config.remove("readinessProbe");
    let probe = workload.health_check.as_ref().and_then(readiness_probe);
    config.extend(probe.map(|probe| ("readinessProbe".to_owned(), probe)));
    let istiod = host_port(&facts.control_plane);
    if istiod != DEFAULT_CONTROL_PLANE || config.contains_key("discoveryAddress") {
        config.insert("discoveryAddress".to_owned(), json!(istiod));
    }
    config.insert("proxyMetadata".to_owned(), json!(metadata));
    let mut document = json!({ "defaultConfig": config });
    document.sort_all_objects();
    // JSON is valid YAML without ambiguous scalars: the agent reads a bare `n`, `on` or `1_0` as a boolean or a number
    // and rejects the file.
    format!("{document:#}\n")
}
