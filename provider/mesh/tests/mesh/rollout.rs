use mesh::names::Id;
use mesh::rollout::{MaxUnavailable, OnFailure, Rollout, Turn, turn};
use serde_json::{Value, json};

use crate::sample::p;

#[test]
fn a_limit_is_a_number_from_1_or_a_percentage() {
    for good in ["1", "2", "4000000000", "1%", "50%", "100%"] {
        assert_eq!(p::<MaxUnavailable>(good).to_string(), good);
    }
    for bad in [
        "",
        "0",
        "-1",
        "+1",
        "1.5",
        "0%",
        "101%",
        "-5%",
        "%",
        "x",
        "1 %",
        "5000000000",
    ] {
        let error = bad.parse::<MaxUnavailable>().unwrap_err().to_string();
        assert!(error.contains(&format!("got {bad:?}")), "{error}");
        assert!(error.contains("from 1"), "{error}");
    }
}

#[test]
fn a_percentage_is_rounded_down_but_at_least_1() {
    let of = |limit: &str, members| p::<MaxUnavailable>(limit).of(members);
    assert_eq!(of("50%", 4), 2);
    assert_eq!(of("50%", 5), 2);
    assert_eq!(of("25%", 3), 1);
    assert_eq!(of("1%", 0), 1);
    assert_eq!(of("33%", 1000), 330);
    assert_eq!(of("100%", 7), 7);
    assert_eq!(of("9", 4), 9);
}

#[test]
fn a_lease_says_how_a_fleet_rolls_and_where_it_does_not_the_defaults_hold() {
    let default = Rollout::default();
    assert_eq!(default.max_unavailable, MaxUnavailable::Count(1));
    assert_eq!(default.on_failure, OnFailure::Stop);
    let lease = |annotations: Value| json!({ "metadata": { "annotations": annotations } });
    assert_eq!(Rollout::of(None), default);
    assert_eq!(Rollout::of(Some(&lease(Value::Null))), default);
    let edited = lease(json!({ "mesh.vm/max-unavailable": "all", "mesh.vm/on-failure": 3 }));
    assert_eq!(Rollout::of(Some(&edited)), default);
    let two = lease(json!({ "mesh.vm/max-unavailable": "2", "mesh.vm/on-failure": "continue" }));
    let declared = Rollout {
        max_unavailable: MaxUnavailable::Count(2),
        on_failure: OnFailure::Continue,
    };
    assert_eq!(Rollout::declared(Some(&two)), Some(declared));
    assert_eq!(Rollout::declared(Some(&lease(json!({ "a": "b" })))), None);
}

/// An entry of the fleet `ratings` that takes traffic. `number` is its name and the end of its address.
fn entry(number: u8) -> (Id, Value) {
    let entry = json!({
        "metadata": { "annotations": { "istio.io/connectedAt": "2026-11-30T10:00:00Z" } },
        "spec": { "address": format!("10.0.0.{number}"), "labels": { "mesh.vm/fleet": "ratings" } },
    });
    (p(&format!("bookinfo/vm-{number}")), entry)
}

fn with(number: u8, key: &str, value: &str) -> (Id, Value) {
    let (id, mut entry) = entry(number);
    entry["metadata"]["annotations"][key] = json!(value);
    (id, entry)
}

fn withdrawn(number: u8, by: &str) -> (Id, Value) {
    with(
        number,
        "mesh.vm/withdrawn",
        &format!("by={by} run=r renewal=0"),
    )
}

fn probed(number: u8, healthy: Option<&str>) -> (Id, Value) {
    let (id, mut entry) = with(number, "proxy.istio.io/health-checks-enabled", "true");
    if let Some(status) = healthy {
        entry["status"]["conditions"] = json!([{ "type": "Healthy", "status": status }]);
    }
    (id, entry)
}

/// Decides for `vm-1`, and returns what it may do as text.
fn decided(limit: &str, entries: &[(Id, Value)]) -> String {
    of(limit, &["bookinfo/vm-1"], entries)
}

fn of(limit: &str, own: &[&str], entries: &[(Id, Value)]) -> String {
    let rollout = Rollout {
        max_unavailable: p(limit),
        on_failure: OnFailure::Stop,
    };
    let own: Vec<_> = own.iter().map(|id| p(id)).collect();
    match turn(rollout, &p("bookinfo/ratings"), &own, entries) {
        Turn::Free => "free".into(),
        Turn::Granted => "granted".into(),
        Turn::Waits(waited) => {
            let waited = waited.iter();
            let texts: Vec<_> = waited
                .map(|of| format!("{} {}", of.id.name, of.absence))
                .collect();
            texts.join(", ")
        }
    }
}

