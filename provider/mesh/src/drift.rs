//! Differences between the desired and the actual state, as [`Finding`]s.

mod expectations;
mod files;
mod finding;
mod findings;
mod known;
mod listeners;
mod machine;
mod objects;
mod values;

use serde_json::Value;

pub use expectations::Expectations;
pub use finding::{Finding, What};
pub use known::{Known, MeshFacts};
pub use objects::shows;

use findings::Findings;

use crate::change::Drift;
use crate::desired::{Desired, Manifest};
use crate::mark::Mark;
use crate::observed::{Connection, ObservedObjects, ObservedVm};
use crate::rivals::Rival;

/// Compares the cluster and the VM with the desired state. `vm` is `None` if the VM was not checked or is not ours.
pub fn compare(
    desired: &Desired,
    objects: &ObservedObjects,
    vm: Option<&ObservedVm>,
    expected: &Expectations<'_>,
) -> Drift {
    let mark = Mark::Workload(desired.bundle.owner.id.name.clone());
    let mut of_vm = Findings::default();
    if let Some(vm) = vm {
        machine::compare(&desired.bundle, vm, expected, &mut of_vm);
        files::compare(&desired.bundle, &vm.files, &mut of_vm);
        if objects.entry.as_ref().is_some_and(is_disconnected) {
            files::compare_roots(&desired.bundle, &vm.files, &mut of_vm);
        }
    }
    Drift {
        objects: of_objects(&desired.objects(), objects, &mark),
        vm: of_vm.finish(),
    }
}

/// Returns true if istiod reports the proxy as disconnected.
fn is_disconnected(entry: &Value) -> bool {
    let connection = Connection::from_entry(entry);
    connection.connected_at.is_none() || connection.disconnected_at.is_some()
}

/// Compares the cluster with the desired objects. Other objects that carry the mark are differences, too.
pub fn of_objects(desired: &[Manifest], observed: &ObservedObjects, mark: &Mark) -> Vec<Finding> {
    let mut lines = Findings::default();
    objects::compare(desired, observed, mark, &mut lines);
    lines.finish()
}

/// Returns a finding for each object of others that makes it a matter of age what istiod uses.
pub fn of_rivals(rivals: &[Rival]) -> Vec<Finding> {
    let mut lines = Findings::default();
    for rival in rivals {
        lines.say(&rival.line());
    }
    lines.finish()
}
