//! What is read: facts, other entries, the token, istiod's report.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster::{Cluster, ClusterError, Force, IstioSettings, RootCause, Settings};
use jiff::Timestamp;
use mesh::facts::Facts;
use mesh::names::{Id, Network, SpiffeId};
use mesh::observed::Connection;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bed::{
    cluster, config_map, connect, entry, kubectl, mesh_behind, server, settings, workload,
};

/// A control plane's objects, without istiod: each test has a namespace of its own for them.
struct ControlPlane {
    namespace: String,
}

impl ControlPlane {
    fn new() -> Self {
        Self {
            namespace: workload().namespace.to_string(),
        }
    }

    fn mesh(&self, suffix: &str, mesh: &str, values: &Value) {
        config_map(
            &self.namespace,
            &format!("istio{suffix}"),
            &json!({ "mesh": mesh }),
        );
        let name = format!("istio-sidecar-injector{suffix}");
        config_map(
            &self.namespace,
            &name,
            &json!({ "values": values.to_string() }),
        );
    }

    fn gateway(&self, ip: &str) {
        let metadata = json!({ "namespace": self.namespace, "name": "istio-eastwestgateway" });
        let spec = json!({ "type": "LoadBalancer", "ports": [{ "port": 15012 }] });
        kubectl().apply(&json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })).unwrap();
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": ip }] } } });
        kubectl()
            .patch(
                &self.namespace,
                "service/istio-eastwestgateway",
                &status,
                &["--subresource=status"],
            )
            .unwrap();
    }

    fn settings(&self) -> Settings {
        Settings {
            istio: IstioSettings {
                namespace: self.namespace.clone(),
                ..IstioSettings::default()
            },
            ..settings()
        }
    }
}

async fn facts(cluster: &Cluster, id: &Id, account: &str) -> Result<Facts, ClusterError> {
    cluster.facts(id, &account.parse().unwrap()).await
}

