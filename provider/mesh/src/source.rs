//! What the outputs of a workload are made of, and what touches that: an edit of the input, or a line of drift.

use std::collections::BTreeSet;

use crate::change::Cause;
use crate::drift::Line;

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
    drift_of_vm: &[String],
) -> BTreeSet<Source> {
    let edits = edits.into_iter().flat_map(of_edit);
    let lines = drift_of_vm.iter().flat_map(|line| of_line(line));
    let mut found: BTreeSet<Source> = edits.chain(lines).collect();
    found.insert(Bootstrap);
    found
}

/// Whether a line says that a fact of the mesh is another one than the output.
pub fn is_fact(line: &str) -> bool {
    let line = Line::of(line);
    line.cause == Some(Cause::Mesh) && line.title.is_none() && !of_fact(line.what).is_empty()
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

/// Returns what a line of drift of the VM touches. A line that is not understood touches everything.
///
/// A file that differs touches none of the facts: where the cluster says something else than the outputs, a refresh
/// adds a line about that.
fn of_line(line: &str) -> Vec<Source> {
    let read = Line::of(line);
    if let Some(attribute) = read.edit() {
        return of_edit(attribute);
    }
    match read.cause {
        None if read.what.starts_with("the proxy has no WorkloadEntry ") => vec![],
        None => ANY.to_vec(),
        Some(Cause::Mesh) if read.title.is_none() => of_fact(read.what),
        Some(Cause::Machine) if read.what.contains(" for an earlier WorkloadEntry ") => vec![],
        Some(Cause::Machine) => vec![Machine],
        Some(Cause::Proxy) if runs_the_same(line, read.what) => vec![],
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
fn runs_the_same(line: &str, what: &str) -> bool {
    let is_unit = what == "the unit istio" && !line.ends_with(" is missing");
    is_unit || what == "traffic" || what.starts_with("no rules intercept ")
}
