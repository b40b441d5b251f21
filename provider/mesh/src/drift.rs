//! What is different from what should be, as lines for people.
//!
//! A line says what is, then what should be: `…/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'`.
//! State keeps lines, so [`Line`] also reads the form of former versions: `… ISTIO_INBOUND_PORTS '9080' -> '*'`.

mod expectations;
mod files;
mod line;
mod machine;
mod meaning;
mod objects;

use serde_json::Value;

pub use expectations::Expectations;
pub use line::of_fact;
pub use machine::{another_host, without_entry};
pub use meaning::Line;
pub use objects::shows;

use crate::change::Drift;
use crate::desired::{Desired, Manifest};
use crate::mark::Mark;
use crate::observed::{Connection, ObservedObjects, ObservedVm};

/// Returns how the cluster and the VM differ from what should be. `vm` is `None` where it was not
/// looked at or is not ours.
pub fn compare(
    desired: &Desired,
    objects: &ObservedObjects,
    vm: Option<&ObservedVm>,
    expected: &Expectations<'_>,
) -> Drift {
    let mark = Mark::Workload(desired.bundle.owner.id.name.clone());
    let mut of_vm = line::Lines::default();
    if let Some(vm) = vm {
        machine::compare(&desired.bundle, vm, expected, &mut of_vm);
        files::compare(&desired.bundle, &vm.files, &mut of_vm);
        if objects.entry.as_ref().is_some_and(is_away) {
            files::compare_roots(&desired.bundle, &vm.files, &mut of_vm);
        }
    }
    Drift {
        objects: of_objects(&desired.objects(), objects, &mark),
        vm: of_vm.finish(),
    }
}

/// Whether istiod says that the proxy is not connected.
fn is_away(entry: &Value) -> bool {
    let connection = Connection::from_entry(entry);
    connection.connected_at.is_none() || connection.disconnected_at.is_some()
}

/// Returns how the cluster differs from the objects that should be, and which others carry the mark.
pub fn of_objects(desired: &[Manifest], observed: &ObservedObjects, mark: &Mark) -> Vec<String> {
    let mut lines = line::Lines::default();
    objects::compare(desired, observed, mark, &mut lines);
    lines.finish()
}