#[tokio::test]
async fn a_tag_stands_for_the_revision_that_its_webhook_names() {
    let (plane, id) = (ControlPlane::new(), workload());
    let (revision, tag) = ("1-31-0", format!("prod-{}", plane.namespace));
    plane.mesh("-1-31-0", "trustDomain: td.example", &json!({}));
    config_map(
        id.namespace.as_str(),
        "istio-ca-root-cert",
        &json!({ "root-cert.pem": "root" }),
    );
    let of = |tag: &str| {
        let istio = IstioSettings {
            revision: Some(tag.to_owned()),
            ..plane.settings().istio
        };
        Settings {
            istio,
            ..settings()
        }
    };
    let missing = facts(&connect(&of(&tag)).await, &id, "ratings")
        .await
        .unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    let labels = json!({ "istio.io/tag": tag, "istio.io/rev": revision });
    kubectl()
        .apply(&json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": format!("istio-revision-tag-{tag}"), "labels": labels } }))
        .unwrap();
    for name in [revision, &tag] {
        let facts = facts(&connect(&of(name)).await, &id, "ratings")
            .await
            .unwrap();
        assert_eq!(facts.revision, revision);
        assert_eq!(facts.trust_domain, "td.example");
        let host = format!("istiod-{revision}.{}.svc", plane.namespace);
        assert_eq!(facts.control_plane.host, host);
    }
}

#[tokio::test]
async fn facts_are_what_the_cluster_says() {
    let (plane, id) = (ControlPlane::new(), workload());
    plane.mesh(
        "",
        "trustDomain: td.example\ndefaultConfig:\n  meshId: mesh1\n  proxyMetadata: {A: b}\n",
        &json!({ "global": { "multiCluster": { "clusterName": "c1" }, "caAddress": "ca.example:443", "tag": "1.31.0-distroless" } }),
    );
    config_map(
        id.namespace.as_str(),
        "istio-ca-root-cert",
        &json!({ "root-cert.pem": "the root\n" }),
    );
    plane.gateway("192.0.2.7");
    let cluster = connect(&plane.settings()).await;

    let before = facts(&cluster, &id, "ratings").await.unwrap();
    assert_eq!(before.entry_uid, None);
    let applied = cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    let facts = facts(&cluster, &id, "ratings").await.unwrap();
    assert_eq!(facts.entry_uid.as_ref(), Some(&applied[0].uid));
    assert_eq!(
        (facts.revision.as_str(), facts.cluster_id.as_str()),
        ("default", "c1")
    );
    assert_eq!(
        (facts.trust_domain.as_str(), facts.mesh_id.as_str()),
        ("td.example", "mesh1")
    );
    assert_eq!(
        facts.mesh_config["defaultConfig"]["proxyMetadata"],
        json!({ "A": "b" })
    );
    assert_eq!(facts.root.0, "the root\n");
    assert_eq!(facts.ca_address.as_deref(), Some("ca.example:443"));
    assert_eq!(
        facts.control_plane.host,
        format!("istiod.{}.svc", plane.namespace)
    );
    assert_eq!(
        (facts.control_plane.port, facts.control_plane.address),
        (15012, "192.0.2.7".parse().ok())
    );
    assert_eq!(facts.service_account_exists, Some(true));
    assert_eq!(facts.version, "1.31.0".parse().ok());
}

#[tokio::test]
async fn facts_of_a_revision_and_settings_beat_the_cluster() {
    let (plane, id) = (ControlPlane::new(), workload());
    plane.mesh("-canary", "{}", &json!({ "global": { "trustBundleName": "roots", "multiCluster": { "clusterName": "c1" } } }));
    config_map(
        id.namespace.as_str(),
        "roots",
        &json!({ "root-cert.pem": "other root" }),
    );
    plane.gateway("192.0.2.7");
    let mut settings = plane.settings();
    settings.istio.revision = Some("canary".into());
    settings.istio.cluster_id = Some("mine".into());
    settings.istio.control_plane_address = "192.0.2.8".parse().ok();

    let facts = facts(&connect(&settings).await, &id, "nobody")
        .await
        .unwrap();
    assert_eq!(
        (facts.revision.as_str(), facts.cluster_id.as_str()),
        ("canary", "mine")
    );
    assert_eq!(
        facts.control_plane.host,
        format!("istiod-canary.{}.svc", plane.namespace)
    );
    assert_eq!(facts.control_plane.address, "192.0.2.8".parse().ok());
    assert_eq!(
        (facts.trust_domain.as_str(), facts.root.0.as_str()),
        ("cluster.local", "other root")
    );
    assert_eq!(facts.service_account_exists, Some(false));
}

#[tokio::test]
async fn trust_that_is_set_by_hand_beats_what_the_cluster_says() {
    let (plane, id) = (ControlPlane::new(), workload());
    let global = json!({ "global": { "trustBundleName": "roots", "caAddress": "ca.example:443" } });
    plane.mesh("", "trustDomain: corp.example", &global);
    let namespace = id.namespace.as_str();
    config_map(namespace, "mine", &json!({ "root-cert.pem": "my root" }));
    let mut settings = plane.settings();
    settings.istio.trust_domain = Some("other.example".into());
    settings.istio.trust_bundle_name = Some("mine".into());
    settings.istio.ca_address = "istio-csr.example:443".parse().ok();

    let facts = facts(&connect(&settings).await, &id, "nobody")
        .await
        .unwrap();
    assert_eq!(facts.trust_domain, "other.example");
    assert_eq!(facts.root.0, "my root");
    assert_eq!(facts.ca_address.as_deref(), Some("istio-csr.example:443"));
}

#[tokio::test]
async fn a_missing_or_broken_part_of_the_control_plane_is_named() {
    let (plane, id) = (ControlPlane::new(), workload());
    let cluster = || async { connect(&plane.settings()).await };
    let error = || async {
        facts(&cluster().await, &id, "ratings")
            .await
            .unwrap_err()
            .to_string()
    };
    let namespace = &plane.namespace;

    config_map(
        namespace,
        "istio-sidecar-injector",
        &json!({ "values": "{}" }),
    );
    assert_eq!(
        error().await,
        format!("cannot get ConfigMap {namespace}/istio: it does not exist")
    );
    config_map(namespace, "istio", &json!({ "mesh": "a: [" }));
    assert!(
        error().await.contains("its key mesh is not valid YAML"),
        "{}",
        error().await
    );
    config_map(namespace, "istio", &json!({ "other": "" }));
    assert!(
        error().await.ends_with("it has no key mesh"),
        "{}",
        error().await
    );
    plane.mesh(
        "",
        "discoverySelectors: [{matchLabels: {mesh: \"on\"}}]",
        &json!({}),
    );
    assert!(error().await.contains(&format!(
        "{}/istio-ca-root-cert: it does not exist",
        id.namespace
    )));
}

#[tokio::test]
async fn a_new_namespace_is_awaited_and_a_hopeless_one_is_not() {
    let (plane, id) = (ControlPlane::new(), workload());
    plane.mesh("", "{}", &json!({}));
    let namespace = id.namespace.as_str();
    config_map(
        namespace,
        "istio-ca-root-cert",
        &json!({ "root-cert.pem": "root" }),
    );
    kubectl()
        .apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "default", "namespace": namespace } }))
        .unwrap();
    // Each is absent at first, as while its controller has not seen the namespace.
    let reads = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let cluster = mesh_behind(plane.settings().istio, move |request| {
        let path = request.uri().path();
        let of = ["/istio-ca-root-cert", "/serviceaccounts/default"];
        let of = of.iter().position(|end| path.ends_with(end))?;
        let is_early = reads[of].fetch_add(1, Ordering::SeqCst) < 2;
        let body = r#"{"kind":"Status","code":404,"details":{"name":"x"}}"#;
        let absent = http::Response::builder().status(404);
        is_early.then(|| absent.body(body.as_bytes().to_vec().into()).unwrap())
    })
    .await;
    let found = facts(&cluster, &id, "default").await.unwrap();
    assert_eq!(found.root.0, "root");
    assert_eq!(found.service_account_exists, Some(true));

    let absent: Id = "no-such-namespace/vm".parse().unwrap();
    let cause = |error| match error {
        ClusterError::RootMissing { cause, .. } => cause,
        other => panic!("{other:?}"),
    };
    let error = facts(&cluster, &absent, "default").await.unwrap_err();
    assert_eq!(cause(error), RootCause::NoNamespace);
    plane.mesh(
        "",
        "discoverySelectors: [{matchLabels: {mesh: \"on\"}}]",
        &json!({}),
    );
    let (cluster, unselected) = (connect(&plane.settings()).await, workload());
    let error = facts(&cluster, &unselected, "default").await.unwrap_err();
    assert_eq!(cause(error), RootCause::NotSelected);
}

