use expect_test::{Expect, expect};
use mesh::{Drift, Edit, Effect, decide};

fn edit(at: &str, effect: Effect, text: Option<&str>) -> Edit {
    Edit {
        at: at.into(),
        effect,
        text: text.map(str::to_owned),
    }
}

fn check(edits: &[Edit], objects: &[&str], vm: &[&str], expected: &Expect) {
    let texts = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    let change = decide(
        edits,
        &Drift {
            objects: texts(objects),
            vm: texts(vm),
        },
    );
    let reasons = change
        .reasons
        .map_or("not known".to_owned(), |reasons| reasons.join("; "));
    expected.assert_eq(&format!("{:?}: {reasons}", change.effect));
}

#[test]
fn nothing_asks_for_nothing() {
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
