//! What stays known at plan, proven against what an apply would find: every attribute of the input with every output.

use std::collections::BTreeSet;

use contract::Value;
use plugin::Object;
use serde_json::{Value as Json, json};

use super::rules::{attribute_path, facts, others, rendered, rule, sample};
use super::{block, full, none, provider, state, usual, with};
use crate::rule::{BOOTSTRAP, REPLACE};
use crate::workload::input::WorkloadInput;
use crate::workload::output::{MADE_OF, WorkloadOutput};

/// What each bootstrap writes again.
const WRITTEN: [&str; 2] = ["bundle_digest", "bootstrapped_at"];
/// Attributes after whose change another machine may answer.
const OTHER_MACHINE: [&str; 3] = ["address", "triggers", "ssh.host"];
/// Attributes after whose change another proxy may run.
const OTHER_PROXY: [&str; 6] = [
    "proxy.runtime",
    "proxy.image",
    "proxy.pull_policy",
    "proxy.install.url",
    "proxy.install.sha256",
    "proxy.version",
];

#[test]
fn it_is_declared_of_each_output_what_it_is_made_of() {
    let outputs = <WorkloadOutput as Object>::attributes();
    let outputs: Vec<&str> = outputs.iter().map(|attribute| attribute.name).collect();
    assert_eq!(MADE_OF.map(|(name, _)| name).to_vec(), outputs);
}

/// An output that a plan knows is the one that an apply writes, and what a change does not touch is known.
#[tokio::test]
async fn an_output_is_unknown_if_and_only_if_a_change_touches_what_it_is_made_of() {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let attributes = <WorkloadInput as Object>::attributes();
    for (pointer, other) in others() {
        let before = sample(pointer);
        let after = with(before.clone(), pointer, other);
        let at = attribute_path(&attributes, pointer);
        let rule = rule(&attributes, pointer);
        if rule == REPLACE {
            continue;
        }
        let prior = state(&resource, &before, &none()).await;
        let plan = resource.plan(Some(&prior), &after).await.unwrap();
        let planned = plan.ok().unwrap().planned;
        let bundle = rendered(&after).bundle;
        assert_eq!(bundle.identity.trust_domain, facts().trust_domain);
        let bootstraps = rule.rank == BOOTSTRAP.rank;
        for (name, _) in MADE_OF {
            let carried = after["ssh"].is_null() && ["machine_id", "proxy_version"].contains(&name);
            let is_unknown = match name {
                "last_bootstrap_reasons" | "drift" => continue,
                _ if carried && bootstraps => {
                    assert_eq!(planned[name], Value::Null, "{at}: {name}");
                    continue;
                }
                _ if WRITTEN.contains(&name) => bootstraps,
                "machine_id" => OTHER_MACHINE.contains(&at.as_str()),
                "proxy_version" => [&OTHER_MACHINE[..], &OTHER_PROXY].concat().contains(&&*at),
                _ => false,
            };
            assert_eq!(!planned[name].is_known(), is_unknown, "{at}: {name}");
            let written = match name {
                "spiffe_id" => json!(bundle.identity.to_string()),
                "control_plane" => json!(bundle.control_plane),
                "revision" => json!(facts().revision),
                "cluster_id" => json!(facts().cluster_id),
                "trust_domain" => json!(facts().trust_domain),
                _ if is_unknown => continue,
                _ => prior.value[name].to_json(),
            };
            assert_eq!(planned[name].to_json(), written, "{at}: {name}");
        }
    }
}

/// Returns the outputs that a plan does not know.
async fn unknown(config: Json, lines: &[&str], after: Json) -> Vec<&'static str> {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let drift = json!({ "objects": [], "vm": lines });
    let prior = state(&resource, &config, &drift).await;
    let plan = resource.plan(Some(&prior), &after).await.unwrap();
    let planned = plan.ok().unwrap().planned;
    let names = MADE_OF.into_iter().map(|(name, _)| name);
    names.filter(|name| !planned[*name].is_known()).collect()
}