/// As istiod writes it, where the API is enabled: there is no `istio-ca-root-cert` then.
#[tokio::test]
async fn the_root_certificate_may_be_a_cluster_trust_bundle() {
    let (plane, id) = (ControlPlane::new(), workload());
    let name = id.namespace.as_str();
    let env = json!({ "ENABLE_CLUSTER_TRUST_BUNDLE_API": true });
    plane.mesh(
        "",
        "{}",
        &json!({ "global": { "trustBundleName": name }, "pilot": { "env": env } }),
    );
    let cluster = connect(&plane.settings()).await;
    let error = facts(&cluster, &id, "ratings").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot get ClusterTrustBundle istio.io:istiod-ca:{name}: it does not exist")
    );
    let ca = std::fs::read_to_string(server().file("ca.crt")).unwrap();
    let bundle = json!({
        "apiVersion": "certificates.k8s.io/v1beta1",
        "kind": "ClusterTrustBundle",
        "metadata": { "name": format!("istio.io:istiod-ca:{name}") },
        "spec": { "signerName": "istio.io/istiod-ca", "trustBundle": ca },
    });
    kubectl().apply(&bundle).unwrap();
    let cluster = connect(&plane.settings()).await;
    let facts = facts(&cluster, &id, "ratings").await.unwrap();
    assert_eq!(facts.root.0.trim(), ca.trim());
}

#[tokio::test]
async fn others_are_all_entries_with_an_address() {
    let (cluster, id) = (cluster().await, workload());
    let mut second = entry(&Id {
        name: "second".parse().unwrap(),
        ..id.clone()
    });
    second.body["spec"]["network"] = json!("vms");
    let mut third = entry(&Id {
        name: "third".parse().unwrap(),
        ..id.clone()
    });
    third.body["spec"] = json!({ "network": "vms" });
    cluster
        .apply(&[entry(&id), second.clone(), third], Force::Never)
        .await
        .unwrap();

    let others = cluster.others(&id.namespace).await.unwrap();
    let ids: Vec<_> = others.iter().map(|other| &other.id).collect();
    assert_eq!(ids, [&id, &second.id]);
    assert_eq!(others[0].address.to_string(), "192.0.2.1");
    assert_eq!(others[1].network.as_ref().map(Network::as_str), Some("vms"));
}

