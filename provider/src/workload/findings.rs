//! What a Read makes of what it saw where not everything can be compared: pure.

use mesh::cause::Cause;
use mesh::change::{Drift, Problem};
use mesh::drift::{Finding, What};
use mesh::names::Id;
use mesh::observed::{ObservedObjects, ObservedVm};
use mesh::workload::Workload;
use mesh::{plain, source};
use plugin::{Object as _, Value, rule_at};

use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use super::plan::drift;
use crate::rule;

/// Where the mesh config holds variables.
const METADATA: &str = "defaultConfig.proxyMetadata.";
/// Lines that state keeps of one cause.
const MOST: usize = 20;
/// Characters of a line.
const LONGEST: usize = 400;
/// Characters of a version.
const LONGEST_VERSION: usize = 100;

/// Whether the VM was changed by us, as far as the state knows.
pub(crate) fn is_touched(output: &WorkloadOutput) -> bool {
    let found = drift(output).vm;
    !output.machine_id.is_null() || found.iter().any(|finding| !source::is_fact(finding))
}

/// Returns the version of the proxy. Where the user asks for a certain one, that of the last bootstrap stays, and
/// another is drift; else any is as good, and the one that is there counts, unless it is a text that no version is.
pub(crate) fn version(
    output: &WorkloadOutput,
    workload: &Workload,
    seen: Option<&ObservedVm>,
) -> Value<String> {
    let proxy = &workload.proxy;
    let is_chosen = proxy.install.is_some() || proxy.version.is_some();
    let same = |vm: &&ObservedVm| {
        let owner = vm.owner.as_ref();
        output.machine_id.known() == Some(&vm.machine_id)
            && owner.is_some_and(|owner| owner.id == workload.id)
    };
    let seen = seen.filter(same).and_then(|vm| vm.runtime.version.as_ref());
    match seen {
        Some(version) if !is_chosen && plain::is_plain(version, LONGEST_VERSION) => {
            Value::Known(version.clone())
        }
        _ => output.proxy_version.clone(),
    }
}

/// Whether nothing is left of a workload: no object, and no VM that was ever changed.
pub(crate) fn is_gone(observed: &ObservedObjects, output: &WorkloadOutput) -> bool {
    let absent =
        observed.entry.is_none() && observed.services.is_empty() && observed.sidecars.is_empty();
    absent && !is_touched(output)
}

/// Returns the drift of a workload of which it is not known what should be: what was known before,
/// what is missing, and why nothing can be rendered.
pub(crate) fn without_desired(
    output: &WorkloadOutput,
    workload: &Workload,
    observed: &ObservedObjects,
    problems: &[Problem],
) -> Drift {
    let before = drift(output);
    let why = problems
        .iter()
        .map(|problem| plain::line(&problem.text.replace('\n', " "), LONGEST))
        .map(|line| Finding::sentence(None, &line));
    let mut objects = before.objects;
    for finding in missing(workload, observed).chain(why).take(MOST) {
        add(&mut objects, finding);
    }
    Drift {
        objects,
        vm: before.vm,
    }
}

/// Completes the lines about a VM by what no comparison tells. `seen` is whether it was looked at.
///
/// Whether an unfinished bootstrap did all of its work, only another one can tell. And an entry
/// that is made anew has another uid than the mark on the VM, which only a bootstrap renews.
pub(crate) fn complete_vm(
    found: &mut Vec<Finding>,
    output: &WorkloadOutput,
    id: &Id,
    observed: &ObservedObjects,
    seen: bool,
) {
    if drift(output).vm.contains(&Finding::unfinished()) {
        add(found, Finding::unfinished());
    }
    if !seen && observed.entry.is_none() && is_touched(output) {
        add(found, mesh::drift::without_entry(id));
    }
}

/// Keeps what only an edit told that is held back, since no look finds it: which package, which trigger, what an archive
/// holds. What a look would find goes when it is taken back, which `same` says: the bundle is the last bootstrap's.
pub(crate) fn keep_held(found: &mut Vec<Finding>, output: &WorkloadOutput, same: bool) {
    for finding in drift(output).vm {
        let Some(at) = finding.edit() else {
            continue;
        };
        let rule = rule_at(&WorkloadInput::attributes(), &at.into());
        if !same || rule.is_some_and(rule::is_unseen) {
            add(found, finding);
        }
    }
}

/// Gives the lines about values that the user took away to the user, as long as that is held back: the mesh never asked
/// for them.
pub(crate) fn note_taken_away(found: &mut [Finding], output: &WorkloadOutput) {
    let before = drift(output).vm;
    let edits: Vec<&str> = before.iter().filter_map(Finding::edit).collect();
    let is_users = |at: &str| {
        let name = at.strip_prefix(METADATA).unwrap_or(at);
        let holds = |edit: &&str| {
            ["env", "proxy.config"].contains(edit) || edit.strip_prefix("env.") == Some(name)
        };
        edits.iter().any(holds)
    };
    for finding in found {
        if finding.cause == Some(Cause::Mesh) && finding.subject.is_some() && is_users(&finding.at)
        {
            finding.cause = Some(Cause::Configuration);
        }
    }
}

/// Adds the line about a host that is not the trusted one, where the VM was ours: it was rebuilt, or
/// somebody stands in between. A bootstrap goes on only with the key that it then has.
pub(crate) fn note_stranger(found: &mut Vec<Finding>, output: &WorkloadOutput, strange: bool) {
    if strange && is_touched(output) {
        add(found, mesh::drift::another_host());
    }
}

/// Returns a finding for each object that the workload asks for and the cluster does not have.
fn missing(workload: &Workload, observed: &ObservedObjects) -> impl Iterator<Item = Finding> {
    mesh::objects::object_ids(workload)
        .into_iter()
        .filter(|(kind, id)| observed.get(*kind, &id.name).is_none())
        .map(|(kind, id)| Finding::new(None, None, &format!("{kind} {id}"), What::Missing))
}

fn add(found: &mut Vec<Finding>, finding: Finding) {
    if !found.contains(&finding) {
        found.push(finding);
    }
}
