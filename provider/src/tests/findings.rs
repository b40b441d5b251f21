//! What a Read keeps and tells where not everything can be compared.

use mesh::change::Problem;
use mesh::drift::Finding;
use mesh::observed::ObservedObjects;
use mesh::workload::Workload;
use plugin::Value;
use serde_json::json;

use super::made_of::seen;
use crate::workload::convert;
use crate::workload::findings::{
    complete_vm, is_gone, keep_held, note_stranger, note_taken_away, version, without_desired,
};
use crate::workload::input::WorkloadInput;
use crate::workload::output::{DriftOutput, WorkloadOutput};

const UNFINISHED: &str = "the bootstrap was not finished";
const ORPHAN: &str = "the proxy has no WorkloadEntry bookinfo/ratings to report to";

/// Findings as state holds them.
fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

/// An output of a VM that was bootstrapped, or of none, with lines of drift of the VM.
fn output(machine: Option<&str>, vm: &[&str]) -> WorkloadOutput {
    WorkloadOutput {
        machine_id: machine.map(str::to_owned).into(),
        drift: Value::Known(DriftOutput {
            objects: Value::Known(vec![]),
            vm: Value::Known(vm.iter().map(|&line| line.to_owned()).collect()),
        }),
        ..WorkloadOutput::default()
    }
}

fn workload() -> Workload {
    let input = WorkloadInput {
        namespace: Value::Known(plugin::Text("bookinfo".parse().unwrap())),
        name: Value::Known(plugin::Text("ratings".parse().unwrap())),
        ..WorkloadInput::default()
    };
    convert::workload(&input).unwrap()
}

fn with_entry() -> ObservedObjects {
    ObservedObjects {
        entry: Some(json!({})),
        ..ObservedObjects::default()
    }
}

#[test]
fn a_workload_is_gone_only_with_all_its_objects_and_an_untouched_vm() {
    let none = ObservedObjects::default();
    assert!(is_gone(&none, &output(None, &[])));
    assert!(!is_gone(&with_entry(), &output(None, &[])));
    assert!(!is_gone(&none, &output(Some("4711"), &[])));
    assert!(!is_gone(&none, &output(None, &[UNFINISHED])));
}

#[test]
fn what_cannot_be_rendered_is_told_as_missing_objects_and_broken_rules() {
    let problems: Vec<_> = (0..50)
        .map(|number| Problem {
            concerns: vec![],
            rule: "labels",
            text: format!("rule {number} is\nbroken"),
        })
        .collect();
    let none = ObservedObjects::default();
    let found = without_desired(&output(None, &[]), &workload(), &none, &problems);
    assert_eq!(
        texts(&found.objects[..2]),
        [
            "WorkloadEntry bookinfo/ratings is missing",
            "rule 0 is broken"
        ]
    );
    assert_eq!(found.objects.len(), 20);
    let found = without_desired(&output(None, &[]), &workload(), &with_entry(), &[]);
    assert!(found.objects.is_empty());
}

#[test]
fn an_unfinished_bootstrap_stays_told_even_where_no_difference_is_seen() {
    let id = workload().id;
    for (before, wanted) in [(UNFINISHED, vec![UNFINISHED]), ("the unit is gone", vec![])] {
        let mut lines = vec![];
        complete_vm(
            &mut lines,
            &output(Some("4711"), &[before]),
            &id,
            &with_entry(),
            true,
        );
        assert_eq!(texts(&lines), wanted);
    }
}

#[test]
fn a_deleted_entry_is_told_of_a_vm_that_was_not_looked_at() {
    let id = workload().id;
    let none = ObservedObjects::default();
    for (machine, observed, seen, wanted) in [
        (Some("4711"), &none, false, vec![ORPHAN]),
        // Looked at, the comparison tells it.
        (Some("4711"), &none, true, vec![]),
        (Some("4711"), &with_entry(), false, vec![]),
        (None, &none, false, vec![]),
    ] {
        let mut lines = vec![];
        let before = output(machine, &[]);
        complete_vm(&mut lines, &before, &id, observed, seen);
        complete_vm(&mut lines, &before, &id, observed, seen);
        assert_eq!(texts(&lines), wanted);
    }
}

#[test]
fn a_host_with_another_key_is_told_of_a_vm_that_was_ours() {
    for (machine, strange, told) in [
        (Some("4711"), true, true),
        (Some("4711"), false, false),
        (None, true, false),
    ] {
        let mut lines = vec![];
        let before = output(machine, &[]);
        note_stranger(&mut lines, &before, strange);
        note_stranger(&mut lines, &before, strange);
        let wanted = told.then(mesh::drift::another_host);
        assert_eq!(lines, Vec::from_iter(wanted));
    }
}

#[test]
fn an_edit_that_is_held_back_stays_told_until_it_is_on_the_vm_or_taken_back() {
    const LABEL: &str = "configuration: labels.version was changed";
    const VERSION: &str = "configuration: proxy.version was changed";
    const TRIGGER: &str = "machine: triggers.vm was changed";
    let before = output(Some("4711"), &[LABEL, VERSION, "the unit is gone", TRIGGER]);
    for (same, wanted) in [
        (false, vec![VERSION, LABEL, TRIGGER]),
        // A look finds nothing of these, whatever the files are.
        (true, vec![VERSION, TRIGGER]),
    ] {
        let mut lines = vec![VERSION.into()];
        keep_held(&mut lines, &before, same);
        keep_held(&mut lines, &before, same);
        assert_eq!(texts(&lines), wanted);
    }
}

#[test]
fn a_variable_that_the_user_took_away_is_not_the_mesh_s() {
    const ENV: &str = "/var/lib/istio/envoy/cluster.env: FLAGS is not wanted";
    const MESH: &str = "/etc/istio/config/mesh: defaultConfig.proxyMetadata.FLAGS differs";
    for (edit, of) in [
        ("configuration: env.FLAGS was changed", "configuration"),
        ("configuration: env was changed", "configuration"),
        ("configuration: env.FLAG was changed", "mesh"),
        ("the unit is gone", "mesh"),
    ] {
        let mut lines = [ENV, MESH].map(|line| Finding::from(format!("mesh: {line}").as_str()));
        note_taken_away(&mut lines, &output(Some("4711"), &[edit]));
        let wanted = [ENV, MESH].map(|line| format!("{of}: {line}"));
        assert_eq!(texts(&lines), wanted, "{edit}");
    }
}

/// Where any version is as good, state has the one that is there; a VM that says something else than a version says it
/// to nobody.
#[test]
fn what_a_refresh_takes_for_a_version_is_bounded_and_has_nothing_that_a_terminal_obeys() {
    let long = "1".repeat(400_000);
    for (says, kept) in [
        ("1.31.0-1~deb", "1.31.0-1~deb"),
        ("\u{1b}[2J1.31.0", "1.30.0"),
        ("1.31.0\nError: all is lost", "1.30.0"),
        ("1.31.0\u{202e}", "1.30.0"),
        (&long, "1.30.0"),
    ] {
        let before = WorkloadOutput {
            proxy_version: Value::Known("1.30.0".to_owned()),
            ..output(Some("4711"), &[])
        };
        let found = version(
            &before,
            &workload(),
            Some(&seen("4711", "bookinfo/ratings", says)),
        );
        assert_eq!(found, Value::Known(kept.to_owned()), "{says:.80}");
    }
}
