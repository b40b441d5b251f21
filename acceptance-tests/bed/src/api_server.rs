//! The real kube-apiserver on the real etcd, with Istio's resource definitions.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::command::{PATIENCE, tail, wait_for};
use crate::kubectl::Kubectl;
use crate::pki;
use crate::process::{Lifetime, Server};
use crate::progress::Progress;
use crate::servers::Servers;
use crate::{Error, Result};

/// A separate API server on loopback and free ports, with RBAC and without a controller manager.
///
/// It stops and its folder is removed once it is dropped or this process exits for any reason. It may therefore be in a
/// `static`.
#[derive(Debug)]
pub struct ApiServer {
    folder: PathBuf,
    port: u16,
    kubectl: Kubectl,
    /// API server and etcd, in this order, so that the API server is dropped first.
    servers: [Server; 2],
}

impl ApiServer {
    /// Starts one on free ports of 127.0.0.1 with Istio's resource definitions, in about 5 s.
    /// Builds the servers if they are not in the cache, which takes minutes.
    pub fn start() -> Result<Self> {
        let server = Self::without_istio()?;
        server.install_definitions(&Servers::find()?)?;
        Ok(server)
    }

    /// Like [`ApiServer::start`], without Istio's resource definitions.
    pub fn without_istio() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let servers = Servers::find()?;
        servers.build_for_api(&Progress::new(servers.missing_for_api()))?;
        // Another process may bind the free port before the server does.
        let mut attempts = 0..3;
        loop {
            let name = format!(
                "mesh-api-{}-{}",
                process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let folder = std::env::temp_dir().join(name);
            attempts.next();
            match Self::start_in(&folder, "127.0.0.1", &servers, Lifetime::Owner) {
                Err(_) if !attempts.is_empty() => {}
                done => return done,
            }
        }
    }

    /// Starts one with all of its data in `folder`, listening on `address`.
    pub(crate) fn start_in(
        folder: &Path,
        address: &str,
        servers: &Servers,
        lifetime: Lifetime,
    ) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Error::at("create", folder))?;
        let [etcd_port, peer_port, port] = free_ports()?;
        pki::write(folder, names(address))?;
        write_kubeconfig(folder, port)?;
        let etcd = start_etcd(folder, [etcd_port, peer_port], servers, lifetime)?;
        let api = start_api(folder, address, [etcd_port, port], servers, lifetime)?;
        let kubectl = Kubectl::new(servers.path("kubectl"), folder.join("kubeconfig"));
        let server = Self {
            folder: folder.into(),
            port,
            kubectl,
            servers: [api, etcd],
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Returns its address, e.g. `https://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Returns kubectl with the administrator's kubeconfig.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Returns the path of the administrator's kubeconfig. Its only context is `bed`.
    pub fn kubeconfig(&self) -> &Path {
        self.kubectl.kubeconfig()
    }

    /// Returns the path of a file: `ca.crt`, `ca.key`, `admin.crt`, `admin.key`, `kube-apiserver.log`, `audit.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn wait_until_ready(&self) -> Result<()> {
        wait_for("the API server is ready", PATIENCE, || {
            if self.servers.iter().any(|server| !server.process.alive()) {
                return Err("it ended".into());
            }
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
            self.kubectl
                .text("/readyz")
                .map_err(|error| error.to_string())
        })
        .map(drop)
        .map_err(|error| with_log(error, &self.file("kube-apiserver.log")))
    }

    /// Installs Istio's resource definitions.
    pub(crate) fn install_definitions(&self, servers: &Servers) -> Result<()> {
        let path = &servers.path("crds.yaml");
        let manifests = fs::read_to_string(path).map_err(Error::at("read", path))?;
        self.kubectl.apply_text(&manifests)?;
        // `kubectl wait --all` takes 0.1 s for each definition.
        wait_for("Istio's resource definitions are served", PATIENCE, || {
            let list = self
                .kubectl
                .get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
                .map_err(|error| error.to_string())?;
            let items = list["items"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            if items.iter().all(is_established) {
                Ok(())
            } else {
                Err("not yet".into())
            }
        })
    }
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one["type"] == "Established" && one["status"] == "True")
    })
}

