//! What the members of a fleet share in this process: who of them decides about a turn, and whose bootstrap has failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh::names::Id;
use tokio::sync::OwnedMutexGuard;

/// What this process knows of the fleets that roll.
#[derive(Default)]
pub(crate) struct Turns {
    fleets: Mutex<BTreeMap<Id, Fleet>>,
}

/// What it knows of one.
#[derive(Default)]
struct Fleet {
    /// One member at a time asks for the fleet's lock: the others need not ask the API server for it.
    gate: Arc<tokio::sync::Mutex<()>>,
    failed: Option<Failed>,
}

/// A member whose bootstrap has failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) id: Id,
    pub(crate) cause: String,
}

impl Turns {
    /// Waits until no other member of this process asks for the fleet's lock or holds it.
    pub(crate) async fn gate(&self, fleet: &Id) -> OwnedMutexGuard<()> {
        let gate = Arc::clone(&self.fleets().entry(fleet.clone()).or_default().gate);
        gate.lock_owned().await
    }

    /// Notes that the bootstrap of a member has failed. The first failure stays.
    pub(crate) fn note_failure(&self, fleet: &Id, failed: Failed) {
        let mut fleets = self.fleets();
        fleets
            .entry(fleet.clone())
            .or_default()
            .failed
            .get_or_insert(failed);
    }

    /// Returns the member of the fleet whose bootstrap has failed first.
    pub(crate) fn failed(&self, fleet: &Id) -> Option<Failed> {
        self.fleets().get(fleet)?.failed.clone()
    }

    fn fleets(&self) -> MutexGuard<'_, BTreeMap<Id, Fleet>> {
        self.fleets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
