//! What the outputs of a workload are made of, and what touches that: an edit of the input, or a line of drift.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::drift::{Finding, What};

/// A thing that an output is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The bootstrap itself: each one writes it again.
    Bootstrap,
    /// The machine that the VM is.
    Machine,
    /// The proxy's software on the VM.
    Software,
    /// The namespace and the service account that the certificate names.
    Account,
    /// The control plane's revision.
    Revision,
    /// The name of the cluster.
    ClusterId,
    /// The trust domain of the mesh.
    TrustDomain,
    /// Where the VM reaches istiod.
    ControlPlane,
}

use Source::{
    Account, Bootstrap, ClusterId, ControlPlane, Machine, Revision, Software, TrustDomain,
};

/// Attributes of the input, each with what it is a part of. No attribute changes what the cluster says of the mesh.
const OF_INPUT: [(&str, Source); 10] = [
    ("address", Machine),
    ("triggers", Machine),
    ("ssh", Machine),
    ("proxy.runtime", Software),
    ("proxy.image", Software),
    ("proxy.pull_policy", Software),
    ("proxy.install", Software),
    ("proxy.version", Software),
    ("namespace", Account),
    ("service_account", Account),
];

/// What the cluster says of the mesh, by the names of the outputs.
const FACTS: [(&str, Source); 4] = [
    ("revision", Revision),
    ("cluster_id", ClusterId),
    ("trust_domain", TrustDomain),
    ("control_plane", ControlPlane),
];

/// What a line says of a VM that may be any machine, in any state.
const ANY: [Source; 8] = [
    Bootstrap,
    Machine,
    Software,
    Account,
    Revision,
    ClusterId,
    TrustDomain,
    ControlPlane,
];

/// Returns what a bootstrap touches that edits and lines of drift ask for.
pub fn touched<'a>(
    edits: impl IntoIterator<Item = &'a str>,
    drift_of_vm: &[Finding],
) -> BTreeSet<Source> {
    let edits = edits.into_iter().flat_map(of_edit);
    let lines = drift_of_vm.iter().flat_map(of_finding);
    let mut found: BTreeSet<Source> = edits.chain(lines).collect();
    found.insert(Bootstrap);
    found
}

/// Whether a fact of the mesh is found to be another one than the output.
pub fn is_fact(finding: &Finding) -> bool {
    finding.cause == Some(Cause::Mesh)
        && finding.subject.is_none()
        && !of_fact(&finding.at).is_empty()
}

/// Returns what a changed attribute touches: an object that changes as a whole is each attribute in it.
fn of_edit(at: &str) -> Vec<Source> {
    let below = |path: &str, above: &str| {
        let rest = path.strip_prefix(above);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let named = OF_INPUT.into_iter();
    named
        .filter(|(name, _)| below(at, name) || below(name, at))
        .map(|(_, source)| source)
        .collect()
}

/// Returns what a finding of the VM touches. One that is not understood touches everything.
///
/// A file that differs touches none of the facts: where the cluster says something else than the outputs, a refresh
/// adds a finding about that.
fn of_finding(finding: &Finding) -> Vec<Source> {
    if let Some(attribute) = finding.edit() {
        return of_edit(attribute);
    }
    match finding.cause {
        None if finding.at.starts_with("the proxy has no WorkloadEntry ") => vec![],
        None => ANY.to_vec(),
        Some(Cause::Mesh) if finding.subject.is_none() => of_fact(&finding.at),
        Some(Cause::Machine) if finding.at.contains(" for an earlier WorkloadEntry ") => vec![],
        Some(Cause::Machine) => vec![Machine],
        Some(Cause::Proxy) if runs_the_same(finding) => vec![],
        Some(Cause::Proxy) => vec![Software],
        Some(Cause::Configuration | Cause::Mesh | Cause::Files | Cause::Certificate) => vec![],
    }
}

fn of_fact(what: &str) -> Vec<Source> {
    let named = FACTS.into_iter();
    named
        .filter(|(name, _)| *name == what)
        .map(|(_, source)| source)
        .collect()
}

/// Whether the proxy is the same software: only its unit does not run, or its rules differ.
fn runs_the_same(finding: &Finding) -> bool {
    match finding.at.as_str() {
        "the unit istio" => finding.what != What::Missing { should: None },
        "traffic" => true,
        at => at.starts_with("no rules intercept "),
    }
}
