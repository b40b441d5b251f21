//! A second bed for scenarios that need two meshes.

use std::ops::Deref;

use bed::Bed;

use crate::{Result, Scenario};

/// A bed in addition to a scenario's. Dropping it stops it.
pub struct Beside(Bed);

impl Beside {
    /// Brings it up; `what` distinguishes it from other additional beds.
    ///
    /// # Errors
    /// Fails if it does not come up.
    pub fn up(scenario: &Scenario, what: &str, vms: u8, pods: u8) -> Result<Self> {
        Ok(Self(scenario.up_beside(what, vms, pods)?))
    }
}

impl Deref for Beside {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // `down` of the scenario's bed removes any remains.
        let _ = self.0.clone().down();
    }
}
