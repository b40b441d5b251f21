//! Plans as text: a change of behaviour is a readable difference.

use contract::UNKNOWN;
use expect_test::expect;
use serde_json::{Value as Json, json};

use super::{block, full, none, provider, state, usual, with};

/// Plans a change from one configuration to another with the drift that a refresh found, and returns what the plan
/// says of the output.
pub(super) async fn planned(before: &Json, drift: &Json, after: &Json) -> String {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, before, drift).await;
    let plan = resource
        .plan(Some(&prior), after)
        .await
        .unwrap()
        .ok()
        .unwrap();
    let (old, new) = (prior.value.to_json(), plan.planned.to_json());
    let changed = new
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, new)| COMPUTED.contains(&name.as_str()) && **new != old[name.as_str()]);
    let (unknown, known): (Vec<_>, Vec<_>) = changed.partition(|(_, new)| **new == UNKNOWN);
    let mut text = format!("{:?}\n", plan.action);
    for (name, new) in known {
        text.push_str(&format!("  {name}: {} -> {new}\n", old[name]));
    }
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.iter().map(|(name, _)| name.as_str()).collect();
        text.push_str(&format!("  unknown: {}\n", names.join(", ")));
    }
    text
}

const COMPUTED: [&str; 12] = [
    "id",
    "bundle_digest",
    "last_bootstrap_reasons",
    "drift",
    "spiffe_id",
    "machine_id",
    "proxy_version",
    "bootstrapped_at",
    "revision",
    "cluster_id",
    "trust_domain",
    "control_plane",
];

