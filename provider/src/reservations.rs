//! What this process works on. Terraform runs the operations of one apply at the same time, and none of them sees
//! what another one has not written yet.

use std::collections::BTreeMap;
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
    reserved: Mutex<Vec<Reserved>>,
}

/// What an operation has reserved. It is given back when this value is dropped, unless it is kept.
pub(crate) struct Reservation<'a> {
    of: &'a Reservations,
    reserved: Option<Reserved>,
}

impl Reservation<'_> {
    /// Keeps what is reserved for the rest of the apply.
    pub(crate) fn keep(mut self) {
        self.reserved = None;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(reserved) = &self.reserved {
            self.of.give_back(reserved);
        }
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
        let twice = self
            .reserved()
            .iter()
            .find(|first| first.is_same(&wanted))
            .map(created_twice);
        twice.map_or_else(|| self.reserve(wanted), |error| Err(error.into()))
    }

    /// Reserves what an update needs.
    ///
    /// # Errors
    /// Another operation of this apply has reserved some of it.
    pub(crate) fn reserve(&self, wanted: Reserved) -> Result<Reservation<'_>, Diagnostics> {
        let mut reserved = self.reserved();
        let others = reserved.iter().filter(|first| !first.is_same(&wanted));
        let problems: Vec<_> = others.flat_map(|first| wanted.conflicts(first)).collect();
        if !problems.is_empty() {
            return Err(messages::problems(problems, &Paths::default()));
        }
        reserved.retain(|first| !first.is_same(&wanted));
        reserved.push(wanted.clone());
        Ok(Reservation {
            of: self,
            reserved: Some(wanted),
        })
    }

    /// Gives back what the workload or the fleet has reserved.
    pub(crate) fn give_back(&self, reserved: &Reserved) {
        self.reserved().retain(|of| !of.is_same(reserved));
    }

    fn reserved(&self) -> MutexGuard<'_, Vec<Reserved>> {
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
