//! What the provider found out. The rule of each attribute says from which effect on it may change, and
//! [`made_of`] what it follows from: a plan knows it while nothing of that is touched.

use mesh::Source;
use plugin::object;

use crate::rule::{BOOTSTRAP, REPLACE};

object! {
    /// What the provider found out.
    pub struct WorkloadOutput {
        /// `namespace/name`.
        Computed id: String => REPLACE,
        /// SHA-256 of the files, without secrets, that the VM runs on. Each bootstrap writes it again.
        Computed bundle_digest: String => BOOTSTRAP,
        /// Why the VM was bootstrapped last.
        Computed last_bootstrap_reasons: Vec<String> => REPLACE,
        /// What differs from what should be. A plan empties it, and the apply repairs it.
        Computed drift: DriftOutput => REPLACE,
        /// SPIFFE ID of the VM: `spiffe://trust-domain/ns/namespace/sa/account`. An update knows it at plan,
        /// unless the trust domain changed or the service account is not known yet: a policy by this ID stays
        /// as it is when a label changes.
        Computed spiffe_id: String => BOOTSTRAP,
        /// The VM's `/etc/machine-id` when it was bootstrapped. Known at plan unless `ssh`, `address` or
        /// `triggers` change or drift concerns the machine.
        Computed machine_id: String => BOOTSTRAP,
        /// Version of the proxy on the VM. Known at plan unless the machine or the software changes
        /// (`proxy.install`, `proxy.version`, `proxy.runtime`, `proxy.image`, `proxy.pull_policy`), or drift
        /// concerns them.
        Computed proxy_version: String => BOOTSTRAP,
        /// When the VM was bootstrapped, RFC 3339. Each bootstrap writes it again.
        Computed bootstrapped_at: String => BOOTSTRAP,
        /// Revision of the control plane. Known at plan unless `drift` says that it changed.
        Computed revision: String => BOOTSTRAP,
        /// Name of the cluster in istiod. Known at plan unless `drift` says that it changed.
        Computed cluster_id: String => BOOTSTRAP,
        /// Trust domain of the mesh. Known at plan unless `drift` says that it changed.
        Computed trust_domain: String => BOOTSTRAP,
        /// Where the VM reaches istiod, `host:port`. Known at plan unless `drift` says that it changed.
        Computed control_plane: String => BOOTSTRAP,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct DriftOutput {
        /// Of the mesh objects: an apply writes them again.
        Computed objects: Vec<String> => REPLACE,
        /// Of the VM: an apply bootstraps it again.
        Computed vm: Vec<String> => REPLACE,
    }
}

/// What each output is made of; none: the plan itself says it.
pub(crate) const MADE_OF: [(&str, &[Source]); 12] = [
    ("id", &[]),
    ("bundle_digest", &[Source::Bootstrap]),
    ("last_bootstrap_reasons", &[]),
    ("drift", &[]),
    // A plan computes it where all of that is known.
    ("spiffe_id", &[Source::TrustDomain, Source::Account]),
    ("machine_id", &[Source::Machine]),
    ("proxy_version", &[Source::Machine, Source::Software]),
    ("bootstrapped_at", &[Source::Bootstrap]),
    ("revision", &[Source::Revision]),
    ("cluster_id", &[Source::ClusterId]),
    ("trust_domain", &[Source::TrustDomain]),
    ("control_plane", &[Source::ControlPlane]),
];

/// Returns what an output is made of.
pub(crate) fn made_of(name: &str) -> &'static [Source] {
    let of = MADE_OF.iter().find(|(of, _)| *of == name);
    of.map_or(&[], |(_, sources)| sources)
}
