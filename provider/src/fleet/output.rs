//! What the provider found out about a fleet.

use crate::rule::REPLACE;
use plugin::object;

object! {
    /// What the provider found out.
    pub struct FleetOutput {
        /// `namespace/name`, known at plan: what a member gives as its `fleet`.
        Computed id: String => REPLACE,
        /// What differs from what should be. A plan empties it, and the apply repairs it.
        Computed drift: FleetDriftOutput => REPLACE,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct FleetDriftOutput {
        /// Of the mesh objects: an apply writes them again.
        Computed objects: Vec<String> => REPLACE,
    }
}
