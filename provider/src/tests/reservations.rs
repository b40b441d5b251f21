//! What the operations of one process may not do at the same time.

use mesh::names::Id;
use mesh::reserved::Reserved;
use mesh::workload::Workload;
use plugin::Diagnostics;

use crate::reservations::{Reservation, Reservations};

fn wanted(name: &str, address: &str) -> Reserved {
    let id = format!("bookinfo/{name}").parse().unwrap();
    let workload = Workload {
        address: Some(address.parse().unwrap()),
        ..Workload::bare(id, "ratings".parse().unwrap())
    };
    Reserved::of_workload(&workload)
}

fn refused(result: Result<Reservation<'_>, Diagnostics>) -> String {
    let Err(diagnostics) = result else {
        return String::new();
    };
    let texts = diagnostics.into_iter().map(|one| one.detail);
    texts.collect()
}

#[test]
fn a_second_create_of_an_id_names_the_first_and_one_after_a_failure_does_not() {
    let process = Reservations::default();
    let first = process.reserve_new(wanted("a", "10.0.0.1")).unwrap();
    let text = refused(process.reserve_new(wanted("a", "10.0.0.2")));
    assert!(
        text.contains("bookinfo/a already, with the address 10.0.0.1"),
        "{text}"
    );
    drop(first);
    process.reserve_new(wanted("a", "10.0.0.2")).unwrap().keep();
    let text = refused(process.reserve_new(wanted("b", "10.0.0.2")));
    assert!(
        text.contains("workload bookinfo/a of the same apply"),
        "{text}"
    );
}

#[test]
fn an_update_moves_what_it_has_reserved_and_a_destroy_gives_it_back() {
    let process = Reservations::default();
    process.reserve(wanted("a", "10.0.0.1")).unwrap().keep();
    assert_ne!(refused(process.reserve(wanted("b", "10.0.0.1"))), "");
    process.reserve(wanted("a", "10.0.0.2")).unwrap().keep();
    process.reserve(wanted("b", "10.0.0.1")).unwrap().keep();
    process.give_back(&wanted("a", "10.0.0.2"));
    process.reserve_new(wanted("a", "10.0.0.2")).unwrap().keep();
}

#[test]
fn a_create_that_waits_for_a_destroy_keeps_what_it_has_reserved() {
    let process = Reservations::default();
    let waiting = process.reserve_new(wanted("a", "10.0.0.1")).unwrap();
    process.give_back(&wanted("a", "10.0.0.1"));
    assert_ne!(refused(process.reserve_new(wanted("a", "10.0.0.2"))), "");
    assert_ne!(refused(process.reserve(wanted("b", "10.0.0.1"))), "");
    drop(waiting);
    process.reserve(wanted("b", "10.0.0.1")).unwrap().keep();
}

#[test]
fn a_destroy_finds_who_takes_its_vm_over_until_that_fails() {
    let process = Reservations::default();
    let own = wanted("old", "10.0.0.1");
    let others = [
        process.reserve(own.clone()).unwrap(),
        process.reserve(wanted("b", "10.0.0.2")).unwrap(),
    ];
    assert_eq!(process.taker(&own), None);
    drop(others);
    let id: Id = "bookinfo/new".parse().unwrap();
    let taker = process.reserve_new(wanted("new", "10.0.0.1")).unwrap();
    assert_eq!(process.taker(&own), Some((id.clone(), false)));
    drop(taker);
    assert_eq!(process.taker(&own), None);
    process
        .reserve_new(wanted("new", "10.0.0.1"))
        .unwrap()
        .keep();
    assert_eq!(process.taker(&own), Some((id, true)));
}

#[test]
fn a_destroy_is_under_way_until_the_last_one_ends() {
    let (process, id) = (Reservations::default(), "bookinfo/a".parse::<Id>().unwrap());
    let (first, second) = (process.begin_destroy(&id), process.begin_destroy(&id));
    drop(first);
    assert!(process.is_being_destroyed(&id));
    drop(second);
    assert!(!process.is_being_destroyed(&id));
}
