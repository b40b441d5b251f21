//! What the provider found out about a fleet.

use std::collections::BTreeMap;

use crate::rule::REPLACE;
use mesh::identity::Identity;
use plugin::object;

object! {
    /// What the provider found out.
    pub struct FleetOutput {
        /// `namespace/name`, known at plan. Use it as the `fleet` of a member.
        Computed id: String => REPLACE,
        /// Differences found at refresh between the desired and the actual state. If not empty, the next plan shows
        /// an in-place update that repairs them.
        Computed drift: FleetDriftOutput => REPLACE,
        /// UID of the fleet's namespace, which identifies the cluster. In a different cluster, a refresh reports
        /// drift, and nothing is changed. Null if the credential may not read the namespace.
        Computed namespace_uid: String => REPLACE,
        /// UIDs of imported objects that no apply has written yet, by kind and name. Only these objects are taken over by
        /// an apply, or deleted by a destroy, although they do not carry the provider's label. Null after an apply. Also
        /// null after an import by an earlier version: then remove the resource from the state and import it again.
        Computed imported_uids: BTreeMap<String, String> => REPLACE,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct FleetDriftOutput {
        /// Differences in the mesh objects. An apply writes the objects again.
        Computed objects: Vec<String> => REPLACE,
    }
}

impl FleetOutput {
    /// Returns what the state knows of the cluster.
    pub(super) fn identity(&self) -> Identity<'_> {
        Identity {
            namespace: self.namespace_uid.known().map(String::as_str),
            entry: None,
        }
    }
}