#[test]
fn a_member_waits_for_each_sort_of_member_without_traffic() {
    assert_eq!(decided("1", &[entry(1), entry(2)]), "granted");
    let mut unnamed = with(2, "mesh.vm/withdrawn", "true");
    unnamed.1["metadata"]["creationTimestamp"] = json!("2026-11-30T10:00:00Z");
    let mut deleted = entry(2);
    deleted.1["metadata"]["deletionTimestamp"] = json!("2026-11-30T10:00:00Z");
    let others = [
        (withdrawn(2, "bootstrap"), "vm-2 withdrawn by a bootstrap"),
        (withdrawn(2, "destroy"), "vm-2 withdrawn by a destroy"),
        (unnamed, "vm-2 withdrawn"),
        (deleted, "vm-2 being deleted"),
        (with(2, "istio.io/disconnectedAt", "t"), "vm-2 disconnected"),
        (probed(2, Some("False")), "vm-2 unhealthy"),
        (probed(2, None), "vm-2 unhealthy"),
    ];
    for (other, expected) in others {
        let entries = [entry(1), other, entry(3)];
        assert_eq!(decided("1", &entries), expected);
        assert_eq!(decided("2", &entries), "granted", "{expected}");
    }
}

#[test]
fn a_member_waits_for_no_first_join_and_for_none_that_istiod_never_mentioned() {
    assert_eq!(decided("1", &[entry(1), withdrawn(2, "create")]), "granted");
    let mut silent = probed(2, None);
    silent.1["metadata"]["annotations"]["istio.io/connectedAt"] = Value::Null;
    assert_eq!(decided("1", &[entry(1), silent]), "granted");
    assert_eq!(
        decided("1", &[entry(1), probed(2, Some("True"))]),
        "granted"
    );
    // Without a health check, istiod ignores what an earlier one has left.
    let mut unprobed = probed(2, Some("False"));
    unprobed.1["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"] = Value::Null;
    assert_eq!(decided("1", &[entry(1), unprobed]), "granted");
}

#[test]
fn a_percentage_is_one_of_all_members_but_first_joins() {
    let broken = [
        withdrawn(2, "bootstrap"),
        with(3, "istio.io/disconnectedAt", "t"),
    ];
    let four = [&[entry(1), entry(4)][..], &broken[..1]].concat();
    // Half of three is one.
    assert_eq!(decided("50%", &four), "vm-2 withdrawn by a bootstrap");
    let joining = [&four[..], &[withdrawn(5, "create")]].concat();
    assert_eq!(decided("50%", &joining), "vm-2 withdrawn by a bootstrap");
    let more = [&four[..], &[entry(5)]].concat();
    assert_eq!(decided("50%", &more), "granted");
    let all = [&[entry(1), entry(4)][..], &broken].concat();
    assert_eq!(
        decided("50%", &all),
        "vm-2 withdrawn by a bootstrap, vm-3 disconnected"
    );
}

#[test]
fn a_member_that_has_no_traffic_to_lose_never_waits() {
    let other = withdrawn(2, "bootstrap");
    for own in [
        withdrawn(1, "bootstrap"),
        withdrawn(1, "create"),
        with(1, "istio.io/disconnectedAt", "t"),
        probed(1, Some("False")),
    ] {
        assert_eq!(decided("1", &[own, other.clone()]), "free");
    }
    assert_eq!(decided("1", &[other]), "free");
}

#[test]
fn members_of_other_fleets_and_entries_of_no_fleet_do_not_count() {
    let mut others = [withdrawn(2, "bootstrap"), withdrawn(3, "bootstrap")];
    others[0].1["spec"]["labels"]["mesh.vm/fleet"] = json!("reviews");
    others[1].1["spec"]["labels"] = Value::Null;
    assert_eq!(
        decided("1", &[&[entry(1)][..], &others].concat()),
        "granted"
    );
}

/// Its entry is written as a member of the new fleet before the bootstrap begins.
#[test]
fn a_member_that_moves_counts_in_the_fleet_that_it_leaves() {
    for label in [json!("reviews"), Value::Null] {
        let mut moved = withdrawn(2, "bootstrap");
        moved.1["spec"]["labels"]["mesh.vm/fleet"] = label;
        let mark = &mut moved.1["metadata"]["annotations"]["mesh.vm/withdrawn"];
        *mark = json!("by=bootstrap run=3f renewal=0 leaves=ratings");
        let all = [entry(1), moved];
        assert_eq!(decided("1", &all), "vm-2 withdrawn by a bootstrap");
    }
}

/// `new-1` takes the VM of `vm-1` over.
#[test]
fn a_vm_that_is_taken_over_counts_once_and_until_its_new_entry_takes_traffic() {
    let take_over =
        |number: u8, entry: (Id, Value)| (p(&format!("bookinfo/new-{number}")), entry.1);
    let own = ["bookinfo/new-1", "bookinfo/vm-1"];
    let busy = [
        entry(1),
        withdrawn(2, "bootstrap"),
        take_over(2, withdrawn(2, "create")),
    ];
    assert_eq!(of("1", &own, &busy), "vm-2 withdrawn by a bootstrap");
    let mut done = [entry(1), withdrawn(2, "bootstrap"), take_over(2, entry(2))];
    assert_eq!(of("1", &own, &done), "granted");
    // Also in another fleet, or in none.
    done[2].1["spec"]["labels"] = Value::Null;
    assert_eq!(of("1", &own, &done), "granted");
}