/// What is edited, from the usual configuration and without drift.
#[tokio::test]
async fn a_plan_says_what_an_edit_does() {
    let edits = [
        ("nothing", "/labels/version", json!("v1")),
        ("a label", "/labels/version", json!("v2")),
        ("an unknown address", "/address", json!(UNKNOWN)),
        (
            "a service",
            "/services/ratings/hosts",
            json!(["ratings.other"]),
        ),
        (
            "the Sidecar",
            "/sidecar",
            json!({ "egress_hosts": ["./*"] }),
        ),
        ("the name", "/name", json!("ratings-vm-2")),
        ("no ssh", "/ssh", Json::Null),
        ("a credential", "/ssh/user", json!("root")),
    ];
    let mut text = String::new();
    for (edited, at, value) in edits {
        let plan = planned(&usual(), &none(), &with(usual(), at, value)).await;
        text.push_str(&format!("{edited}: {plan}"));
    }
    expect![[r#"
        nothing: NoOp
        a label: Update
          last_bootstrap_reasons: ["created"] -> ["labels.version: v1 -> v2"]
          unknown: bootstrapped_at, bundle_digest
        an unknown address: Update
          unknown: bootstrapped_at, bundle_digest, last_bootstrap_reasons, machine_id, proxy_version
        a service: Update
        the Sidecar: Update
        the name: Replace
          id: "bookinfo/ratings-vm-1" -> "bookinfo/ratings-vm-2"
          unknown: bootstrapped_at, bundle_digest, cluster_id, control_plane, machine_id, proxy_version, revision, spiffe_id, trust_domain
        no ssh: Update
          bootstrapped_at: "2026-01-01T00:00:00Z" -> null
          bundle_digest: "0123" -> null
          last_bootstrap_reasons: ["created"] -> []
          machine_id: "4711" -> null
          proxy_version: "1.31.0" -> null
        a credential: Update
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_plan_repairs_drift() {
    let vm =
        json!({ "objects": [], "vm": ["proxy: the unit istio is 'inactive', should be 'active'"] });
    let objects =
        json!({ "objects": ["WorkloadEntry bookinfo/ratings-vm-1 is missing"], "vm": [] });
    let mut text = String::new();
    for drift in [vm, objects] {
        text.push_str(&planned(&usual(), &drift, &usual()).await);
    }
    expect![[r#"
        Update
          drift: {"objects":[],"vm":["proxy: the unit istio is 'inactive', should be 'active'"]} -> {"objects":[],"vm":[]}
          last_bootstrap_reasons: ["created"] -> ["drift: proxy: the unit istio is 'inactive', should be 'active'"]
          unknown: bootstrapped_at, bundle_digest
        Update
          drift: {"objects":["WorkloadEntry bookinfo/ratings-vm-1 is missing"],"vm":[]} -> {"objects":[],"vm":[]}
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn every_attribute_may_be_unknown() {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let names: Vec<String> = full().as_object().unwrap().keys().cloned().collect();
    for name in names {
        let config = with(full(), &format!("/{name}"), json!(UNKNOWN));
        let valid = resource.validate(&config).await.unwrap();
        assert!(valid.errors().is_empty(), "{name}: {:?}", valid.errors());
        resource
            .plan(None, &config)
            .await
            .unwrap()
            .ok()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let prior = state(&resource, &full(), &none()).await;
        resource
            .plan(Some(&prior), &config)
            .await
            .unwrap()
            .ok()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn a_plan_needs_no_provider_configuration() {
    let block = json!({ "kubernetes": { "host": UNKNOWN }, "ssh": { "user": UNKNOWN } });
    let client = provider(&block).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let plan = resource.plan(None, &usual()).await.unwrap().ok().unwrap();
    assert_eq!(plan.planned.to_json()["id"], "bookinfo/ratings-vm-1");
}

#[tokio::test]
async fn a_refresh_with_an_unknown_provider_keeps_the_state_and_says_so() {
    let client = provider(&json!({ "kubernetes": { "host": UNKNOWN } })).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &usual(), &none()).await;
    let read = resource.read(&prior).await.unwrap();
    assert_eq!(read.diagnostics.len(), 1, "{:?}", read.diagnostics);
    assert_eq!(read.diagnostics[0].summary, "The VM was not checked");
    let codes = read.diagnostics[0].detail.matches("\n\n[").count();
    assert_eq!(codes, 1, "{}", read.diagnostics[0].detail);
    assert_eq!(read.ok().unwrap().value, prior.value);
}

#[tokio::test]
async fn reasons_show_no_value_that_may_be_secret() {
    let before = super::full();
    let after = with(
        before.clone(),
        "/env/ISTIO_AGENT_FLAGS",
        json!("--token=secret"),
    );
    let after = with(after, "/triggers/vm", json!("secret"));
    let after = with(after, "/proxy/config", json!("concurrency: 3 # secret"));
    let http = "/health_check/http";
    let after = with(after, &format!("{http}/path"), json!("/health?secret"));
    let after = with(after, &format!("{http}/headers/X-Probe"), json!("secret"));
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &before, &none()).await;
    let plan = resource
        .plan(Some(&prior), &after)
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(
        plan.planned.to_json()["last_bootstrap_reasons"],
        json!([
            "env.ISTIO_AGENT_FLAGS: changed",
            "triggers.vm: changed",
            "health_check.http.path: changed",
            "health_check.http.headers.X-Probe: changed",
            "proxy.config: changed",
        ])
    );
}

#[tokio::test]
async fn ssh_that_turns_out_unset_keeps_its_plan() {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let unknown = with(usual(), "/ssh", json!(UNKNOWN));
    let plan = resource.plan(None, &unknown).await.unwrap().ok().unwrap();
    assert!(!plan.planned["last_bootstrap_reasons"].is_known());
}

/// What a plan warns of.
async fn warnings(before: Json, drift: Json, after: Json) -> Vec<String> {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &before, &drift).await;
    let plan = resource.plan(Some(&prior), &after).await.unwrap();
    plan.diagnostics.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_changed_mesh_is_only_reported_where_it_is_held_back() {
    let mut config = usual();
    config["rebootstrap_on"] = json!(["configuration", "machine"]);
    let drift = json!({ "objects": [], "vm": ["mesh: /etc/hosts: istiod's line is missing, should be '10.0.0.1 istiod.istio-system.svc'"] });
    let plan = planned(&config, &drift, &config).await;
    assert_eq!(plan, "NoOp\n");
    let reported = warnings(config.clone(), drift.clone(), config.clone()).await;
    assert!(
        reported.len() == 1
            && reported[0].contains("A bootstrap is held back")
            && reported[0].contains("mesh: /etc/hosts"),
        "{reported:?}"
    );
    // An apply of objects keeps it, and a cause that is put back on repairs it.
    let mut after = config.clone();
    after["weight"] = json!(10);
    assert_eq!(planned(&config, &drift, &after).await, "Update\n");
    expect![[r#"
        Update
          drift: {"objects":[],"vm":["mesh: /etc/hosts: istiod's line is missing, should be '10.0.0.1 istiod.istio-system.svc'"]} -> {"objects":[],"vm":[]}
          last_bootstrap_reasons: ["created"] -> ["drift: mesh: /etc/hosts: istiod's line is missing, should be '10.0.0.1 istiod.istio-system.svc'"]
          unknown: bootstrapped_at, bundle_digest
    "#]].assert_eq(&planned(&config, &drift, &usual()).await);
}

#[tokio::test]
async fn a_change_that_is_held_back_is_written_to_the_objects_and_reported() {
    let mut before = usual();
    before["rebootstrap_on"] = json!([]);
    let after = with(before.clone(), "/labels/version", json!("v2"));
    expect![[r#"
        Update
          drift: {"objects":[],"vm":[]} -> {"objects":[],"vm":["configuration: labels.version was changed"]}
    "#]].assert_eq(&planned(&before, &none(), &after).await);
}
