//! What this process works on. Terraform runs the operations of one apply at the same time, and none of them sees
//! what another one has not written yet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh::mark::Mark;
use mesh::names::Id;
use mesh::reserved::Reserved;
use plugin::{Diagnostic, Diagnostics, Paths};

use crate::messages::{self, Code, Message};

/// The operations of this process.
#[derive(Default)]
pub(crate) struct Reservations {
    destroys: Mutex<BTreeMap<Id, usize>>,
    reserved: Mutex<Vec<Entry>>,
    next: AtomicU64,
}

/// What one operation has reserved.
struct Entry {
    number: u64,
    reserved: Reserved,
    /// The operation is over, and what it reserved stays so for the rest of the apply.
    kept: bool,
}

/// What an operation has reserved. It is given back when this value is dropped, unless it is kept.
pub(crate) struct Reservation<'a> {
    of: &'a Reservations,
    number: u64,
}

impl Reservation<'_> {
    /// Keeps what is reserved for the rest of the apply.
    pub(crate) fn keep(self) {
        let mut reserved = self.of.reserved();
        let own = reserved.iter_mut().find(|of| of.number == self.number);
        if let Some(own) = own {
            own.kept = true;
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut reserved = self.of.reserved();
        reserved.retain(|of| of.kept || of.number != self.number);
    }
}

/// A destroy that is under way, until this value is dropped.
pub(crate) struct Destroying<'a> {
    of: &'a Reservations,
    id: Id,
}

impl Reservations {
    /// Reserves what a create needs.
    ///
    /// # Errors
    /// Another operation of this apply has reserved some of it, or has created the same ID.
    pub(crate) fn reserve_new(&self, wanted: Reserved) -> Result<Reservation<'_>, Diagnostics> {
        let mut reserved = self.reserved();
        if let Some(first) = reserved.iter().find(|of| of.reserved.is_same(&wanted)) {
            return Err(created_twice(&first.reserved).into());
        }
        self.add(&mut reserved, wanted)
    }

    /// Reserves what an update needs.
    ///
    /// # Errors
    /// Another operation of this apply has reserved some of it.
    pub(crate) fn reserve(&self, wanted: Reserved) -> Result<Reservation<'_>, Diagnostics> {
        self.add(&mut self.reserved(), wanted)
    }

    fn add(
        &self,
        reserved: &mut Vec<Entry>,
        wanted: Reserved,
    ) -> Result<Reservation<'_>, Diagnostics> {
        let firsts = reserved.iter().map(|of| &of.reserved);
        let others = firsts.filter(|first| !first.is_same(&wanted));
        let problems: Vec<_> = others.flat_map(|first| wanted.conflicts(first)).collect();
        if !problems.is_empty() {
            return Err(messages::problems(problems, &Paths::default()));
        }
        reserved.retain(|of| !of.reserved.is_same(&wanted));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        reserved.push(Entry {
            number,
            reserved: wanted,
            kept: false,
        });
        Ok(Reservation { of: self, number })
    }

    /// Returns the workload that takes over the VM of another one in this apply, and whether it has done so.
    pub(crate) fn taker(&self, of: &Reserved) -> Option<(Id, bool)> {
        let reserved = self.reserved();
        let taker = reserved
            .iter()
            .find(|other| other.reserved.takes_vm_of(of))?;
        Some((taker.reserved.id().clone(), taker.kept))
    }

    /// Gives back what an operation on the workload or the fleet has kept. One that is under way keeps its own: a create
    /// may wait for the end of a destroy of the same ID.
    pub(crate) fn give_back(&self, gone: &Reserved) {
        self.reserved()
            .retain(|of| !of.kept || !of.reserved.is_same(gone));
    }

    fn reserved(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

fn created_twice(first: &Reserved) -> Diagnostic {
    let address = first
        .address()
        .map(|address| format!(", with the address {address}"));
    let text = format!(
        "Another resource of the same apply is the {} {} already{}. Give each its own name, for example with count.index or \
         each.key.",
        first.kind(),
        first.id(),
        address.unwrap_or_default()
    );
    let code = match first.mark() {
        Mark::Workload(_) => Code::WorkloadExists,
        Mark::Fleet(_) => Code::FleetExists,
    };
    Message::new(code).text(text).at("name").error()
}
