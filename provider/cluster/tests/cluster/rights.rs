//! The role that is handed to users allows exactly what the crate does.

use std::time::Duration;

use cluster::{Cluster, ClusterError, Deletion, Force, IstioSettings, Lock, Settings};
use mesh::desired::Kind;
use mesh::names::Id;
use mesh::observed::Connection;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::{config_map, connect, entry, examples, kubectl, later, server, workload};

/// Connects as a service account, by its token: the other form of the provider block.
async fn as_account(namespace: &str, name: &str, istio: &str) -> Cluster {
    let istio = IstioSettings {
        namespace: istio.into(),
        ..IstioSettings::default()
    };
    with_token(namespace, name, istio).await
}

async fn of_revision(workloads: &Id, istio: &Id, revision: &str) -> Cluster {
    let istio = IstioSettings {
        namespace: istio.namespace.to_string(),
        revision: Some(revision.into()),
        ..IstioSettings::default()
    };
    with_token(workloads.namespace.as_str(), "ratings", istio).await
}

async fn with_token(namespace: &str, name: &str, istio: IstioSettings) -> Cluster {
    let token = kubectl().token(namespace, name, None).unwrap();
    connect(&Settings {
        host: Some(server().url()),
        token: Some(SecretString::from(token)),
        cluster_ca_certificate: Some(std::fs::read_to_string(server().file("ca.crt")).unwrap()),
        istio,
        ..Settings::default()
    })
    .await
}

