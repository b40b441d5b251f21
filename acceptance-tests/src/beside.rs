//! A second bed, for what one mesh alone cannot show.

use std::ops::Deref;

use bed::Bed;

use crate::{Result, Scenario};

/// A bed beside a scenario's; it goes when it is dropped.
pub struct Beside(Bed);

impl Beside {
    /// Brings it up; `what` tells it from others beside the same bed.
    ///
    /// # Errors
    /// It does not come up.
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
        // What remains is found by the `down` of the bed beside it.
        let _ = self.0.clone().down();
    }
}
