//! Bundles of VMs that do not exist yet.

use std::collections::BTreeSet;

use mesh::facts::Facts;
use mesh::render::{render, render_bundle};
use mesh::validate::validate_bundle;

use crate::sample::{facts, workload};

#[test]
fn a_bundle_without_an_address_differs_only_in_the_address() {
    let known = render_bundle(&workload(), &facts()).unwrap();
    let mut unknown = workload();
    (unknown.address, unknown.instance_ip) = (None, None);
    assert_eq!(validate_bundle(&unknown), []);
    let found = render_bundle(&unknown, &facts()).unwrap();
    assert!(found.finds_address && !known.finds_address);
    let lines = |bundle: &mesh::desired::Bundle| -> BTreeSet<String> {
        let files = bundle.files.iter();
        let texts = files.map(|file| String::from_utf8(file.content.clone()).unwrap());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let (known, found) = (lines(&known), lines(&found));
    let differ: Vec<_> = known.symmetric_difference(&found).collect();
    assert_eq!(differ, ["ISTIO_SVC_IP=''", "ISTIO_SVC_IP=203.0.113.7"]);
}

#[test]
fn a_standalone_bundle_equals_the_workloads_without_its_entry() {
    let entry = Facts {
        entry_uid: Some("uid-1".into()),
        ..facts()
    };
    let of_workload = render(&workload(), &entry).unwrap().bundle;
    let bundle = render_bundle(&workload(), &entry).unwrap();
    assert_eq!(bundle.digest(), of_workload.digest());
    assert_eq!(of_workload.owner.uid, "uid-1");
    let before = render_bundle(&workload(), &facts()).unwrap();
    assert_eq!(bundle, before, "the entry is made after the machine");
}