/// Allows the account `ratings` of the workload to read these `ConfigMap`s of the control plane; without names, all.
fn allow_config_maps(workloads: &Id, istio: &Id, names: &[&str]) {
    let metadata = json!({ "namespace": istio.namespace.as_str(), "name": "config" });
    let get = json!({ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": names, "verbs": ["get"] });
    let group = "rbac.authorization.k8s.io";
    let api = format!("{group}/v1");
    let role = json!({ "apiVersion": api, "kind": "Role", "metadata": metadata, "rules": [get] });
    let account = json!({ "kind": "ServiceAccount", "namespace": workloads.namespace.as_str(), "name": "ratings" });
    let binding = json!({
        "apiVersion": api, "kind": "RoleBinding", "metadata": metadata, "subjects": [account],
        "roleRef": { "apiGroup": group, "kind": "Role", "name": "config" },
    });
    kubectl().apply(&role).unwrap();
    kubectl().apply(&binding).unwrap();
}

/// A tag is looked for among webhooks, which few may list.
#[tokio::test]
async fn a_misspelt_revision_is_no_missing_permission() {
    let (id, istio) = (workload(), workload());
    control_plane(&id, &istio);
    for (names, is_named) in [(&[][..], false), (&["istio"][..], true)] {
        allow_config_maps(&id, &istio, names);
        let cluster = of_revision(&id, &istio, "canari").await;
        let error = cluster.facts(&id, &"ratings".parse().unwrap()).await;
        let error = error.unwrap_err();
        let (ClusterError::NotFound { call, .. } | ClusterError::Forbidden { call, .. }) = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(call.name, "istio-canari", "{error}");
        assert_eq!(error.is_forbidden(), is_named, "{error}");
    }
}

/// Applies `examples/rbac.yaml` with the namespaces of this test in place of the example's.
fn grant(workloads: &Id, istio: &Id) {
    let text = std::fs::read_to_string(examples("rbac.yaml")).unwrap();
    assert!(text.contains("namespace: bookinfo") && text.contains("namespace: istio-system"));
    let text = text
        .replace(
            "namespace: bookinfo",
            &format!("namespace: {}", workloads.namespace),
        )
        .replace(
            "namespace: istio-system",
            &format!("namespace: {}", istio.namespace),
        )
        .replace("[\"istio-system\"]", &format!("[\"{}\"]", istio.namespace))
        .replace(
            "mesh-networks",
            &format!("mesh-networks-{}", workloads.namespace),
        )
        .replace(
            "mesh-everywhere",
            &format!("mesh-everywhere-{}", workloads.namespace),
        )
        .replace("mesh-trust", &format!("mesh-trust-{}", workloads.namespace));
    kubectl()
        .call(&["apply", "-f", "-"], text.as_bytes())
        .unwrap();
}

/// Writes what facts are read from.
fn control_plane(workloads: &Id, istio: &Id) {
    let (workloads, istio) = (workloads.namespace.as_str(), istio.namespace.as_str());
    config_map(istio, "istio", &json!({ "mesh": "{}" }));
    config_map(istio, "istio-sidecar-injector", &json!({ "values": "{}" }));
    config_map(
        workloads,
        "istio-ca-root-cert",
        &json!({ "root-cert.pem": "root" }),
    );
}

#[tokio::test]
async fn the_example_role_allows_everything_that_is_done() {
    let (id, istio) = (workload(), workload());
    grant(&id, &istio);
    control_plane(&id, &istio);
    // On a task of its own, as the provider does it: every call can move between threads.
    tokio::spawn(everything(id, istio)).await.unwrap();
}

async fn everything(id: Id, istio: Id) {
    let cluster = as_account(id.namespace.as_str(), "terraform", istio.namespace.as_str()).await;
    let facts = cluster
        .facts(&id, &"ratings".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(facts.service_account_exists, Some(true));
    let namespace = cluster.namespace(&id.namespace).await.unwrap();
    assert!(namespace.uid().is_some(), "{namespace:?}");
    cluster.others(&id.namespace).await.unwrap();
    let elsewhere = cluster.others_elsewhere(&id.namespace).await.unwrap();
    assert!(
        elsewhere.is_some(),
        "entries of all namespaces may be listed"
    );
    let egress = json!({ "workloadSelector": { "labels": { "app": "ratings" } }, "egress": [{ "hosts": ["./*"] }] });
    let ports = json!([{ "number": 80, "name": "http", "protocol": "HTTP" }]);
    let service = json!({ "hosts": ["a.vm"], "ports": ports, "resolution": "STATIC", "location": "MESH_INTERNAL" });
    let set = [
        entry(&id),
        crate::bed::manifest(Kind::ServiceEntry, &id, &service),
        crate::bed::manifest(Kind::Sidecar, &id, &egress),
    ];
    for _create_then_update in 0..2 {
        cluster.apply(&set, Force::Never).await.unwrap();
    }
    cluster
        .observe(&id, &[(mesh::desired::Kind::ServiceEntry, id.clone())])
        .await
        .unwrap();
    cluster
        .mint(
            &"spiffe://x/ns/NS/sa/ratings"
                .replace("NS", id.namespace.as_str())
                .parse()
                .unwrap(),
            Duration::ZERO,
        )
        .await
        .unwrap();
    let service = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": id.namespace.as_str(), "name": "gateway", "labels": { "topology.istio.io/network": "vms" } },
        "spec": { "ports": [{ "port": 15443 }], "externalIPs": ["203.0.113.5"] } });
    kubectl().apply(&service).unwrap();
    let networks = cluster.networks().await.unwrap();
    let found: Vec<_> = networks.gateways.iter().map(|of| &of.address).collect();
    assert_eq!(found, [&Some("203.0.113.5".to_owned())]);
    let endpoint = cluster.endpoint(&id).await.unwrap().unwrap();
    assert_eq!(endpoint.address, "192.0.2.1");
    fleet(&cluster, &id).await;
    let waited = cluster
        .connected(
            &id,
            &Connection::default(),
            Instant::now() + Duration::from_secs(1),
        )
        .await;
    assert!(
        matches!(waited, Err(ClusterError::NotConnected { .. })),
        "watching is allowed: {waited:?}"
    );
    let condition = json!({ "type": "Healthy", "status": "True" });
    cluster.set_conditions(&id, &[condition]).await.unwrap();
    let healthy = cluster.healthy(&id, Instant::now() + Duration::from_mins(1));
    assert_eq!(healthy.await.unwrap().healthy, Some(true));
    cluster.set_conditions(&id, &[]).await.unwrap();
    let unhealthy = cluster.healthy(&id, Instant::now() + Duration::from_secs(1));
    assert!(matches!(
        unhealthy.await,
        Err(ClusterError::NotHealthy { .. })
    ));
    let doomed = set.map(|manifest| Deletion {
        kind: manifest.kind,
        id: manifest.id,
        mark: mesh::mark::Mark::Workload(id.name.clone()),
        uid: None,
        run: None,
    });
    cluster.delete(&doomed, later()).await.unwrap();
}

async fn fleet(cluster: &Cluster, id: &Id) {
    let id = Id {
        name: "fleet".parse().unwrap(),
        ..id.clone()
    };
    let mark = mesh::mark::Mark::Fleet(id.name.clone());
    let spec = json!({ "template": { "serviceAccount": "ratings" } });
    let mut group = crate::bed::manifest(Kind::WorkloadGroup, &id, &spec);
    group.body["metadata"]["labels"][mark.label()] = json!("fleet");
    assert!(
        cluster
            .objects_of_fleet(Some(&id))
            .await
            .unwrap()
            .is_empty()
    );
    cluster.apply(&[group], Force::Never).await.unwrap();
    assert_eq!(cluster.objects_of_fleet(Some(&id)).await.unwrap().len(), 1);
    cluster.members(&id).await.unwrap();
    lease(cluster, &id).await;
    let doomed = Deletion {
        kind: Kind::WorkloadGroup,
        id: id.clone(),
        mark,
        uid: None,
        run: None,
    };
    cluster.delete(&[doomed], later()).await.unwrap();
    assert!(
        cluster
            .objects_of_fleet(Some(&id))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn lease(cluster: &Cluster, fleet: &Id) {
    let bare = mesh::rollout::bare_lease(fleet).unwrap();
    let gate = std::sync::Arc::new(tokio::sync::Mutex::new(()));
    let lock = Lock::take(cluster, gate.lock_owned().await, &bare, "run");
    lock.await.unwrap().release().await.unwrap();
    cluster
        .apply(std::slice::from_ref(&bare), Force::Never)
        .await
        .unwrap();
    let doomed = Deletion {
        kind: Kind::Lease,
        id: bare.id,
        mark: mesh::mark::Mark::Fleet(fleet.name.clone()),
        uid: None,
        run: None,
    };
    cluster.delete(&[doomed], later()).await.unwrap();
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_as_a_rule() {
    let id = workload();
    let cluster = as_account(id.namespace.as_str(), "ratings", "istio-system").await;
    let error = cluster.adopt(&entry(&id), None).await.unwrap_err();
    assert!(matches!(error, ClusterError::Forbidden { .. }), "{error:?}");
    assert_eq!(
        error.missing_rule().unwrap(),
        "- apiGroups: [\"networking.istio.io\"]\n  resources: [workloadentries]\n  verbs: [patch, create]"
    );
    let error = cluster
        .mint(
            &format!("spiffe://x/ns/{}/sa/ratings", id.namespace)
                .parse()
                .unwrap(),
            Duration::ZERO,
        )
        .await
        .unwrap_err();
    assert!(
        error
            .missing_rule()
            .unwrap()
            .contains("resources: [serviceaccounts/token]"),
        "{error}"
    );
    let namespace = cluster.namespace(&id.namespace).await.unwrap();
    assert_eq!(namespace, mesh::identity::SeenNamespace::Hidden);
    let error = cluster.observe(&id, &[]).await.unwrap_err();
    assert!(
        error.missing_rule().unwrap().contains("verbs: [list]"),
        "never absent: {error}"
    );
}

#[tokio::test]
async fn a_quota_and_a_terminating_namespace_are_no_missing_right() {
    let (limited, dying) = (workload(), workload());
    let hard = json!({ "count/workloadentries.networking.istio.io": "0" });
    let metadata = json!({ "name": "none", "namespace": limited.namespace.as_str() });
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": { "hard": hard },
        "status": { "hard": hard, "used": hard },
    });
    kubectl().apply(&quota).unwrap();
    // The controller that fills in the status is not there.
    let body = quota.to_string();
    let status = ["replace", "--subresource=status", "-f", "-"];
    kubectl().call(&status, body.as_bytes()).unwrap();
    let namespace = dying.namespace.as_str();
    let delete = ["delete", "namespace", namespace, "--wait=false"];
    kubectl().call(&delete, b"").unwrap();
    let cluster = crate::bed::cluster().await;
    let error = cluster.apply(&[entry(&limited)], Force::Never).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ClusterError::Quota { .. }), "{error:?}");
    assert!(
        error.to_string().contains("exceeded quota: none"),
        "{error}"
    );
    let error = cluster.apply(&[entry(&dying)], Force::Never).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ClusterError::NamespaceTerminating { .. }),
        "{error:?}"
    );
    assert_eq!(error.missing_rule(), None);
}

