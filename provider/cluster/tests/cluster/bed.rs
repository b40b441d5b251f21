//! The API server that all tests share, and a namespace for each.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::bed::{ApiServer, Kubectl};
use cluster::{Cluster, IstioSettings, Settings};
use http::{Request, Response};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use mesh::desired::{Kind, Manifest};
use mesh::mark::{MANAGED_BY_LABEL, MANAGER};
use mesh::names::Id;
use serde_json::{Value, json};
use tokio::time::Instant;

static SERVER: LazyLock<ApiServer> = LazyLock::new(|| ApiServer::start().unwrap());

pub(crate) fn server() -> &'static ApiServer {
    &SERVER
}

pub(crate) fn kubectl() -> &'static Kubectl {
    SERVER.kubectl()
}

/// Makes a namespace of its own with the service account `ratings`, and returns the id of a
/// workload in it.
pub(crate) fn workload() -> Id {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let namespace = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    kubectl()
        .create_namespace(&namespace, &["ratings"])
        .unwrap();
    format!("{namespace}/ratings-vm-1").parse().unwrap()
}

/// Long enough for whatever is waited for.
pub(crate) fn later() -> Instant {
    Instant::now() + Duration::from_mins(5)
}

pub(crate) fn settings() -> Settings {
    Settings {
        config_paths: vec![server().kubeconfig().into()],
        ..Settings::default()
    }
}

pub(crate) async fn connect(settings: &Settings) -> Cluster {
    Cluster::connect(settings, &|_| None).await.unwrap()
}

pub(crate) async fn cluster() -> Cluster {
    connect(&settings()).await
}

/// Returns a cluster whose requests all pass `fault` first: it may change one, or answer itself.
pub(crate) async fn cluster_behind(
    fault: impl Fn(&mut Request<Body>) -> Option<Response<Body>> + Send + Sync + 'static,
) -> Cluster {
    mesh_behind(IstioSettings::default(), fault).await
}

/// Does the same with a control plane.
pub(crate) async fn mesh_behind(
    istio: IstioSettings,
    fault: impl Fn(&mut Request<Body>) -> Option<Response<Body>> + Send + Sync + 'static,
) -> Cluster {
    let kubeconfig = Kubeconfig::read_from(server().kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let real = kube::Client::try_from(config).unwrap();
    let fault = std::sync::Arc::new(fault);
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (real, fault) = (real.clone(), fault.clone());
        async move {
            match fault(&mut request) {
                Some(answer) => Ok(answer),
                None => real.send(request).await,
            }
        }
    });
    Cluster::over(kube::Client::new(service, "default"), server().url(), istio)
}

/// Returns a manifest as `mesh::render::render` makes them: with our label.
pub(crate) fn manifest(kind: Kind, id: &Id, spec: &Value) -> Manifest {
    let body = json!({ "metadata": { "labels": { MANAGED_BY_LABEL: MANAGER } }, "spec": spec });
    Manifest {
        kind,
        id: id.clone(),
        body,
    }
}

pub(crate) fn entry(id: &Id) -> Manifest {
    let spec = json!({ "address": "192.0.2.1", "labels": { "app": "ratings" }, "serviceAccount": "ratings" });
    manifest(Kind::WorkloadEntry, id, &spec)
}

pub(crate) fn path(plural: &str, id: &Id) -> String {
    format!(
        "/apis/networking.istio.io/v1/namespaces/{}/{plural}/{}",
        id.namespace, id.name
    )
}

pub(crate) fn examples(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "examples", name]
        .iter()
        .collect()
}

pub(crate) fn config_map(namespace: &str, name: &str, data: &Value) {
    let metadata = json!({ "namespace": namespace, "name": name });
    let map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
    kubectl().apply(&map).unwrap();
}
