//! What the VM runs on, as files: the environment of the proxy's start script, the mesh config of
//! the proxy and the trust root. No secret is among them: the token is carried apart.

mod control_plane;
pub(crate) mod environment;
pub(crate) mod quote;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::json;
use sha2::Digest as _;

use control_plane::{AGENT_FOLDER, DEFAULT_CONTROL_PLANE, calls_agent_by_san, host_port};
pub(crate) use environment::{of_facts, owns};

use crate::desired::{Bundle, Digest, File, Owner, Release, Watch};
use crate::facts::Facts;
use crate::health::readiness_probe;
use crate::names::{Address, SpiffeId};
use crate::proxy_config;
use crate::workload::{Runtime, Workload};

/// The environment that the start script sources.
pub const CLUSTER_ENV: &str = "/var/lib/istio/envoy/cluster.env";
/// The mesh config of the proxy; `/etc/istio` is a link to `/var/lib/istio`.
pub const MESH_CONFIG: &str = "/etc/istio/config/mesh";
/// The trust root with which the proxy first meets istiod.
pub const ROOT_CERT: &str = "/etc/certs/root-cert.pem";
/// Whom istiod expects a token to be for, `--tokenAudience` unless changed.
pub const TOKEN_AUDIENCE: &str = "istio-ca";

/// Istio's agent, called so that it verifies the control plane's certificates by `ISTIOD_SAN` on both of its
/// connections: it does so on that for certificates only without `CA_ADDR`, which the start script always sets.
const AGENT: &str = "#!/bin/sh
unset CA_ADDR
exec /usr/local/bin/pilot-agent \"$@\"
";

/// Returns what the VM runs on. `own_ip` is how istiod finds the proxy's entry; `None`: the VM finds
/// out itself which address it has.
pub(crate) fn bundle(workload: &Workload, facts: &Facts, own_ip: Option<IpAddr>) -> Bundle {
    let metadata = environment::metadata(workload, facts);
    let variables = environment::cluster_env(workload, facts, &metadata, own_ip);
    let file = |path: &str, owner, content: String, watch| File {
        path: path.to_owned(),
        owner,
        mode: 0o644,
        content: content.into_bytes(),
        watch,
    };
    let mut files = vec![
        // Root sources it: the proxy's user must not be able to write it.
        file(CLUSTER_ENV, "root", quote::write(&variables), Watch::Yes),
        file(
            MESH_CONFIG,
            "istio-proxy",
            mesh_config(workload, facts, &metadata),
            Watch::Yes,
        ),
        file(ROOT_CERT, "istio-proxy", facts.root.0.clone(), Watch::No),
    ];
    if calls_agent_by_san(facts) {
        let path = format!("{AGENT_FOLDER}/pilot-agent");
        files.push(File {
            mode: 0o755,
            ..file(&path, "root", AGENT.to_owned(), Watch::Yes)
        });
    }
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
        taken: vec![],
        finds_address: own_ip.is_none(),
    }
}

/// Returns the release of the version that is asked for, else of the control plane's, where a package is needed and
/// the user says of none where it is.
fn release(workload: &Workload, facts: &Facts) -> Option<Release> {
    let proxy = &workload.proxy;
    let version = proxy.version.as_ref().or(facts.version.as_ref())?;
    (proxy.runtime == Runtime::Systemd && proxy.install.is_none()).then(|| Release {
        url: format!("{}/{version}", facts.releases),
        version: proxy.version.clone(),
    })
}

/// Returns the address at which the proxy finds itself: the entry's, by which istiod matches it.
pub(crate) fn own_ip(workload: &Workload, address: &Address) -> Option<IpAddr> {
    address.ip().or(workload.instance_ip)
}

impl Bundle {
    /// Returns the SHA-256 over the watched files and the hosts line. The trust root, which rotates
    /// by itself, and the token do not enter.
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

/// Returns the mesh config: only what the cluster sets, none of Istio's defaults, in sorted JSON.
fn mesh_config(workload: &Workload, facts: &Facts, metadata: &BTreeMap<String, String>) -> String {
    let mut config = proxy_config::settings(&facts.mesh_config, workload.proxy.config.as_ref());
    // The mesh's is one for pods.
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
    // JSON is YAML too, and leaves nothing to guess: the agent takes a bare `n`, `on` or `1_0` for a
    // truth value or a number, and refuses the file.
    format!("{document:#}\n")
}
