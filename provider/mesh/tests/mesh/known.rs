//! Knowledge about a workload in state, and the part of it that a refresh keeps.

use std::collections::BTreeMap;

use mesh::change::{Drift, Problem};
use mesh::desired::Owner;
use mesh::drift::{Finding, Known, MeshFacts};
use mesh::names::Id;
use mesh::observed::{ObservedObjects, ObservedVm, SeenRuntime, UnitState};
use mesh::workload::{Runtime, Workload};
use serde_json::json;

const UNFINISHED: &str = "the bootstrap was not finished";
const ORPHAN: &str = "the proxy has no WorkloadEntry bookinfo/ratings to report to";
const ANOTHER_HOST: &str =
    "machine: the host key is not the expected one, as of a machine that was rebuilt";

/// Findings as stored in state.
fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

/// Knowledge about a VM with these lines of drift; `None`: the VM was never bootstrapped.
fn known(machine_id: Option<&str>, vm: &[&str]) -> Known {
    Known {
        drift: Drift {
            objects: vec![],
            vm: vm.iter().map(|&line| line.into()).collect(),
        },
        machine_id: machine_id.map(str::to_owned),
        ..Known::default()
    }
}

fn workload() -> Workload {
    let id: Id = "bookinfo/ratings".parse().unwrap();
    Workload::bare(id, "default".parse().unwrap())
}

fn with_entry() -> ObservedObjects {
    ObservedObjects {
        entry: Some(json!({})),
        ..ObservedObjects::default()
    }
}

#[test]
fn a_workload_is_gone_only_without_objects_and_with_an_unchanged_vm() {
    let none = ObservedObjects::default();
    assert!(known(None, &[]).is_gone(&none));
    assert!(!known(None, &[]).is_gone(&with_entry()));
    assert!(!known(Some("4711"), &[]).is_gone(&none));
    assert!(!known(None, &[UNFINISHED]).is_gone(&none));
}

#[test]
fn drift_of_a_workload_that_cannot_be_rendered_is_its_missing_objects_and_problems() {
    let problems: Vec<_> = (0..50)
        .map(|number| Problem {
            concerns: vec![],
            rule: mesh::rule::Rule::LabelIsOurs,
            text: format!("rule {number} is\nbroken"),
        })
        .collect();
    let none = ObservedObjects::default();
    let found = known(None, &[]).without_desired(&workload(), &none, &problems);
    assert_eq!(
        texts(&found.objects[..2]),
        [
            "WorkloadEntry bookinfo/ratings is missing",
            "rule 0 is broken"
        ]
    );
    assert_eq!(found.objects.len(), 20);
    let found = known(None, &[]).without_desired(&workload(), &with_entry(), &[]);
    assert!(found.objects.is_empty());
}

#[test]
fn an_unfinished_bootstrap_is_kept_even_without_other_differences() {
    for (before, wanted) in [(UNFINISHED, vec![UNFINISHED]), ("the unit is gone", vec![])] {
        let mut vm = vec![];
        known(Some("4711"), &[before]).keep_unfinished(&mut vm);
        assert_eq!(texts(&vm), wanted);
    }
}

#[test]
fn a_missing_entry_is_noted_for_a_vm_that_was_bootstrapped() {
    let id = workload().id;
    let none = ObservedObjects::default();
    for (machine, observed, wanted) in [
        (Some("4711"), &none, vec![ORPHAN]),
        (Some("4711"), &with_entry(), vec![]),
        (None, &none, vec![]),
    ] {
        let mut vm = vec![];
        let before = known(machine, &[]);
        before.note_missing_entry(&mut vm, &id, observed);
        before.note_missing_entry(&mut vm, &id, observed);
        assert_eq!(texts(&vm), wanted);
    }
}

#[test]
fn an_unexpected_host_key_is_noted_for_a_vm_that_was_bootstrapped() {
    for (machine, wanted) in [(Some("4711"), vec![ANOTHER_HOST]), (None, vec![])] {
        let mut vm = vec![];
        let before = known(machine, &[]);
        before.note_unexpected_host_key(&mut vm);
        before.note_unexpected_host_key(&mut vm);
        assert_eq!(texts(&vm), wanted);
    }
}

