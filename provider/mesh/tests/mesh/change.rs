use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use mesh::cause::Cause;
use mesh::change::{Drift, Edit, Effect, decide};

fn edit(at: &str, effect: Effect, text: Option<&str>) -> Edit {
    Edit {
        at: at.into(),
        effect,
        cause: match at {
            "ssh" => None,
            "triggers.vm" => Some(Cause::Machine),
            _ => Some(Cause::Configuration),
        },
        text: text.map(str::to_owned),
    }
}

fn check(edits: &[Edit], objects: &[&str], vm: &[&str], expected: &Expect) {
    let texts = |lines: &[&str]| lines.iter().map(|&line| line.into()).collect();
    let change = decide(
        edits,
        &Drift {
            objects: texts(objects),
            vm: texts(vm),
        },
        None,
    );
    let reasons = change
        .reasons
        .map_or("not known".to_owned(), |reasons| reasons.join("; "));
    expected.assert_eq(&format!("{:?}: {reasons}", change.effect));
}

#[test]
fn without_edits_and_drift_nothing_happens() {
    check(&[], &[], &[], &expect!["Nothing: "]);
}

#[test]
fn the_strongest_effect_wins_and_only_a_bootstrap_has_reasons() {
    let weight = edit("weight", Effect::Objects, Some("1 -> 2"));
    let label = edit("labels.version", Effect::Rebootstrap, Some("v1 -> v2"));
    check(
        std::slice::from_ref(&weight),
        &[],
        &[],
        &expect!["Objects: "],
    );
    check(
        &[label, weight],
        &[],
        &[],
        &expect!["Rebootstrap: labels.version: v1 -> v2"],
    );
}

#[test]
fn an_unknown_cause_makes_all_reasons_unknown_but_an_unknown_weight_does_not() {
    let label = edit("labels.version", Effect::Rebootstrap, Some("v1 -> v2"));
    let address = edit("address", Effect::Rebootstrap, None);
    check(
        &[label.clone(), address],
        &[],
        &[],
        &expect!["Rebootstrap: not known"],
    );
    let weight = edit("weight", Effect::Objects, None);
    check(
        &[label, weight],
        &[],
        &[],
        &expect!["Rebootstrap: labels.version: v1 -> v2"],
    );
}

#[test]
fn the_side_of_the_drift_decides_the_repair() {
    check(&[], &["weight"], &[], &expect!["Objects: "]);
    check(
        &[],
        &["weight"],
        &["unit"],
        &expect!["Rebootstrap: drift: unit"],
    );
}

/// Checks the effect, the reasons and the held findings if only some causes may re-bootstrap.
fn check_held(on: &[Cause], edits: &[Edit], vm: &[&str], expected: &Expect) {
    let drift = Drift {
        objects: vec![],
        vm: vm.iter().map(|&line| line.into()).collect(),
    };
    let on: BTreeSet<Cause> = on.iter().copied().collect();
    let change = decide(edits, &drift, Some(&on));
    let text = |lines: Option<Vec<String>>| lines.map_or("not known".into(), |l| l.join("; "));
    let held = change.held;
    let held = held.map(|held| held.iter().map(ToString::to_string).collect());
    expected.assert_eq(&format!(
        "{:?}: {} | held: {}",
        change.effect,
        text(change.reasons),
        text(held)
    ));
}

#[test]
fn a_cause_that_is_held_back_is_reported_and_not_repaired() {
    let lines = [
        (
            "mesh: /etc/hosts: istiod's line is missing, should be 'x'",
            Cause::Mesh,
        ),
        ("files: /x is missing", Cause::Files),
        ("machine: another machine", Cause::Machine),
        ("proxy: the unit istio is missing", Cause::Proxy),
        ("certificate: it expired", Cause::Certificate),
        (
            "configuration: POD_NAME is 'a', should be 'b'",
            Cause::Configuration,
        ),
    ];
    for (line, cause) in lines {
        assert_eq!(Cause::of_line(line), Some(cause));
        let drift = Drift {
            objects: vec![],
            vm: vec![line.into()],
        };
        let all = lines.map(|(_, cause)| cause);
        let others = all.into_iter().filter(|other| *other != cause).collect();
        let held = decide(&[], &drift, Some(&others));
        assert_eq!(
            (held.effect, held.held),
            (Effect::Nothing, Some(vec![line.into()]))
        );
        let only = decide(&[], &drift, Some(&BTreeSet::from([cause])));
        assert_eq!(
            (only.effect, only.held),
            (Effect::Rebootstrap, Some(vec![]))
        );
    }
}

#[test]
fn one_cause_that_is_not_held_back_repairs_everything() {
    check_held(
        &[Cause::Proxy],
        &[],
        &["mesh: trust domain", "proxy: unit"],
        &expect!["Rebootstrap: drift: mesh: trust domain; drift: proxy: unit | held: "],
    );
}

#[test]
fn a_held_edit_writes_the_objects_and_is_reported() {
    let label = edit("labels.version", Effect::Rebootstrap, Some("v1 -> v2"));
    check_held(
        &[],
        std::slice::from_ref(&label),
        &["mesh: trust domain"],
        &expect!["Objects:  | held: mesh: trust domain; configuration: labels.version was changed"],
    );
    let unknown = edit("address", Effect::Rebootstrap, None);
    check_held(
        &[],
        &[label.clone(), unknown],
        &[],
        &expect!["Objects:  | held: not known"],
    );
    let triggers = edit("triggers.vm", Effect::Rebootstrap, Some("1 -> 2"));
    check_held(
        &[Cause::Machine],
        &[triggers, label],
        &[],
        &expect!["Rebootstrap: triggers.vm: 1 -> 2; labels.version: v1 -> v2 | held: "],
    );
}

#[test]
fn edits_and_drift_without_a_cause_cannot_be_held_back() {
    check_held(
        &[],
        &[edit("ssh", Effect::Rebootstrap, Some("added"))],
        &[],
        &expect!["Rebootstrap: ssh: added | held: "],
    );
    check_held(
        &[],
        &[edit("name", Effect::Replace, Some("a -> b"))],
        &[],
        &expect!["Replace: name: a -> b | held: "],
    );
    check_held(
        &[],
        &[],
        &["the bootstrap was not finished"],
        &expect!["Rebootstrap: drift: the bootstrap was not finished | held: "],
    );
}

#[test]
fn drift_of_either_side_is_drift() {
    let line = || vec!["line".into()];
    for (objects, vm, is_empty) in [
        (vec![], vec![], true),
        (line(), vec![], false),
        (vec![], line(), false),
    ] {
        assert_eq!(mesh::change::Drift { objects, vm }.is_empty(), is_empty);
    }
}
