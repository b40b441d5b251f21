//! Everything that should be, from what the user asks for and what the cluster says.

use crate::bundle::{bundle, own_ip};
use crate::change::Problem;
use crate::desired::{Bundle, Desired, Manifest};
use crate::facts::Facts;
use crate::names::Address;
use crate::objects::{entry, others, withdrawn};
use crate::validate::{validate, validate_bundle};
use crate::workload::Workload;

/// Returns what should be. Same inputs give the same bytes. Fails with what `validate` finds.
pub fn render(workload: &Workload, facts: &Facts) -> Result<Desired, Vec<Problem>> {
    let problems = validate(workload);
    let address = workload.address.as_ref();
    let found = address.and_then(|address| Some((address, own_ip(workload, address)?)));
    match found {
        Some((address, ip)) if problems.is_empty() => Ok(Desired {
            entry: entry(workload, address),
            others: others(workload, address),
            bundle: bundle(workload, facts, Some(ip)),
        }),
        _ => Err(problems),
    }
}

/// Returns what a VM runs on that may not be there yet: without an address it finds its own. Of the
/// owner only the name is known, so that the entry, which may be made later, changes nothing here.
///
/// # Errors
/// What `validate_bundle` finds.
pub fn render_bundle(workload: &Workload, facts: &Facts) -> Result<Bundle, Vec<Problem>> {
    let problems = validate_bundle(workload);
    if !problems.is_empty() {
        return Err(problems);
    }
    let address = workload.address.as_ref().and_then(Address::ip);
    let mut bundle = bundle(workload, facts, address.or(workload.instance_ip));
    bundle.owner.uid.clear();
    Ok(bundle)
}

impl Desired {
    /// Returns all objects in the order in which they are written.
    pub fn objects(&self) -> Vec<Manifest> {
        self.with_entry(&self.entry)
    }

    /// Returns the objects with an entry that takes no traffic yet: what is written before a bootstrap.
    #[must_use]
    pub fn withdrawn(&self) -> Vec<Manifest> {
        self.with_entry(&withdrawn(&self.entry))
    }

    fn with_entry(&self, entry: &Manifest) -> Vec<Manifest> {
        [std::slice::from_ref(entry), &self.others].concat()
    }
}
