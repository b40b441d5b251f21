//! Everything that should be, from what the user asks for and what the cluster says.

use crate::bundle::{bundle, own_ip};
use crate::change::Problem;
use crate::desired::{Desired, Manifest};
use crate::facts::Facts;
use crate::objects::{objects, withdrawn};
use crate::validate::validate;
use crate::workload::Workload;

/// Returns what should be. Same inputs give the same bytes. Fails with what `validate` finds.
pub fn render(workload: &Workload, facts: &Facts) -> Result<Desired, Vec<Problem>> {
    let problems = validate(workload);
    let address = workload.address.as_ref();
    let found = address.and_then(|address| Some((address, own_ip(workload, address)?)));
    match found {
        Some((address, ip)) if problems.is_empty() => Ok(Desired {
            objects: objects(workload, address),
            bundle: bundle(workload, facts, ip),
        }),
        _ => Err(problems),
    }
}

impl Desired {
    /// Returns the objects with an entry that takes no traffic yet: what is written before a bootstrap.
    #[must_use]
    pub fn withdrawn(&self) -> Vec<Manifest> {
        let mut objects = self.objects.clone();
        if let Some(entry) = objects.first_mut() {
            *entry = withdrawn(entry);
        }
        objects
    }

    /// Returns the entry in its final form; it is always the first object.
    pub fn entry(&self) -> Option<&Manifest> {
        self.objects.first()
    }
}
