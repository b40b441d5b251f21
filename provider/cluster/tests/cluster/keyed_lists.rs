//! Keyed lists belong to us alone, as selectors do.

use cluster::{ClusterError, Force};
use mesh::desired::{Kind, Manifest};
use mesh::keyed_list::KEYED_LISTS;
use mesh::names::Id;
use serde_json::{Value, json};

use crate::bed::{cluster, cluster_behind, kubectl, manifest, path, server, workload};

const KINDS: [(Kind, &str); 4] = [
    (Kind::WorkloadEntry, "workloadentries"),
    (Kind::ServiceEntry, "serviceentries"),
    (Kind::Sidecar, "sidecars"),
    (Kind::WorkloadGroup, "workloadgroups"),
];

fn port(name: &str, number: u16) -> Value {
    json!({ "name": name, "number": number, "protocol": "HTTP", "targetPort": number })
}

fn service(id: &Id, ports: &[Value]) -> Manifest {
    let selector = json!({ "labels": { "app": "ratings" } });
    let spec = json!({ "hosts": ["ratings.vm"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": ports, "workloadSelector": selector });
    manifest(Kind::ServiceEntry, id, &spec)
}

fn ports(id: &Id) -> Value {
    kubectl().get(&path("serviceentries", id)).unwrap()["spec"]["ports"].clone()
}

/// Edits the ports as `kubectl edit` does, and takes over what differs.
fn edit(id: &Id, ports: &[Value]) {
    let patch = json!({ "spec": { "ports": ports } });
    let object = format!("serviceentry/{}", id.name);
    let namespace = id.namespace.as_str();
    kubectl().patch(namespace, &object, &patch, &[]).unwrap();
}

/// Applies a manifest of the ports under another manager, with force.
fn apply_as_another(id: &Id, ports: &[Value]) {
    let mut object = service(id, ports).body;
    object["apiVersion"] = json!("networking.istio.io/v1");
    object["kind"] = json!("ServiceEntry");
    object["metadata"] = json!({ "namespace": id.namespace.as_str(), "name": id.name.as_str() });
    kubectl().apply(&object).unwrap();
}

#[tokio::test]
async fn ports_that_others_add_or_rename_go_with_the_next_apply() {
    let (cluster, id) = (cluster().await, workload());
    let ours = [port("http", 9080), port("grpc", 9090)];
    let apply = async |ports: &[Value]| cluster.apply(&[service(&id, ports)], Force::Never).await;
    apply(&ours).await.unwrap();
    let edits: [&[Value]; 4] = [
        // One more, one renamed, all renamed, and two that swap their numbers' names.
        &[port("http", 9080), port("grpc", 9090), port("more", 9081)],
        &[port("web", 9080), port("grpc", 9090)],
        &[port("web", 9080), port("rpc", 9090)],
        &[port("web", 9080), port("grpc", 9090), port("http", 9081)],
    ];
    for edited in edits {
        edit(&id, edited);
        let applied = apply(&ours).await;
        match applied {
            // A value of ours that somebody changed is a conflict as that of any other field.
            Err(ClusterError::Conflict { fields, .. }) => {
                assert_eq!(fields[0].field, ".spec.ports[name=\"http\"].number");
                let set = [service(&id, &ours)];
                cluster.apply(&set, Force::Fields).await.unwrap();
            }
            applied => drop(applied.unwrap()),
        }
        assert_eq!(ports(&id), json!(ours), "after {edited:?}");
        apply_as_another(&id, &[port("more", 9081), port("http", 9080)]);
        apply(&ours).await.unwrap();
        assert_eq!(ports(&id), json!(ours), "after an apply of another manager");
    }
    // What was ours for a while leaves no trace: our own rename and our own removal work as before.
    let renamed = [port("web", 9080)];
    apply(&renamed).await.unwrap();
    assert_eq!(ports(&id), json!(renamed));
}

#[tokio::test]
async fn nobody_shares_the_ports_after_they_were_taken_back() {
    let (cluster, id) = (cluster().await, workload());
    let ours = [service(&id, &[port("http", 9080)])];
    cluster.apply(&ours, Force::Never).await.unwrap();
    edit(&id, &[port("web", 9080)]);
    cluster.apply(&ours, Force::Never).await.unwrap();
    let object = kubectl().get(&path("serviceentries", &id)).unwrap();
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    let of_ports = |entry: &&Value| !entry["fieldsV1"]["f:spec"]["f:ports"].is_null();
    let owners: Vec<_> = managers.iter().filter(of_ports).collect();
    assert_eq!(owners.len(), 1, "{owners:?}");
    assert_eq!(owners[0]["operation"], "Apply");
}

#[tokio::test]
async fn an_import_removes_the_ports_that_the_configuration_leaves_out_and_takes_renamed_ones() {
    for next in [
        vec![port("http", 9080)],
        vec![port("web", 9080), port("rpc", 9090)],
    ] {
        let (cluster, id) = (cluster().await, workload());
        let prior = [port("http", 9080), port("grpc", 9090)];
        apply_as_another(&id, &prior);
        let declared = service(&id, &prior);
        let adopted = cluster.adopt(&service(&id, &next), Some(&declared)).await;
        adopted.unwrap();
        assert_eq!(ports(&id), json!(next));
    }
}

#[tokio::test]
async fn ports_are_taken_back_when_somebody_writes_meanwhile() {
    let id = workload();
    let ours = [service(&id, &[port("http", 9080)])];
    let once = std::sync::atomic::AtomicBool::new(true);
    let other = id.clone();
    let cluster = cluster_behind(move |request| {
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        let patches = kind.is_some_and(|kind| kind == "application/merge-patch+json");
        if patches && once.swap(false, std::sync::atomic::Ordering::SeqCst) {
            edit(&other, &[port("other", 9080)]);
        }
        None
    })
    .await;
    cluster.apply(&ours, Force::Never).await.unwrap();
    edit(&id, &[port("web", 9080)]);
    cluster.apply(&ours, Force::Never).await.unwrap();
    assert_eq!(ports(&id), json!([port("http", 9080)]));
}

/// A list of another type than atomic merges what others add, so each must be known to the provider.
#[test]
fn the_keyed_lists_are_those_of_istios_definitions() {
    let mut found = Vec::new();
    for (kind, plural) in KINDS {
        let name = format!("{plural}.networking.istio.io");
        let url = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let definition = server().kubectl().get(&url).unwrap();
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let version = versions.iter().find(|version| version["name"] == "v1");
        let schema = &version.unwrap()["schema"]["openAPIV3Schema"]["properties"]["spec"];
        merged_lists(schema, "spec", &mut |path, list| {
            found.push(format!("{kind} {path} {list}"));
        });
    }
    let known = KEYED_LISTS.map(|list| {
        let key = json!([list.key]);
        format!("{} spec.{} map by {key}", list.kind, list.field)
    });
    assert_eq!(found, known);
}

/// Finds the lists whose elements several managers can own.
fn merged_lists(schema: &Value, path: &str, found: &mut impl FnMut(&str, &str)) {
    if let Some(list) = schema["x-kubernetes-list-type"].as_str()
        && list != "atomic"
    {
        let keys = &schema["x-kubernetes-list-map-keys"];
        found(path, &format!("{list} by {keys}"));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        merged_lists(field, &format!("{path}.{name}"), found);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            merged_lists(&schema[below], &format!("{path}.{below}"), found);
        }
    }
}
