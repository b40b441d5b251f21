//! API servers of other versions of Istio, and without it.

use bed::ApiServer;
use cluster::{ClusterError, Deletion, Force, Settings};
use mesh::desired::Kind;
use mesh::mark::Mark;
use mesh::names::Id;
use mesh::observed::Connection;
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::bed::{connect, entry, later};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Gives an API server a workload's namespace.
fn with_namespace(server: ApiServer) -> (ApiServer, Id) {
    server
        .kubectl()
        .create_namespace("old", &["ratings"])
        .unwrap();
    (server, "old/ratings-vm-1".parse().unwrap())
}

/// Serves Istio's kinds in v1beta1 only, as Istio before 1.22 does.
fn serve_v1beta1_only(server: &ApiServer) {
    let kubectl = server.kubectl();
    for plural in ["workloadentries", "serviceentries", "sidecars"] {
        let path = format!("{DEFINITIONS}/{plural}.networking.istio.io");
        let mut definition = kubectl.get(&path).unwrap();
        for version in definition["spec"]["versions"].as_array_mut().unwrap() {
            version["served"] = json!(version["name"] == "v1beta1");
        }
        let definition = definition.to_string();
        kubectl
            .call(&["replace", "-f", "-"], definition.as_bytes())
            .unwrap();
    }
    let end = Instant::now() + Duration::from_secs(30);
    let path = "/apis/networking.istio.io/v1/namespaces/old/workloadentries";
    while kubectl.get(path).is_ok() {
        assert!(Instant::now() < end, "v1 is still served");
    }
}

#[tokio::test]
async fn a_server_that_has_only_an_older_version_is_spoken_to_in_that() {
    let (server, id) = with_namespace(ApiServer::start().unwrap());
    serve_v1beta1_only(&server);
    let cluster = connect(&Settings {
        config_paths: vec![server.kubeconfig().into()],
        ..Settings::default()
    })
    .await;
    let entry = entry(&id);
    for _create_then_update in 0..2 {
        cluster
            .apply(std::slice::from_ref(&entry), Force::Never)
            .await
            .unwrap();
    }
    let observed = cluster.observe(&id, &[]).await.unwrap();
    assert_eq!(
        observed.entry.unwrap()["apiVersion"],
        "networking.istio.io/v1beta1"
    );
    let soon = Instant::now() + Duration::from_secs(1);
    let watched = cluster.connected(&id, &Connection::default(), soon).await;
    assert!(
        matches!(watched, Err(ClusterError::NotConnected { .. })),
        "{watched:?}"
    );
    let doomed = Deletion {
        kind: Kind::WorkloadEntry,
        mark: Mark::Workload(id.name.clone()),
        uid: None,
        run: None,
        id: id.clone(),
    };
    cluster.delete(&[doomed], later()).await.unwrap();
    assert_eq!(cluster.observe(&id, &[]).await.unwrap().entry, None);
}

#[tokio::test]
async fn a_server_without_istio_says_so_for_whatever_is_asked() {
    let (server, id) = with_namespace(ApiServer::without_istio().unwrap());
    let cluster = connect(&Settings {
        config_paths: vec![server.kubeconfig().into()],
        ..Settings::default()
    })
    .await;
    let read = cluster.observe(&id, &[]).await.unwrap_err();
    let written = cluster
        .apply(&[entry(&id)], Force::Never)
        .await
        .unwrap_err();
    for error in [read, written] {
        assert!(
            matches!(error, ClusterError::MissingCrd { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().ends_with(" in networking.istio.io/v1"),
            "{error}"
        );
    }
}