/// Adds the end of a log to an error.
pub(crate) fn with_log(error: Error, log: &Path) -> Error {
    let end = tail(&fs::read_to_string(log).unwrap_or_default(), 8);
    match error {
        Error::Late { what, limit, last } => Error::Late {
            what,
            limit,
            last: format!("{last}\n{}:\n{end}", log.display()),
        },
        other => other,
    }
}

fn start_etcd(
    folder: &Path,
    [port, peer]: [u16; 2],
    servers: &Servers,
    lifetime: Lifetime,
) -> Result<Server> {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut etcd = Command::new(servers.path("etcd"));
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args([
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
    ]);
    etcd.args([
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &format!("default={peer}"),
    ]);
    // The data need not survive a crash of the machine, so waiting for the disk is unnecessary.
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    Server::start("etcd", &mut etcd, folder, lifetime)
}

fn start_api(
    folder: &Path,
    address: &str,
    [etcd, port]: [u16; 2],
    servers: &Servers,
    lifetime: Lifetime,
) -> Result<Server> {
    let bind = if address == "127.0.0.1" {
        "127.0.0.1"
    } else {
        "0.0.0.0"
    };
    // It rejects loopback as advertised address. Without the reconciler, it advertises none.
    let advertised = if address == "127.0.0.1" {
        "10.99.0.1"
    } else {
        address
    };
    let mut api = Command::new(servers.path("kube-apiserver"));
    api.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        format!("--bind-address={bind}"),
    ]);
    api.args([
        format!("--advertise-address={advertised}"),
        "--endpoint-reconciler-type=none".into(),
    ]);
    let files = [
        ("--tls-cert-file", "server.crt"),
        ("--tls-private-key-file", "server.key"),
        ("--client-ca-file", "ca.crt"),
        ("--service-account-key-file", "sa.pub"),
        ("--service-account-signing-key-file", "sa.key"),
        ("--cert-dir", "."),
        ("--audit-policy-file", "audit-policy.json"),
        ("--audit-log-path", "audit.log"),
    ];
    for (flag, file) in files {
        api.arg(format!("{flag}={}", folder.join(file).display()));
    }
    // Only metadata, because bodies contain tokens.
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]});
    pki::write_private(
        &folder.join("audit-policy.json"),
        policy.to_string().as_bytes(),
    )?;
    // Without a controller manager, the service accounts that this admission plugin requires are not created.
    api.args([
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--enable-aggregator-routing=true",
        "--disable-admission-plugins=ServiceAccount",
        "--feature-gates=ClusterTrustBundle=true",
        "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
    ]);
    Server::start("kube-apiserver", &mut api, folder, lifetime)
}

fn names(address: &str) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "kubernetes.default.svc", "127.0.0.1"]
        .map(String::from)
        .into();
    if address != "127.0.0.1" {
        names.push(address.into());
    }
    names
}

fn write_kubeconfig(folder: &Path, port: u16) -> Result<()> {
    let file = |name: &str| folder.join(name).display().to_string();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority": file("ca.crt")}}],
        "users": [{"name": "admin", "user": {"client-certificate": file("admin.crt"), "client-key": file("admin.key")}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "admin"}}],
    });
    pki::write_private(&folder.join("kubeconfig"), config.to_string().as_bytes())
}

/// Returns free ports. They are all held until the last one is chosen, so they differ.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("find a free port"))?;
        *port = listener
            .local_addr()
            .map_err(Error::io("find a free port"))?
            .port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::free_ports;

    #[test]
    fn ports_of_one_server_differ() {
        let [a, b, c] = free_ports().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
