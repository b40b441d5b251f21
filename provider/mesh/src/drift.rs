//! What is different from what should be, as lines for people.
//!
//! A line says what is, then what should be: `…/cluster.env: ISTIO_INBOUND_PORTS '9080' -> '*'`.

mod files;
mod line;
mod machine;
mod objects;

use jiff::Timestamp;

pub use machine::without_entry;
pub use objects::shows;

use crate::change::Drift;
use crate::desired::Desired;
use crate::observed::{ObservedObjects, ObservedVm};

/// Returns how the cluster and the VM differ from what should be. `vm` is `None` where it was not
/// looked at or is not ours; `known_machine` is the machine id at the last bootstrap.
pub fn compare(
    desired: &Desired,
    objects: &ObservedObjects,
    vm: Option<&ObservedVm>,
    known_machine: Option<&str>,
    now: Timestamp,
) -> Drift {
    let mut of_objects = line::Lines::default();
    objects::compare(&desired.objects, objects, &mut of_objects);
    let mut of_vm = line::Lines::default();
    if let Some(vm) = vm {
        machine::compare(&desired.bundle, vm, known_machine, now, &mut of_vm);
        files::compare(&desired.bundle.files, &vm.files, &mut of_vm);
    }
    Drift {
        objects: of_objects.finish(),
        vm: of_vm.finish(),
    }
}
