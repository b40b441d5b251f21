//! `mesh_vm_fleet` without any cluster: rules and plans, and what a member plans.

use std::collections::BTreeSet;

use contract::{Action, State, UNKNOWN};
use mesh::desired::Manifest;
use plugin::{Diagnostics, Object, Path, Shape};
use serde_json::{Value as Json, json};

use super::rules::{attribute_path, collect, raw, rule};
use super::{none, provider, state, usual, with};
use crate::fleet::input::FleetInput;
use crate::rule::OBJECTS;

/// A fleet in which every attribute is set.
fn full() -> Json {
    json!({
        "namespace": "bookinfo",
        "name": "ratings",
        "services": super::full()["services"],
        "sidecar": super::full()["sidecar"],
        "group": {
            "labels": { "app": "ratings" },
            "annotations": { "example.com/team": "books" },
            "service_account": "bookinfo-ratings",
            "network": "gcp-vms",
            "locality": "europe/west1/b",
            "weight": 10,
            "ports": { "http": 9080 },
            "health_check": { "tcp": { "port": 9080 } },
        },
        "rollout": { "max_unavailable": "2", "on_failure": "continue" },
        "field_manager": { "force_conflicts": false },
        "timeouts": { "create": "20m", "read": "1m", "update": "20m", "delete": "5m" },
    })
}

/// For each leaf that is the fleet's own: another value that is allowed there.
fn others() -> Vec<(&'static str, Json)> {
    vec![
        ("/namespace", json!("other")),
        ("/name", json!("reviews")),
        ("/group/labels/app", json!("reviews")),
        ("/group/annotations/example.com~1team", json!("films")),
        ("/group/service_account", Json::Null),
        ("/group/network", json!("aws-vms")),
        ("/group/locality", json!("europe/west1/c")),
        ("/group/weight", json!(20)),
        ("/group/ports/http", json!(9081)),
        ("/group/health_check/tcp/port", json!(9081)),
        ("/rollout/max_unavailable", json!("25%")),
        ("/rollout/on_failure", json!("stop")),
        ("/field_manager/force_conflicts", json!(true)),
        ("/timeouts/create", json!("21m")),
        ("/timeouts/read", json!("2m")),
        ("/timeouts/update", json!("21m")),
        ("/timeouts/delete", json!("6m")),
    ]
}

