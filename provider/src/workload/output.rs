//! What the provider found out. The rule of each attribute gives the effect from which it may change, and [`made_of`]
//! the sources that it follows from: a plan knows it unless a change touches one of them.

use std::collections::BTreeMap;

use mesh::change::Drift;
use mesh::desired::Bundle;
use mesh::drift::{Finding, Known, MeshFacts};
use mesh::facts::Facts;
use mesh::identity::{Identity, SeenNamespace};
use mesh::source::Source;
use plugin::{Value, object};

use crate::rule::{BOOTSTRAP, REPLACE};

object! {
    /// What the provider found out.
    pub struct WorkloadOutput {
        /// `namespace/name`.
        Computed id: String => REPLACE,
        /// SHA-256 of the VM's bootstrap files, without secrets. Updated by each bootstrap.
        Computed bundle_digest: String => BOOTSTRAP,
        /// Reasons for the last bootstrap.
        Computed last_bootstrap_reasons: Vec<String> => REPLACE,
        /// Differences found at refresh between the desired and the actual state. If not empty, the next plan shows
        /// an in-place update that repairs them.
        Computed drift: DriftOutput => REPLACE,
        /// SPIFFE ID of the VM: `spiffe://trust-domain/ns/namespace/sa/account`. Known at plan during an update,
        /// unless the trust domain changed or the service account is unknown. A policy that uses this ID therefore
        /// does not change when a label does.
        Computed spiffe_id: String => BOOTSTRAP,
        /// The VM's `/etc/machine-id` at its last bootstrap. Known at plan unless `ssh`, `address` or `triggers`
        /// change or drift affects the machine.
        Computed machine_id: String => BOOTSTRAP,
        /// Version of the proxy on the VM. Known at plan unless the machine or the software changes (`proxy.install`,
        /// `proxy.version`, `proxy.runtime`, `proxy.image`, `proxy.pull_policy`) or drift affects them.
        Computed proxy_version: String => BOOTSTRAP,
        /// Time of the last bootstrap, RFC 3339. Updated by each bootstrap.
        Computed bootstrapped_at: String => BOOTSTRAP,
        /// Revision of the control plane. Known at plan unless `drift` reports that it changed.
        Computed revision: String => BOOTSTRAP,
        /// Name by which istiod knows the cluster. Known at plan unless `drift` reports that it changed.
        Computed cluster_id: String => BOOTSTRAP,
        /// Trust domain of the mesh. Known at plan unless `drift` reports that it changed.
        Computed trust_domain: String => BOOTSTRAP,
        /// Address at which the VM reaches istiod, `host:port`. Known at plan unless `drift` reports that it changed.
        Computed control_plane: String => BOOTSTRAP,
        /// UID of the workload's namespace, which identifies the cluster. In a different cluster, a refresh reports
        /// drift, and nothing is changed. Null if the credential may not read the namespace.
        Computed namespace_uid: String => REPLACE,
        /// UID of the `WorkloadEntry`. Known at plan unless an apply creates the entry.
        Computed entry_uid: String => REPLACE,
        /// UIDs of imported objects that no apply has written yet, by kind and name. Only these objects are taken over by
        /// an apply, or deleted by a destroy, although they do not carry the provider's label. Null after an apply. Also
        /// null after an import by an earlier version: then remove the resource from the state and import it again.
        Computed imported_uids: BTreeMap<String, String> => REPLACE,
    }
}

object! {
    /// Differences, as readable lines.
    pub struct DriftOutput {
        /// Differences in the mesh objects. An apply writes the objects again.
        Computed objects: Vec<String> => REPLACE,
        /// Differences on the VM. An apply re-bootstraps it.
        Computed vm: Vec<String> => REPLACE,
    }
}

impl WorkloadOutput {
    /// Returns the drift that the state holds, read from its lines.
    pub(crate) fn drift(&self) -> Drift {
        let Some(drift) = self.drift.known() else {
            return Drift::default();
        };
        let findings = |value: &Value<Vec<String>>| {
            let lines = value.known().into_iter().flatten();
            lines.map(|line| line.as_str().into()).collect()
        };
        Drift {
            objects: findings(&drift.objects),
            vm: findings(&drift.vm),
        }
    }

