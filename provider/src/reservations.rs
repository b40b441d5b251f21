//! What this process works on. Terraform runs the operations of one apply at the same time, and none of them sees
//! what another one has not written yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh::names::Id;

/// The operations of this process.
#[derive(Default)]
pub(crate) struct Reservations {
    destroys: Mutex<BTreeMap<Id, usize>>,
}

/// A destroy that is under way, until this value is dropped.
pub(crate) struct Destroying<'a> {
    of: &'a Reservations,
    id: Id,
}

impl Reservations {
    /// Notes that a destroy of the workload begins.
    pub(crate) fn begin_destroy(&self, id: &Id) -> Destroying<'_> {
        *self.destroys().entry(id.clone()).or_default() += 1;
        Destroying {
            of: self,
            id: id.clone(),
        }
    }

    /// Returns whether a destroy of the workload is under way.
    pub(crate) fn is_being_destroyed(&self, id: &Id) -> bool {
        self.destroys().contains_key(id)
    }

    fn destroys(&self) -> MutexGuard<'_, BTreeMap<Id, usize>> {
        self.destroys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Destroying<'_> {
    fn drop(&mut self) {
        let mut destroys = self.of.destroys();
        if let Some(count) = destroys.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                destroys.remove(&self.id);
            }
        }
    }
}
