//! What the provider found out about a fleet.

use crate::rule::REPLACE;
use plugin::object;

object! {
    /// What the provider found out.
    pub struct FleetOutput {
        /// `namespace/name`, known at plan. Use it as the `fleet` of a member.
        Computed id: String => REPLACE,
        /// Differences found at refresh between the desired and the actual state. If not empty, the next plan shows
        /// an in-place update that repairs them.
        Computed drift: FleetDriftOutput => REPLACE,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct FleetDriftOutput {
        /// Differences in the mesh objects. An apply writes the objects again.
        Computed objects: Vec<String> => REPLACE,
    }
}