/// Lines of drift, each with the outputs that it makes unknown besides what each bootstrap writes.
const ABOUT: [(&str, &[&str]); 18] = [
    (
        "mesh: revision is 'default', should be 'canary'",
        &["revision"],
    ),
    (
        "mesh: cluster_id is 'Kubernetes', should be 'east'",
        &["cluster_id"],
    ),
    (
        "mesh: trust_domain 'cluster.local' -> 'a.b'",
        &["spiffe_id", "trust_domain"],
    ),
    ("mesh: control_plane 'a:1' -> 'b:2'", &["control_plane"]),
    (
        "mesh: /etc/hosts: istiod's line is missing, should be 'a'",
        &[],
    ),
    ("files: /etc/istio/config/mesh: content differs", &[]),
    ("configuration: labels.version was changed", &[]),
    (
        "configuration: proxy.version was changed",
        &["proxy_version"],
    ),
    (
        "machine: triggers.vm was changed",
        &["machine_id", "proxy_version"],
    ),
    (
        "machine: another machine: its id is b, it was a",
        &["machine_id", "proxy_version"],
    ),
    (
        "machine: the proxy was bootstrapped for an earlier WorkloadEntry a/b",
        &[],
    ),
    (
        "proxy: package istio-sidecar is '1', should be '2'",
        &["proxy_version"],
    ),
    ("proxy: the unit istio is missing", &["proxy_version"]),
    (
        "proxy: the unit istio is 'inactive', should be 'active'",
        &[],
    ),
    ("proxy: no rules intercept traffic, and they should", &[]),
    (
        "certificate: the workload's certificate expired at 2030-01-01T00:00:00Z",
        &[],
    ),
    (
        "the proxy has no WorkloadEntry a/b to report to",
        &["entry_uid"],
    ),
    (
        "the bootstrap was not finished",
        &[
            "spiffe_id",
            "machine_id",
            "proxy_version",
            "revision",
            "cluster_id",
            "trust_domain",
            "control_plane",
        ],
    ),
];

#[tokio::test]
async fn a_line_of_drift_makes_unknown_what_it_is_about() {
    for (line, more) in ABOUT {
        let found: BTreeSet<&str> = unknown(usual(), &[line], usual())
            .await
            .into_iter()
            .collect();
        let wanted = WRITTEN.iter().chain(more).copied().collect::<BTreeSet<_>>();
        assert_eq!(found, wanted, "{line}");
    }
}

#[tokio::test]
async fn what_no_bootstrap_has_written_yet_is_unknown() {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let mut prior = full();
    for (name, _) in MADE_OF {
        prior[name] = Json::Null;
    }
    let prior = contract::State {
        value: resource.upgrade(0, &prior).await.unwrap().ok().unwrap(),
        private: vec![],
        identity: None,
        tainted: false,
    };
    let after = with(full(), "/labels/version", json!("v2"));
    let plan = resource.plan(Some(&prior), &after).await.unwrap();
    let planned = plan.ok().unwrap().planned;
    for name in ["machine_id", "proxy_version", "trust_domain", "spiffe_id"] {
        assert!(!planned[name].is_known(), "{name}");
    }
}

#[tokio::test]
async fn another_service_account_is_in_the_planned_spiffe_id() {
    let client = provider(&block()).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let prior = state(&resource, &full(), &none()).await;
    for (account, wanted) in [
        (
            json!("reviews"),
            json!("spiffe://cluster.local/ns/bookinfo/sa/reviews"),
        ),
        (
            Json::Null,
            json!("spiffe://cluster.local/ns/bookinfo/sa/default"),
        ),
        (json!(contract::UNKNOWN), json!(contract::UNKNOWN)),
    ] {
        let after = with(full(), "/service_account", account);
        let plan = resource.plan(Some(&prior), &after).await.unwrap();
        let planned = plan.ok().unwrap().planned.to_json();
        assert_eq!(planned["spiffe_id"], wanted);
    }
}

/// A state of an earlier version has no UIDs: an apply finds out that of the entry, and the refresh after it the other.
#[tokio::test]
async fn the_uid_of_an_entry_is_unknown_where_an_apply_finds_it_out() {
    let client = provider(&json!({})).await;
    let resource = client.resource("mesh_vm_workload").unwrap();
    let missing = ["WorkloadEntry bookinfo/ratings-vm-1 is missing"];
    let earlier = |mut state: contract::State| {
        if let Value::Map(values) = &mut state.value {
            for name in ["namespace_uid", "entry_uid"] {
                values.insert(name.to_owned(), Value::Null);
            }
        }
        state
    };
    let of = async |lines: &[&str]| {
        let drift = json!({ "objects": lines, "vm": [] });
        state(&resource, &usual(), &drift).await
    };
    let after = with(usual(), "/labels/version", json!("v2"));
    let cases = [
        (of(&[]).await, json!("5e1f"), json!("5f0c")),
        (of(&missing).await, json!("5e1f"), json!(contract::UNKNOWN)),
        (earlier(of(&[]).await), Json::Null, json!(contract::UNKNOWN)),
    ];
    for (prior, of_namespace, of_entry) in cases {
        let plan = resource.plan(Some(&prior), &after).await.unwrap();
        let planned = plan.ok().unwrap().planned.to_json();
        assert_eq!(planned["namespace_uid"], of_namespace);
        assert_eq!(planned["entry_uid"], of_entry);
    }
}
