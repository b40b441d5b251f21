//! What the provider found out. The rule of each attribute says from which effect on it is
//! unknown in a plan.

use mesh::Effect;
use tfplugin::object;

object! {
    /// What the provider found out.
    pub struct WorkloadOutput: Effect {
        /// `namespace/name`.
        Computed id: String => Replace,
        /// SHA-256 of the files, without secrets, that the VM runs on.
        Computed bundle_digest: String => Rebootstrap,
        /// Why the VM was bootstrapped last.
        Computed last_bootstrap_reasons: Vec<String> => Replace,
        /// What differs from what should be. A plan empties it, and the apply repairs it.
        Computed drift: DriftOutput => Replace,
        /// Who the VM is in the mesh: `spiffe://trust-domain/ns/namespace/sa/account`.
        Computed spiffe_id: String => Rebootstrap,
        /// The VM's `/etc/machine-id` when it was bootstrapped.
        Computed machine_id: String => Rebootstrap,
        /// Version of the proxy on the VM.
        Computed proxy_version: String => Rebootstrap,
        /// When the VM was bootstrapped, RFC 3339.
        Computed bootstrapped_at: String => Rebootstrap,
        /// Revision of the control plane.
        Computed revision: String => Rebootstrap,
        /// The cluster as istiod calls it.
        Computed cluster_id: String => Rebootstrap,
        /// Trust domain of the mesh.
        Computed trust_domain: String => Rebootstrap,
        /// Where the VM reaches istiod, `host:port`.
        Computed control_plane: String => Rebootstrap,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct DriftOutput: Effect {
        /// Of the mesh objects: an apply writes them again.
        Computed objects: Vec<String> => Replace,
        /// Of the VM: an apply bootstraps it again.
        Computed vm: Vec<String> => Replace,
    }
}