fn identity(id: &Id, account: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/{}/sa/{account}", id.namespace)
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_token_is_for_istiod_and_lives_at_least_ten_minutes() {
    let (cluster, id) = (cluster().await, workload());
    for (asked, granted) in [(1, 600), (7200, 7200)] {
        let token = cluster
            .mint(&identity(&id, "ratings"), Duration::from_secs(asked))
            .await
            .unwrap();
        let secret = token.secret.expose_secret();
        let claims = URL_SAFE_NO_PAD
            .decode(secret.split('.').nth(1).unwrap())
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], json!(["istio-ca"]));
        assert_eq!(
            claims["sub"],
            format!("system:serviceaccount:{}:ratings", id.namespace)
        );
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            granted
        );
        assert_eq!(
            token.expires,
            Timestamp::from_second(claims["exp"].as_i64().unwrap()).unwrap()
        );
        assert!(
            !format!("{token:?}").contains(secret),
            "a token never shows itself"
        );
    }
}

#[tokio::test]
async fn a_token_of_nobody_is_not_found() {
    let (cluster, id) = (cluster().await, workload());
    let error = cluster
        .mint(&identity(&id, "nobody"), Duration::from_hours(1))
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(
        error.to_string().contains("create token of ServiceAccount"),
        "{error}"
    );
}

/// Writes the annotations as istiod does.
fn report(id: &Id, connected: Option<&str>, disconnected: Option<&str>) {
    let annotations = json!({ "istio.io/connectedAt": connected, "istio.io/disconnectedAt": disconnected,
        "istio.io/workloadController": "istiod-test" });
    let patch = json!({ "metadata": { "annotations": annotations } });
    kubectl()
        .patch(
            id.namespace.as_str(),
            &format!("workloadentry/{}", id.name),
            &patch,
            &[],
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_ends_the_wait_and_nothing_before_it() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    report(&id, Some("2026-01-01T00:00:00Z"), None);
    let before = mesh::observed::Connection::from_entry(
        &cluster.observe(&id, &[]).await.unwrap().entry.unwrap(),
    );
    assert_eq!(before.connected_at.as_deref(), Some("2026-01-01T00:00:00Z"));

    let reporter = tokio::task::spawn_blocking({
        let id = id.clone();
        move || {
            report(&id, None, Some("2026-01-01T00:01:00Z"));
            report(
                &id,
                Some("2026-01-01T00:02:00Z"),
                Some("2026-01-01T00:01:00Z"),
            );
            report(&id, Some("2026-01-01T00:03:00Z"), None);
        }
    });
    let waited = cluster
        .connected(&id, &before, Instant::now() + Duration::from_mins(1))
        .await
        .unwrap();
    reporter.await.unwrap();
    assert_eq!(waited.connected_at.as_deref(), Some("2026-01-01T00:03:00Z"));
}

#[tokio::test]
async fn a_wait_in_vain_ends_at_its_deadline_with_what_istiod_last_said() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    report(&id, Some("2026-01-01T00:00:00Z"), None);
    let before = Connection {
        connected_at: Some("2026-01-01T00:00:00Z".into()),
        ..Connection::default()
    };
    let error = cluster
        .connected(&id, &before, Instant::now() + Duration::from_secs(2))
        .await
        .unwrap_err();
    let ClusterError::NotConnected { last, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(last.connected_at, before.connected_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_deleted_ends_the_wait() {
    let (cluster, id) = (cluster().await, workload());
    cluster.apply(&[entry(&id)], Force::Never).await.unwrap();
    let (namespace, object) = (
        id.namespace.to_string(),
        format!("workloadentry/{}", id.name),
    );
    let deleted =
        tokio::task::spawn_blocking(move || kubectl().delete(&namespace, &object).unwrap());
    let waited = cluster
        .connected(
            &id,
            &Connection::default(),
            Instant::now() + Duration::from_mins(1),
        )
        .await;
    deleted.await.unwrap();
    assert!(waited.unwrap_err().is_not_found());
    assert_eq!(cluster.observe(&id, &[]).await.unwrap().entry, None);
}
