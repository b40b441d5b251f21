//! Sources of a workload's outputs, and the edits and findings that affect each of them.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::drift::{Finding, What};

/// A source that an output is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The bootstrap itself: the output changes at each one.
    Bootstrap,
    /// The machine behind the VM.
    Machine,
    /// The proxy software on the VM.
    Software,
    /// The namespace and the service account in the certificate.
    Account,
    /// The control plane's revision.
    Revision,
    /// The name of the cluster.
    ClusterId,
    /// The trust domain of the mesh.
    TrustDomain,
    /// The address at which the VM reaches istiod.
    ControlPlane,
}

use Source::{
    Account, Bootstrap, ClusterId, ControlPlane, Machine, Revision, Software, TrustDomain,
};

/// Attributes of the input and the source that each affects. No attribute affects the facts of the mesh.
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

/// Facts of the mesh, by the names of the outputs.
const FACTS: [(&str, Source); 4] = [
    ("revision", Revision),
    ("cluster_id", ClusterId),
    ("trust_domain", TrustDomain),
    ("control_plane", ControlPlane),
];

/// Sources affected by a finding about a VM that may be any machine in any state.
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

/// Returns the sources affected by a bootstrap that these edits and findings require.
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

/// Returns true if a finding says that a fact of the mesh differs from the output.
pub fn is_fact(finding: &Finding) -> bool {
    finding.cause == Some(Cause::Mesh)
        && finding.subject.is_none()
        && !of_fact(&finding.at).is_empty()
}

/// Returns the sources affected by a changed attribute. If an object changes as a whole, all attributes in it count.
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

/// Returns the sources affected by a finding about the VM. An unknown finding affects all of them.
///
/// A file that differs affects no fact: if the cluster's facts differ from the outputs, a refresh adds a finding about
/// the fact itself.
fn of_finding(finding: &Finding) -> Vec<Source> {
    if let Some(attribute) = finding.edit() {
        return of_edit(attribute);
    }
    match finding.cause {
        None if finding.what == What::NoEntry => vec![],
        None => ANY.to_vec(),
        Some(Cause::Mesh) if finding.subject.is_none() => of_fact(&finding.at),
        Some(Cause::Machine) if finding.what == What::EarlierEntry => vec![],
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

/// Returns true if a finding leaves the proxy software the same: only its unit is stopped or its rules differ.
fn runs_the_same(finding: &Finding) -> bool {
    match finding.at.as_str() {
        "the unit istio" => finding.what != What::Missing { should: None },
        "traffic" => true,
        _ => finding.what == What::NotIntercepted,
    }
}