#[test]
fn held_edits_are_kept_once_and_only_as_requested() {
    const LABEL: &str = "configuration: labels.version was changed";
    const VERSION: &str = "configuration: proxy.version was changed";
    const TRIGGER: &str = "machine: triggers.vm was changed";
    let before = known(Some("4711"), &[LABEL, VERSION, "the unit is gone", TRIGGER]);
    for (kept, wanted) in [
        ("", vec![VERSION, LABEL, TRIGGER]),
        ("labels.version", vec![VERSION, TRIGGER]),
    ] {
        let mut vm = vec![VERSION.into()];
        before.keep_held(&mut vm, |at| at != kept);
        before.keep_held(&mut vm, |at| at != kept);
        assert_eq!(texts(&vm), wanted);
    }
}

#[test]
fn a_variable_that_the_user_removed_is_not_the_mesh_s() {
    const ENV: &str = "/var/lib/istio/envoy/cluster.env: FLAGS is not wanted";
    const MESH: &str = "/etc/istio/config/mesh: defaultConfig.proxyMetadata.FLAGS differs";
    for (edit, of) in [
        ("configuration: env.FLAGS was changed", "configuration"),
        ("configuration: env was changed", "configuration"),
        ("configuration: env.FLAG was changed", "mesh"),
        ("the unit is gone", "mesh"),
    ] {
        let mut vm = [ENV, MESH].map(|line| Finding::from(format!("mesh: {line}").as_str()));
        known(Some("4711"), &[edit]).note_removed_values(&mut vm);
        let wanted = [ENV, MESH].map(|line| format!("{of}: {line}"));
        assert_eq!(texts(&vm), wanted, "{edit}");
    }
}

fn cluster_id(name: &str) -> MeshFacts {
    MeshFacts {
        cluster_id: Some(name.into()),
        ..MeshFacts::default()
    }
}

#[test]
fn a_changed_fact_is_a_finding_until_the_output_has_it() {
    const UNIT: &str = "proxy: the unit istio is missing";
    let [east, west] = ["east", "west"].map(|name| Known {
        facts: cluster_id(name),
        ..Known::default()
    });
    let mut vm: Vec<Finding> = vec!["mesh: cluster_id 'a' -> 'b'".into(), UNIT.into()];
    for _ in 0..2 {
        east.note_facts(&mut vm, &west.facts);
        let line = "mesh: cluster_id is 'east', should be 'west'";
        assert_eq!(texts(&vm), [line, UNIT]);
    }
    west.note_facts(&mut vm, &west.facts);
    assert_eq!(texts(&vm), [UNIT]);
}

#[test]
fn a_changed_fact_alone_does_not_mean_that_the_vm_was_changed() {
    let mut known = known(None, &[]);
    known.drift.vm = cluster_id("east").compare(&cluster_id("west"));
    assert_eq!(known.drift.vm.len(), 1);
    assert!(!known.is_touched());
}

/// A VM whose proxy has this version.
fn seen(machine_id: &str, owner: &str, version: &str) -> ObservedVm {
    ObservedVm {
        machine_id: machine_id.into(),
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

fn bootstrapped(version: &str) -> Known {
    Known {
        proxy_version: Some(version.to_owned()),
        ..known(Some("4711"), &[])
    }
}

/// Another version than the configured one is drift, so state keeps the one to compare with.
#[test]
fn without_a_configured_version_that_of_the_vm_counts() {
    let any = workload();
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
        let before = bootstrapped("1.30.0");
        assert_eq!(
            before.version(workload, vm.as_ref()),
            Some(wanted),
            "{vm:?}"
        );
    }
}

/// A hostile VM may report anything as its version.
#[test]
fn a_text_that_cannot_be_a_version_is_not_stored() {
    let long = "1".repeat(400_000);
    for (reported, kept) in [
        ("1.31.0-1~deb", "1.31.0-1~deb"),
        ("\u{1b}[2J1.31.0", "1.30.0"),
        ("1.31.0\nError: all is lost", "1.30.0"),
        ("1.31.0\u{202e}", "1.30.0"),
        (&long, "1.30.0"),
    ] {
        let vm = seen("4711", "bookinfo/ratings", reported);
        let before = bootstrapped("1.30.0");
        let version = before.version(&workload(), Some(&vm));
        assert_eq!(version, Some(kept), "{reported:.80}");
    }
}
