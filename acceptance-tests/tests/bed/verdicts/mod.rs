//! Compares the provider's verdict on a workload with the API server's: Istio's real definitions and the real istiod's
//! webhook, in a dry run.
//!
//! A case is a small workload with some valid and invalid edits. If the two sides disagree, the smallest set of edits
//! that shows it is reported.

mod edits;
mod leaves;
mod server;

use std::collections::BTreeMap;

use acceptance_tests::{Done, Failure, Result, Scenario};
use mesh::desired::Manifest;
use mesh::observed::ObservedObjects;
use mesh::workload::Workload;
use serde_json::json;

use edits::{Edit, Numbers};
use server::Server;

/// Number of generated workloads.
const CASES: usize = 700;
const SEED: u64 = 20_261_123;

/// Rules of the provider only: the server accepts objects that violate them, but they cause problems later.
const OWN: [(&str, &str); 18] = [
    ("address-of-one-machine", "any address is an address"),
    (
        "annotation-reserved",
        "most annotations are only overwritten, or without effect",
    ),
    ("app-address", "0.0.0.0 behind NAT is a matter of the VM"),
    (
        "app-port-needs-sidecar",
        "no object holds what would not be led on",
    ),
    ("app-socket", "the port is simply not written"),
    (
        "capture-needs-interception",
        "how the VM is set up is in no object",
    ),
    (
        "entry-port-unknown",
        "names may be those of a Kubernetes Service",
    ),
    ("fqdn-needs-instance-ip", "it is a matter of the bundle"),
    ("fqdn-needs-sidecar", "listeners follow at run time only"),
    ("hosts-required", "an object without hosts is not written"),
    (
        "interception-needs-sidecar",
        "how the VM is set up is in no object",
    ),
    ("label-is-ours", "any label is a label"),
    ("object-name-twice", "the later object replaces the former"),
    (
        "ports-required",
        "a service without ports cannot be reached",
    ),
    (
        "port-not-captured",
        "which ports the VM captures is in no object",
    ),
    ("proxy-port", "the proxy cannot listen there twice"),
    (
        "same-port-twice",
        "without a Sidecar the older service wins, without a word",
    ),
    ("target-port-twice", "the entry's port wins, without a word"),
];

/// Rules that the server also enforces: each must occur.
const SHARED: [&str; 12] = [
    "annotation-key",
    "annotations-size",
    "dns-without-range",
    "dns-without-wildcard",
    "egress-capture",
    "egress-hosts-required",
    "egress-port",
    "egress-twice",
    "export-to",
    "port-numbers",
    "several-hosts",
    "too-many",
];

#[test]
fn the_api_server_and_istiod_reject_exactly_what_the_provider_rejects() -> Done {
    let scenario = Scenario::begin("verdicts")?;
    let server = Server::new(&scenario)?;
    let mut numbers = Numbers(SEED);
    let cases: Vec<Vec<Edit>> = (0..CASES)
        .map(|_| {
            (0..numbers.below(8))
                .map(|_| Edit::any(&mut numbers))
                .collect()
        })
        .collect();
    let (ours, accepted) = verdicts(&server, &cases)?;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in ours.iter().flatten() {
        *seen.entry(rule).or_default() += 1;
    }
    let wrong: Vec<&Vec<Edit>> = cases
        .iter()
        .zip(ours.iter().zip(&accepted))
        .filter(|(_, verdicts)| disagree(*verdicts))
        .map(|(case, _)| case)
        .collect();
    let shown = wrong.iter().take(10).map(|case| minimised(&server, case));
    let shown: Vec<String> = shown.collect::<Result<_>>()?;
    assert!(
        shown.is_empty(),
        "{} disagreements\n{}",
        wrong.len(),
        shown.join("\n")
    );
    for rule in SHARED {
        assert!(seen.contains_key(rule), "no case breaks {rule}: {seen:?}");
    }
    let good = ours.iter().filter(|rules| rules.is_empty()).count();
    assert!(
        good > CASES / 10 && CASES - good > CASES / 3,
        "{good} of {CASES} are right"
    );
    Ok(())
}

/// Returns the rules that each case violates, and whether the server accepts all of its objects.
fn verdicts(server: &Server, cases: &[Vec<Edit>]) -> Result<(Vec<Vec<&'static str>>, Vec<bool>)> {
    let workloads: Vec<Workload> = cases.iter().map(|case| server.workload(case)).collect();
    let ours = workloads.iter().map(|workload| {
        let problems = mesh::validate::validate(workload);
        problems.iter().map(|problem| problem.rule.name()).collect()
    });
    let objects: Vec<Vec<Manifest>> = workloads.iter().map(mesh::objects::declared).collect();
    Ok((ours.collect(), server.accepts(&objects)?))
}

/// Returns true if the verdicts differ. A rejection by one of the provider's own rules says nothing about the server.
fn disagree((ours, accepted): (&Vec<&str>, &bool)) -> bool {
    let own = |rule: &&str| OWN.iter().any(|(own, _)| own == rule);
    match ours.iter().all(own) {
        true if ours.is_empty() => !*accepted,
        true => false,
        false => *accepted,
    }
}

/// Removes edits as long as the two sides still disagree, and describes the rest.
fn minimised(server: &Server, case: &[Edit]) -> Result<String> {
    let mut case = case.to_vec();
    loop {
        let fewer: Vec<Vec<Edit>> = (0..case.len())
            .map(|out| {
                case.iter()
                    .enumerate()
                    .filter(|(at, _)| *at != out)
                    .map(|(_, e)| *e)
                    .collect()
            })
            .collect();
        let (ours, accepted) = verdicts(server, &fewer)?;
        let still = (0..fewer.len()).find(|&at| disagree((&ours[at], &accepted[at])));
        match still {
            Some(at) => case.clone_from(&fewer[at]),
            None => break,
        }
    }
    let workload = server.workload(&case);
    let rules: Vec<_> = mesh::validate::validate(&workload)
        .iter()
        .map(|problem| problem.rule.name())
        .collect();
    let objects = mesh::objects::declared(&workload);
    let names: Vec<_> = case.iter().map(|edit| edit.name).collect();
    Ok(format!(
        "{names:?}: ours {rules:?}; the server {}\n{}",
        server.reason(&objects)?,
        objects
            .iter()
            .map(|of| format!("  {} {}", of.kind, of.body["spec"]))
            .collect::<Vec<_>>()
            .join("\n")
    ))
}

/// Returns the workload that all cases edit.
fn base(namespace: &str) -> Result<Workload> {
    let entry = json!({
        "metadata": { "namespace": namespace, "name": "case" },
        "spec": { "address": "10.0.0.9", "serviceAccount": "default" },
    });
    let objects = ObservedObjects {
        entry: Some(entry),
        ..ObservedObjects::default()
    };
    let imported = mesh::import::workload_from_objects(&objects);
    Ok(imported
        .map_err(|why| Failure::new(format!("{why:?}")))?
        .workload)
}
