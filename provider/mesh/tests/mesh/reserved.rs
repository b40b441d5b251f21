//! What one operation of an apply reserves against the others.

use mesh::fleet::Fleet;
use mesh::reserved::Reserved;
use mesh::workload::Workload;

use crate::sample::{p, service, workload};

fn named(id: &str, address: &str) -> Workload {
    Workload {
        id: p(id),
        address: Some(p(address)),
        ..workload()
    }
}

/// Returns where the second of two conflicts with the first, and by which rule.
fn conflicts(first: &Workload, second: &Workload) -> Vec<(String, &'static str)> {
    let first = Reserved::of_workload(first);
    let problems = Reserved::of_workload(second).conflicts(&first);
    let of = problems
        .into_iter()
        .map(|mut of| (of.concerns.swap_remove(0), of.rule.name()));
    of.collect()
}

#[test]
fn one_address_in_one_apply_is_a_conflict_unless_the_network_distinguishes_it() {
    let first = named("bookinfo/a", "203.0.113.7");
    let address = [("address".to_owned(), "address-taken")];
    assert_eq!(
        conflicts(&first, &named("bookinfo/b", "203.0.113.7")),
        address
    );
    assert_eq!(conflicts(&first, &named("bookinfo/b", "203.0.113.8")), []);
    assert_eq!(conflicts(&first, &named("other/b", "203.0.113.7")), address);
    let mut elsewhere = named("other/b", "203.0.113.7");
    elsewhere.network = Some(p("vms"));
    assert_eq!(conflicts(&first, &elsewhere), []);
    elsewhere.id = p("bookinfo/b");
    assert_eq!(
        conflicts(&first, &elsewhere),
        address,
        "istiod ignores it within a namespace"
    );
}

#[test]
fn the_address_of_one_is_no_interface_of_another() {
    let (mut first, mut second) = (
        named("bookinfo/a", "10.0.0.1"),
        named("bookinfo/b", "203.0.113.8"),
    );
    second.instance_ip = Some(p("10.0.0.1"));
    assert_eq!(
        conflicts(&first, &second),
        [("instance_ip".to_owned(), "address-taken")]
    );
    assert_eq!(
        conflicts(&second, &first),
        [("address".to_owned(), "address-taken")]
    );
    first.address = None;
    assert_eq!(conflicts(&first, &second), []);
}

#[test]
fn one_object_of_two_owners_is_a_conflict() {
    let mut first = named("bookinfo/a", "203.0.113.7");
    first.services = [(p("b-c"), service("x.vm", 80))].into();
    let mut second = named("bookinfo/a-b", "203.0.113.8");
    second.services = [(p("c"), service("y.vm", 80))].into();
    let taken = [("services.c".to_owned(), "service-entry-taken")];
    assert_eq!(conflicts(&first, &second), taken);
    second.id = p("other/a-b");
    assert_eq!(conflicts(&first, &second), [], "of another namespace");

    let fleet = Fleet {
        id: p("bookinfo/a-b"),
        services: [(p("c"), service("y.vm", 80))].into(),
        sidecar: None,
        group: None,
        rollout: None,
    };
    let problems = Reserved::of_fleet(&fleet).conflicts(&Reserved::of_workload(&first));
    assert_eq!(problems[0].rule.name(), "service-entry-taken");
    assert!(
        problems[0].text.contains("workload a"),
        "{}",
        problems[0].text
    );
}

#[test]
fn the_same_id_is_that_of_the_same_kind_and_namespace() {
    let one = Reserved::of_workload(&named("bookinfo/a", "10.0.0.1"));
    let again = Reserved::of_workload(&named("bookinfo/a", "10.0.0.2"));
    let elsewhere = Reserved::of_workload(&named("other/a", "10.0.0.1"));
    assert!(one.is_same(&again));
    assert!(!one.is_same(&elsewhere));
}
