//! The real istiod with its admission webhook, outside of its cluster.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use serde_json::{Value, json};

use crate::api_server::with_log;
use crate::command::{PATIENCE, quick, wait_for};
use crate::kubectl::Kubectl;
use crate::network::Subnet;
use crate::process::{Lifetime, Recorded, Server};
use crate::servers::{ISTIO_VERSION, Servers};
use crate::{Error, Result};

const SYSTEM: &str = "istio-system";
/// External host name of istiod, for machines that can resolve it.
pub const CUSTOM_HOST: &str = "istiod.example.com";
/// A value that the mesh sets for each proxy. It represents a secret and must not leave the VM.
pub const CANARY: &str = "canary-of-the-mesh";
/// The cluster's name in the mesh.
pub(crate) const CLUSTER: &str = "Kubernetes";

/// Applies the mesh's configuration, starts istiod in `folder` and waits until it admits objects. Stops an istiod that
/// already runs there.
pub(crate) fn start(
    folder: &Path,
    subnet: Subnet,
    kubectl: &Kubectl,
    servers: &Servers,
    arguments: &[&str],
) -> Result<()> {
    kubectl.create_namespace(SYSTEM, &[])?;
    kubectl.apply(&configuration())?;
    fs::create_dir_all(folder).map_err(Error::at("create", folder))?;
    let path = folder.join("mesh.yaml");
    fs::write(&path, mesh().to_string()).map_err(Error::at("write", &path))?;
    let mut istiod = command(folder, subnet, kubectl, servers);
    istiod.args(arguments);
    // Up to this point, it received admission requests.
    Recorded::load(&folder.join("istiod.pid")).map_or(Ok(()), Recorded::kill)?;
    let server = Server::start("istiod", &mut istiod, folder, Lifetime::Bed)?;
    let ready = format!("http://{}:18080/ready", subnet.gateway());
    wait_for("istiod is ready", PATIENCE, || {
        if !server.process.alive() {
            return Err("it ended".into());
        }
        TcpStream::connect((subnet.gateway(), 18080)).map_err(|error| error.to_string())?;
        quick(
            "python3",
            &[
                "-c",
                "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)",
                &ready,
            ],
        )
        .map_err(|error| error.to_string())
    })
    .map_err(|error| with_log(error, &folder.join("istiod.log")))?;
    install_webhook(subnet, kubectl)
}

/// Returns the root certificate of the mesh that istiod wrote to a namespace.
pub(crate) fn root_certificate(kubectl: &Kubectl, namespace: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert");
    wait_for("istiod writes its root certificate", PATIENCE, || {
        let object = kubectl
            .find(&path)
            .map_err(|error| error.to_string())?
            .ok_or("not yet")?;
        object["data"]["root-cert.pem"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| object.to_string())
    })
}

/// Returns the mesh config; JSON is valid YAML. By default, a proxy drains for 5 s before it stops, which was most of
/// the time of a bootstrap here.
fn mesh() -> Value {
    json!({
        "trustDomain": "cluster.local", "rootNamespace": SYSTEM,
        "defaultConfig": {"discoveryAddress": "istiod.istio-system.svc:15012", "terminationDrainDuration": "1s", "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true", "OF_THE_MESH": CANARY}},
    })
}

fn configuration() -> Value {
    let values = json!({"global": {"multiCluster": {"clusterName": CLUSTER}, "network": "", "caAddress": "", "tag": ISTIO_VERSION}, "revision": ""});
    let map = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": SYSTEM, "name": name}, "data": data});
    json!([
        map("istio", json!({"mesh": mesh().to_string()})),
        map("istio-sidecar-injector", json!({"values": values.to_string()})),
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"namespace": SYSTEM, "name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}},
    ])
}

fn command(folder: &Path, subnet: Subnet, kubectl: &Kubectl, servers: &Servers) -> Command {
    let mut istiod = Command::new(servers.path("pilot-discovery"));
    istiod
        .current_dir(folder)
        .args([
            "discovery",
            "--meshConfig",
            "mesh.yaml",
            "--domain",
            "cluster.local",
            "--kubeconfig",
        ])
        .arg(kubectl.kubeconfig());
    let ports = [
        ("--httpAddr", 18080),
        ("--grpcAddr", 15010),
        ("--secureGRPCAddr", 15012),
        ("--httpsAddr", 15017),
        ("--monitoringAddr", 15014),
    ];
    for (flag, port) in ports {
        istiod.arg(flag).arg(format!("{}:{port}", subnet.gateway()));
    }
    let environment = [
        ("POD_NAMESPACE", SYSTEM),
        ("POD_NAME", "istiod-bed"),
        ("CLUSTER_ID", CLUSTER),
        ("PILOT_CERT_PROVIDER", "istiod"),
        ("REVISION", "default"),
        // Represents the name of a cloud's load balancer; istiod's certificate also contains it.
        ("ISTIOD_CUSTOM_HOST", CUSTOM_HOST),
        // A stock Envoy does not have these two filters. The bed creates pods without injection.
        ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
        ("PILOT_ENABLE_ALPN_FILTER", "false"),
        ("INJECT_ENABLED", "false"),
    ];
    istiod
        .envs(environment)
        .env("KUBECONFIG", kubectl.kubeconfig());
    istiod
}

/// Installs the admission webhook of istiod, and a Service that forwards to the host.
fn install_webhook(subnet: Subnet, kubectl: &Kubectl) -> Result<()> {
    let root = root_certificate(kubectl, SYSTEM)?;
    let root = base64::engine::general_purpose::STANDARD.encode(root);
    let ports = |target: &str| -> Value {
        [("https-dns", 15012, 15012), ("https-webhook", 443, 15017)]
            .iter()
            .map(|(name, port, to)| match target {
                "service" => json!({"name": name, "port": port, "targetPort": to}),
                _ => json!({"name": name, "port": to}),
            })
            .collect()
    };
    let rule = |group: &str| json!({"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"]});
    kubectl.apply(&json!([
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": SYSTEM, "name": "istiod", "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": "default"}}, "spec": {"ports": ports("service")}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"namespace": SYSTEM, "name": "istiod", "labels": {"kubernetes.io/service-name": "istiod"}},
            "addressType": "IPv4", "endpoints": [{"addresses": [subnet.gateway().to_string()], "conditions": {"ready": true}}], "ports": ports("slice")},
    ]))?;
    kubectl.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "istio-validator-istio-system"},
        "webhooks": [{"name": "rev.validation.istio.io", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail", "timeoutSeconds": 10,
            "clientConfig": {"caBundle": root, "service": {"name": "istiod", "namespace": SYSTEM, "path": "/validate", "port": 443}},
            "rules": [rule("networking.istio.io"), rule("security.istio.io"), rule("telemetry.istio.io"), rule("extensions.istio.io")]}],
    }))
}
