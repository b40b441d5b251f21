//! How conflicts with other owners of a field are handled, and what it means for a write.

use cluster::Force;
use plugin::{Value, object};

object! {
    /// How to handle conflicts with other owners of a field.
    pub struct FieldManagerInput {
        /// Take over fields from other owners. Default: `false`: the apply stops and names the owner and the field.
        Optional force_conflicts: bool,
    }
}

/// Returns how a write handles conflicts.
pub(crate) fn force(field_manager: &Value<FieldManagerInput>) -> Force {
    let manager = field_manager.known();
    match manager.and_then(|manager| manager.force_conflicts.known()) {
        Some(true) => Force::Fields,
        _ => Force::Never,
    }
}