#[tokio::test]
async fn networks_that_may_not_be_looked_at_are_reported_and_no_error() {
    let (id, istio) = (workload(), workload());
    control_plane(&id, &istio);
    let (mesh, account) = (
        istio.namespace.as_str(),
        format!("--serviceaccount={}:ratings", id.namespace),
    );
    let role = [
        "create",
        "role",
        "reader",
        "--verb=get",
        "--resource=configmaps",
        "-n",
        mesh,
    ];
    let binding = [
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        &account,
        "-n",
        mesh,
    ];
    for words in [role, binding] {
        kubectl().call(&words, b"").unwrap();
    }
    let cluster = as_account(id.namespace.as_str(), "ratings", mesh).await;
    let networks = cluster.networks().await.unwrap();
    assert_eq!(networks.gateways, []);
    let reported = networks.unseen.join("\n");
    for what in ["list Service", "list Gateway", "get Namespace"] {
        assert!(reported.contains(what), "{what}: {reported}");
    }
    let missing = "{ apiGroups: [\"\"], resources: [services], verbs: [list] }";
    assert!(reported.contains(missing), "{reported}");
}

#[tokio::test]
async fn a_service_account_that_may_not_be_looked_at_is_not_absent() {
    let (id, istio) = (workload(), workload());
    grant(&id, &istio);
    control_plane(&id, &istio);
    let role = "role/terraform-provider-mesh";
    let role: Value = serde_json::from_str(
        &kubectl()
            .call(
                &["get", "-n", id.namespace.as_str(), role, "-o", "json"],
                b"",
            )
            .unwrap(),
    )
    .unwrap();
    let rules = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|missing| missing["resources"] != json!(["serviceaccounts"]));
    let patch = json!({ "rules": rules.collect::<Vec<_>>() });
    kubectl()
        .patch(
            id.namespace.as_str(),
            "role/terraform-provider-mesh",
            &patch,
            &[],
        )
        .unwrap();
    let cluster = as_account(id.namespace.as_str(), "terraform", istio.namespace.as_str()).await;
    let facts = cluster
        .facts(&id, &"ratings".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(facts.service_account_exists, None);
}
