//! The mark of a withdrawn entry, and what a create makes of it.

use std::time::Duration;

use mesh::render::render;
use mesh::withdrawal::{DEAD, Operation, Place, Withdrawal, is_withdrawn, place};
use serde_json::{Value, json};

use crate::sample::{facts, p, workload};

fn mark(by: Operation) -> Withdrawal {
    Withdrawal {
        by: Some(by),
        run: "3f".into(),
        renewal: 2,
        leaves: None,
    }
}

fn entry(mark: &str) -> Value {
    json!({ "metadata": { "annotations": { "mesh.vm/withdrawn": mark } } })
}

#[test]
fn a_mark_is_read_as_it_was_written() {
    for by in [Operation::Create, Operation::Bootstrap, Operation::Destroy] {
        let mark = mark(by);
        let seen = Withdrawal::of(&entry(&mark.to_string())).unwrap();
        assert_eq!(seen, mark);
        assert!(mark.renewed().is_on(&entry(&mark.to_string())));
    }
    assert_eq!(
        mark(Operation::Create).renewed().to_string(),
        "by=create run=3f renewal=3"
    );
    assert_eq!(Withdrawal::of(&json!({})), None);
}

#[test]
fn a_mark_names_the_fleet_that_the_entry_leaves() {
    let member = |fleet: &str, mark: &str| {
        let mut entry = entry(mark);
        entry["spec"]["labels"] = json!({ "mesh.vm/fleet": fleet });
        entry
    };
    let leaves = |before: &Value, fleet: Option<&str>| {
        let fleet = fleet.map(|name| p(&format!("bookinfo/{name}")));
        let mark = mark(Operation::Bootstrap).leaving(Some(before), fleet.as_ref());
        let written = entry(&mark.renewed().to_string());
        Withdrawal::of(&written).unwrap().leaves
    };
    let of_ratings = member("ratings", "");
    assert_eq!(leaves(&of_ratings, Some("ratings")), None);
    assert_eq!(leaves(&of_ratings, Some("reviews")), Some(p("ratings")));
    assert_eq!(leaves(&of_ratings, None), Some(p("ratings")));
    assert_eq!(leaves(&json!({}), Some("reviews")), None);
    // A run that was killed has written the new fleet already.
    let halfway = member("reviews", "by=bootstrap run=1 leaves=ratings");
    assert_eq!(leaves(&halfway, Some("reviews")), Some(p("ratings")));
}

#[test]
fn a_mark_of_a_later_version_is_read_as_far_as_it_is_known() {
    let seen = Withdrawal::of(&entry("turn=7 by=rollout run=4a renewal=many")).unwrap();
    let expected = Withdrawal {
        by: None,
        run: "4a".into(),
        renewal: 0,
        leaves: None,
    };
    assert_eq!(seen, expected);
    assert!(is_withdrawn(&entry("")), "whatever it says");
}

/// A released version wrote `true`.
#[test]
fn a_mark_without_a_run_is_a_creates_if_the_entry_was_not_written_since_its_creation() {
    let of = |applied: &str| {
        let mut entry = entry("true");
        entry["metadata"]["creationTimestamp"] = json!("2026-01-01T10:00:00Z");
        entry["metadata"]["managedFields"] = json!([
            { "manager": "pilot-discovery", "operation": "Update", "time": "2026-01-01T10:00:30Z" },
            { "manager": "terraform-provider-mesh", "operation": "Apply", "time": applied },
        ]);
        entry
    };
    let by = |applied| Withdrawal::of(&of(applied)).unwrap().by;
    assert_eq!(by("2026-01-01T10:00:00Z"), Some(Operation::Create));
    assert_eq!(by("2026-01-01T10:00:01Z"), Some(Operation::Create));
    assert_eq!(by("2026-01-01T10:00:09Z"), None);
    let seen = Withdrawal::of(&entry("true")).unwrap();
    assert_eq!((seen.by, seen.to_string().as_str()), (None, "true"));
    assert!(!seen.is_on(&entry("true")), "nobody knows whose it is");
}

fn withdrawn(by: Operation) -> Value {
    let desired = render(&workload(), &facts()).unwrap();
    desired.withdrawn(&mark(by)).swap_remove(0).body
}

#[test]
fn a_create_takes_up_only_what_a_dead_create_of_the_same_vm_left() {
    let left = withdrawn(Operation::Create);
    let with = |change: fn(&mut Value)| {
        let mut seen = left.clone();
        change(&mut seen);
        place(&workload(), Some(&seen), DEAD)
    };
    assert_eq!(with(|_| {}), Place::Free);
    assert_eq!(place(&workload(), None, Duration::ZERO), Place::Free);
    let finished = render(&workload(), &facts()).unwrap().entry.body;
    assert_eq!(place(&workload(), Some(&finished), DEAD), Place::Taken);
    let elsewhere = with(|seen| seen["spec"]["address"] = json!("10.9.9.9"));
    assert_eq!(elsewhere, Place::Taken);
    let unlabelled = with(|seen| seen["metadata"]["labels"] = json!({}));
    assert_eq!(unlabelled, Place::Taken);
    for by in [Operation::Bootstrap, Operation::Destroy] {
        let left = withdrawn(by);
        assert_eq!(place(&workload(), Some(&left), DEAD), Place::Taken, "{by}");
    }
}

#[test]
fn a_create_waits_for_a_run_that_may_live() {
    let silent = DEAD.checked_sub(Duration::from_secs(1)).unwrap();
    for by in [Operation::Create, Operation::Bootstrap, Operation::Destroy] {
        let seen = withdrawn(by);
        assert_eq!(
            place(&workload(), Some(&seen), silent),
            Place::Held(mark(by))
        );
    }
}

/// With a health check, a final entry has the same annotation of Istio's as a withdrawn one.
#[test]
fn an_entry_with_a_health_check_is_not_withdrawn() {
    let mut checked = workload();
    checked.health_check = Some(mesh::health::HealthCheck {
        methods: vec![mesh::health::Probe::Exec(vec!["/bin/true".into()])],
        ..mesh::health::HealthCheck::default()
    });
    let desired = render(&checked, &facts()).unwrap();
    let annotations = &desired.entry.body["metadata"]["annotations"];
    assert_eq!(annotations["proxy.istio.io/health-checks-enabled"], "true");
    assert_eq!(
        place(&checked, Some(&desired.entry.body), DEAD),
        Place::Taken
    );
}

/// What others changed in the meantime stays.
#[test]
fn a_restored_entry_takes_back_only_the_mark() {
    const CHECKED: &str = "proxy.istio.io/health-checks-enabled";
    let entry = |annotations: &Value, address: &str| json!({ "metadata": { "annotations": annotations }, "spec": { "address": address } });
    let before = entry(&json!({ CHECKED: "false", "team": "a" }), "10.0.0.1");
    let marked = json!({ CHECKED: "true", "team": "b", "mesh.vm/withdrawn": mark(Operation::Bootstrap).to_string() });
    let restored = |before: &Value| {
        mesh::objects::restored(&p("bookinfo/a"), &entry(&marked, "10.0.0.2"), before).body
    };
    let expected = json!({ CHECKED: "false", "team": "b" });
    assert_eq!(restored(&before)["metadata"]["annotations"], expected);
    assert_eq!(restored(&before)["spec"]["address"], "10.0.0.2");
    let by_another = entry(&json!({ "mesh.vm/withdrawn": "true" }), "10.0.0.1");
    let expected = json!({ "team": "b", "mesh.vm/withdrawn": "true" });
    assert_eq!(restored(&by_another)["metadata"]["annotations"], expected);
}