fn objects(config: &Json) -> Vec<Manifest> {
    let mut problems = Diagnostics::none();
    let input = <FleetInput as Shape>::read(&raw(config), &Path::root(), &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    mesh::objects::fleet_objects(&input.unwrap().fleet().unwrap())
}

/// Services, Sidecar and health check have the attributes of a workload's, which are walked there.
#[test]
fn the_rule_of_every_attribute_of_a_fleet_is_what_its_objects_show() {
    let attributes = <FleetInput as Object>::attributes();
    let mut leaves = BTreeSet::new();
    collect(&attributes, "", &mut leaves);
    let shared = ["services.", "sidecar.", "group.health_check."];
    leaves.retain(|at| !shared.iter().any(|of| at.starts_with(of)));
    leaves.insert("group.health_check.tcp.port".into());
    let paths = others().into_iter();
    let paths: BTreeSet<String> = paths
        .map(|(pointer, _)| attribute_path(&attributes, pointer))
        .collect();
    assert_eq!(leaves, paths);
    for (pointer, other) in others() {
        let at = attribute_path(&attributes, pointer);
        let differ = objects(&full()) != objects(&with(full(), pointer, other));
        let asks = rule(&attributes, pointer).rank >= OBJECTS.rank;
        assert_eq!(differ, asks, "{at}");
    }
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused_with_its_path_and_value() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_fleet").unwrap();
    for bad in ["0", "-1", "0%", "101%", "x", ""] {
        let config = with(full(), "/rollout/max_unavailable", json!(bad));
        let reported = resource.validate(&config).await.unwrap().diagnostics;
        let [error] = reported.as_slice() else {
            panic!("{bad}: {reported:?}");
        };
        let text = error.to_string();
        for words in [
            "rollout.max_unavailable",
            &format!("got {bad:?}"),
            "\"1%\" to \"100%\"",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let config = with(full(), "/rollout/on_failure", json!("pause"));
    let reported = resource.validate(&config).await.unwrap().diagnostics;
    let text = reported[0].to_string();
    assert!(
        text.contains("rollout.on_failure") && text.contains("\"stop\" or \"continue\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_fleet_s_id_is_known_at_plan() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_fleet").unwrap();
    let plan = resource.plan(None, &full()).await.unwrap().ok().unwrap();
    let planned = plan.planned.to_json();
    assert_eq!(planned["id"], "bookinfo/ratings");
    assert_eq!(planned["drift"], json!({ "objects": [] }));
}

#[tokio::test]
async fn every_attribute_of_a_fleet_may_be_unknown() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_fleet").unwrap();
    for at in full().as_object().unwrap().keys() {
        let config = with(full(), &format!("/{at}"), json!(UNKNOWN));
        resource.plan(None, &config).await.unwrap().ok().unwrap();
    }
}

#[tokio::test]
async fn drift_and_a_change_update_a_fleet_in_place_and_a_name_replaces_it() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_fleet").unwrap();
    let lines = json!({ "objects": ["Sidecar bookinfo/ratings is missing"] });
    let calm = json!({ "objects": [] });
    for (drift, after, action) in [
        (&calm, full(), Action::NoOp),
        (&lines, full(), Action::Update),
        (&calm, with(full(), "/group", Json::Null), Action::Update),
        (&calm, with(full(), "/name", json!("b")), Action::Replace),
    ] {
        let mut object = full();
        object["id"] = json!("bookinfo/ratings");
        object["drift"] = drift.clone();
        let prior = State {
            value: resource.upgrade(0, &object).await.unwrap().ok().unwrap(),
            private: vec![],
            identity: None,
            tainted: false,
        };
        let plan = resource.plan(Some(&prior), &after).await.unwrap();
        assert_eq!(plan.ok().unwrap().action, action, "{drift} {after}");
    }
}

/// A member as most users write it.
fn member() -> Json {
    let alone = with(usual(), "/services", Json::Null);
    let mut member = with(alone, "/sidecar", Json::Null);
    member["fleet"] = json!("bookinfo/ratings");
    member
}

#[tokio::test]
async fn another_fleet_bootstraps_the_vm_again_since_its_proxy_carries_the_label() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &member(), &none()).await;
    let after = with(member(), "/fleet", json!("bookinfo/reviews"));
    let plan = resource.plan(Some(&prior), &after).await.unwrap();
    let plan = plan.ok().unwrap();
    assert_eq!(plan.action, Action::Update);
    assert_eq!(
        plan.planned.to_json()["last_bootstrap_reasons"],
        json!(["fleet: bookinfo/ratings -> bookinfo/reviews"])
    );
}

#[tokio::test]
async fn a_member_that_declares_services_or_a_sidecar_is_refused_at_both_paths() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let mut config = usual();
    config["fleet"] = json!("bookinfo/ratings");
    let reported = resource.validate(&config).await.unwrap().diagnostics;
    let lines: String = reported
        .iter()
        .map(|reported| format!("{reported}\n"))
        .collect();
    expect_test::expect![[r#"
        Error: Invalid workload at services: services and fleet are both set, but a member uses the services of its fleet bookinfo/ratings. Move services to the mesh_vm_fleet, or remove fleet.

        [fleet-declares] docs/guides/troubleshooting.md#fleet-declares
        Error: Invalid workload at sidecar: sidecar and fleet are both set, but a member uses the sidecar of its fleet bookinfo/ratings. Move sidecar to the mesh_vm_fleet, or remove fleet.

        [fleet-declares] docs/guides/troubleshooting.md#fleet-declares
    "#]].assert_eq(&lines);
    let unknown = with(config, "/fleet", json!(UNKNOWN));
    let reported = resource.validate(&unknown).await.unwrap().diagnostics;
    assert!(reported.is_empty(), "{reported:?}");
}
