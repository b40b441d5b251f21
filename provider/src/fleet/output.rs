//! What the provider found out about a fleet.

use mesh::Effect;
use tfplugin::object;

object! {
    /// What the provider found out.
    pub struct FleetOutput: Effect {
        /// `namespace/name`, known at plan: what a member gives as its `fleet`.
        Computed id: String => Replace,
        /// What differs from what should be. A plan empties it, and the apply repairs it.
        Computed drift: FleetDriftOutput => Replace,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct FleetDriftOutput: Effect {
        /// Of the mesh objects: an apply writes them again.
        Computed objects: Vec<String> => Replace,
    }
}
