//! Renders the desired state from the declaration and the facts of the mesh.

use crate::bundle::{bundle, own_ip};
use crate::change::Problem;
use crate::desired::{Bundle, Desired, Manifest};
use crate::facts::Facts;
use crate::names::Address;
use crate::objects::{entry, others, withdrawn};
use crate::validate::{validate, validate_bundle};
use crate::withdrawal::Withdrawal;
use crate::workload::Workload;

/// Renders the desired state of a workload. The output is deterministic.
///
/// # Errors
/// Returns the problems that `validate` reports.
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

/// Renders the bundle of a VM that may not exist yet. Without an address, the VM determines its own. The owner has no
/// UID, so that creating the entry later does not change the bundle.
///
/// # Errors
/// Returns the problems that `validate_bundle` reports.
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

    /// Returns all objects, with an entry that receives no traffic yet and carries the mark. They are written before a
    /// bootstrap.
    #[must_use]
    pub fn withdrawn(&self, mark: &Withdrawal) -> Vec<Manifest> {
        self.with_entry(&withdrawn(&self.entry, mark))
    }

    fn with_entry(&self, entry: &Manifest) -> Vec<Manifest> {
        [std::slice::from_ref(entry), &self.others].concat()
    }
}