    /// Returns what the state knows of the workload.
    pub(crate) fn known(&self) -> Known {
        Known {
            drift: self.drift(),
            machine_id: self.machine_id.known().cloned(),
            proxy_version: self.proxy_version.known().cloned(),
            facts: self.facts(),
        }
    }

    /// Returns what the state knows of the cluster.
    pub(crate) fn identity(&self) -> Identity<'_> {
        Identity {
            namespace: self.namespace_uid.known().map(String::as_str),
            entry: self.entry_uid.known().map(String::as_str),
        }
    }

    /// Returns what the outputs say of the mesh.
    pub(crate) fn facts(&self) -> MeshFacts {
        MeshFacts {
            revision: self.revision.known().cloned(),
            cluster_id: self.cluster_id.known().cloned(),
            trust_domain: self.trust_domain.known().cloned(),
            control_plane: self.control_plane.known().cloned(),
        }
    }
}

impl WorkloadOutput {
    /// Returns the output as far as the facts determine it.
    pub(super) fn from_facts(facts: &Facts, bundle: &Bundle, reasons: Vec<String>) -> Self {
        Self {
            id: Value::Known(bundle.owner.id.to_string()),
            last_bootstrap_reasons: Value::Known(reasons),
            drift: DriftOutput::of(&Drift::default()),
            spiffe_id: Value::Known(bundle.identity.to_string()),
            revision: Value::Known(facts.revision.clone()),
            cluster_id: Value::Known(facts.cluster_id.clone()),
            trust_domain: Value::Known(facts.trust_domain.clone()),
            control_plane: Value::Known(bundle.control_plane.clone()),
            entry_uid: facts.entry_uid.clone().into(),
            ..Self::default()
        }
    }

    /// Returns the output in the cluster with this namespace.
    pub(super) fn within(self, namespace: &SeenNamespace) -> Self {
        Self {
            namespace_uid: namespace.uid().map(str::to_owned).into(),
            ..self
        }
    }

    /// Returns the output with what an import has found.
    pub(super) fn imported_as(self, import: &Self) -> Self {
        Self {
            imported_uids: import.imported_uids.clone(),
            ..self
        }
    }

    /// Returns the output with the UIDs that are known now. Those of before stay where nothing is known.
    pub(super) fn identified(self, namespace: &SeenNamespace, entry: Option<&str>) -> Self {
        let known = |uid: Option<&str>| uid.map(|uid| Value::Known(uid.to_owned()));
        Self {
            namespace_uid: known(namespace.uid()).unwrap_or(self.namespace_uid),
            entry_uid: known(entry).unwrap_or(self.entry_uid),
            ..self
        }
    }

    /// Returns the output with this drift.
    pub(super) fn with_drift(self, drift: &Drift) -> Self {
        Self {
            drift: DriftOutput::of(drift),
            ..self
        }
    }

    /// Returns the output of a workload of which only the objects are managed.
    pub(super) fn without_vm(self) -> Self {
        Self {
            bundle_digest: Value::Null,
            machine_id: Value::Null,
            proxy_version: Value::Null,
            bootstrapped_at: Value::Null,
            last_bootstrap_reasons: Value::Known(vec![]),
            ..self
        }
    }
}

impl DriftOutput {
    /// Returns the drift as the state holds it.
    pub(crate) fn of(drift: &Drift) -> Value<Self> {
        let lines =
            |findings: &[Finding]| Value::Known(findings.iter().map(Finding::to_string).collect());
        Value::Known(Self {
            objects: lines(&drift.objects),
            vm: lines(&drift.vm),
        })
    }

    /// Returns the drift after an apply: what was held back; unknown if that is not known.
    pub(crate) fn held(held: Option<Vec<Finding>>) -> Value<Self> {
        let drift = held.map(|vm| Drift {
            objects: vec![],
            vm,
        });
        drift.map_or(Value::Unknown, |drift| Self::of(&drift))
    }
}

/// The sources of each output; none: the plan itself determines it.
pub(crate) const MADE_OF: [(&str, &[Source]); 15] = [
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
    // Found out once, and again where an apply creates the entry.
    ("namespace_uid", &[]),
    ("entry_uid", &[]),
    ("imported_uids", &[]),
];

/// Returns the sources of an output.
pub(crate) fn made_of(name: &str) -> &'static [Source] {
    let of = MADE_OF.iter().find(|(of, _)| *of == name);
    of.map_or(&[], |(_, sources)| sources)
}
