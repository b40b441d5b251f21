//! What stays known at plan, proven against what an apply would find: every attribute of the input with every output.

use std::collections::{BTreeMap, BTreeSet};

use contract::Value;
use mesh::change::Drift;
use mesh::desired::Owner;
use mesh::drift::Finding;
use mesh::names::Id;
use mesh::observed::{ObservedVm, SeenRuntime, UnitState};
use mesh::workload::{Runtime, Workload};
use plugin::{Object, Value as Output};
use serde_json::{Value as Json, json};

use super::rules::{attribute_path, facts, others, rendered, rule, sample};
use super::{full, none, provider, state, usual, with};
use crate::rule::{BOOTSTRAP, REPLACE};
use crate::workload::input::WorkloadInput;
use crate::workload::output::{MADE_OF, WorkloadOutput};
use crate::workload::plan::drift_output;
use crate::workload::{facts as mesh_facts, findings};

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
    let client = provider(&json!({})).await;
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
                "spiffe_id" => bundle.identity.to_string(),
                "control_plane" => bundle.control_plane.clone(),
                "revision" => facts().revision,
                "cluster_id" => facts().cluster_id,
                "trust_domain" => facts().trust_domain,
                _ if is_unknown => continue,
                _ => prior.value[name].to_json().as_str().unwrap().to_owned(),
            };
            assert_eq!(planned[name].to_json(), json!(written), "{at}: {name}");
        }
    }
}

/// Returns the outputs that a plan does not know.
async fn unknown(config: Json, lines: &[&str], after: Json) -> Vec<&'static str> {
    let client = provider(&json!({})).await;
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
    ("the proxy has no WorkloadEntry a/b to report to", &[]),
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
    let client = provider(&json!({})).await;
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
    let client = provider(&json!({})).await;
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

fn fact(name: &str) -> WorkloadOutput {
    WorkloadOutput {
        cluster_id: Output::Known(name.into()),
        ..WorkloadOutput::default()
    }
}

#[test]
fn a_fact_that_is_another_one_is_a_line_until_it_is_that_of_the_output() {
    const UNIT: &str = "proxy: the unit istio is missing";
    let (east, west) = (fact("east"), fact("west"));
    let mut lines: Vec<Finding> = vec!["mesh: cluster_id 'a' -> 'b'".into(), UNIT.into()];
    for _ in 0..2 {
        mesh_facts::note(&mut lines, &east, &west);
        let line = "mesh: cluster_id is 'east', should be 'west'";
        assert_eq!(lines, [line.into(), UNIT.into()]);
    }
    mesh_facts::note(&mut lines, &west, &west);
    assert_eq!(lines, [Finding::from(UNIT)]);
}

#[test]
fn a_fact_that_is_another_one_makes_no_vm_one_that_was_changed() {
    let mut output = fact("east");
    output.drift = drift_output(&Drift {
        objects: vec![],
        vm: mesh_facts::drift(&output, &fact("west")),
    });
    assert!(!findings::is_touched(&output));
}

/// A look at a VM whose proxy has a version.
pub(super) fn seen(machine: &str, owner: &str, version: &str) -> ObservedVm {
    ObservedVm {
        machine_id: machine.into(),
        owner: Some(Owner {
            uid: "u".into(),
            id: owner.parse().unwrap(),
        }),
        files: BTreeMap::new(),
        changed: vec![],
        hosts_lines: vec![],
        runtime: SeenRuntime {
            kind: Runtime::Systemd,
            image: None,
            unit: UnitState::default(),
            version: Some(version.into()),
            ready: true,
        },
        certificate: None,
        jumps: vec![],
        lost_jumps: vec![],
        unfinished: None,
    }
}

/// Another version than the chosen one is drift, so that the state keeps what it is held against.
#[test]
fn the_version_is_the_one_on_the_vm_where_none_is_chosen() {
    let output = WorkloadOutput {
        machine_id: Output::Known("4711".into()),
        proxy_version: Output::Known("1.30.0".into()),
        ..WorkloadOutput::default()
    };
    let any: Id = "bookinfo/ratings".parse().unwrap();
    let any = Workload::bare(any, "default".parse().unwrap());
    let mut chosen = any.clone();
    chosen.proxy.version = Some("1.30.0".parse().unwrap());
    let own = "bookinfo/ratings";
    for (workload, vm, wanted) in [
        (&any, Some(seen("4711", own, "1.31.0")), "1.31.0"),
        (&chosen, Some(seen("4711", own, "1.31.0")), "1.30.0"),
        (&any, Some(seen("4712", own, "1.31.0")), "1.30.0"),
        (
            &any,
            Some(seen("4711", "bookinfo/other", "1.31.0")),
            "1.30.0",
        ),
        (&any, None, "1.30.0"),
    ] {
        let version = findings::version(&output, workload, vm.as_ref());
        assert_eq!(version, Output::Known(wanted.into()), "{vm:?}");
    }
}
