//! What a Read makes of what it saw where not everything can be compared: pure.

use mesh::names::Id;
use mesh::{Drift, ObservedObjects, Problem, Workload};

use super::join::UNFINISHED;
use super::output::WorkloadOutput;
use super::plan::drift;

/// Lines that state keeps of one cause.
const MOST: usize = 20;
/// Characters of a line.
const LONGEST: usize = 400;

/// Whether the VM was changed by us, as far as the state knows.
pub(crate) fn is_touched(output: &WorkloadOutput) -> bool {
    !output.machine_id.is_null() || !drift(output).vm.is_empty()
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
    let why = problems.iter().map(|problem| plain(&problem.text));
    let mut objects = before.objects;
    for line in missing(workload, observed).chain(why).take(MOST) {
        add(&mut objects, line);
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
    lines: &mut Vec<String>,
    output: &WorkloadOutput,
    id: &Id,
    observed: &ObservedObjects,
    seen: bool,
) {
    if drift(output).vm.iter().any(|line| line == UNFINISHED) {
        add(lines, UNFINISHED.to_owned());
    }
    if !seen && observed.entry.is_none() && is_touched(output) {
        add(lines, mesh::drift::without_entry(id));
    }
}

/// Adds the line about a host that is not the trusted one, where the VM was ours: it was rebuilt, or
/// somebody stands in between. A bootstrap goes on only with the key that it then has.
pub(crate) fn note_stranger(lines: &mut Vec<String>, output: &WorkloadOutput, strange: bool) {
    if strange && is_touched(output) {
        add(lines, mesh::drift::another_host());
    }
}

/// Returns a line for each object that the workload asks for and the cluster does not have.
fn missing(workload: &Workload, observed: &ObservedObjects) -> impl Iterator<Item = String> {
    mesh::object_ids(workload)
        .into_iter()
        .filter(|(kind, id)| observed.get(*kind, &id.name).is_none())
        .map(|(kind, id)| format!("{kind} {id} is missing"))
}

fn add(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

/// Returns a text that may quote the user, shortened and on one line.
fn plain(text: &str) -> String {
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
