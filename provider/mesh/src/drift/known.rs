//! Knowledge about a workload in state, and the part of it that a refresh keeps if not everything can be compared.

use super::finding::{Finding, What};
use super::findings::differs;
use super::machine::unexpected_host_key;
use crate::cause::Cause;
use crate::change::{Drift, Problem};
use crate::names::Id;
use crate::observed::{ObservedObjects, ObservedVm};
use crate::source;
use crate::workload::Workload;
use plain::{is_plain, line};

/// Path prefix of variables in the mesh config.
const METADATA: &str = "defaultConfig.proxyMetadata.";
/// Maximum number of findings of a workload that cannot be rendered.
const MOST: usize = 20;
/// Maximum length of such a finding in characters.
const LONGEST: usize = 400;
/// Maximum length of a version in characters.
const LONGEST_VERSION: usize = 100;

/// Results of the last apply and the last refresh.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Drift found by the last refresh, and edits that the last apply held back.
    pub drift: Drift,
    /// `/etc/machine-id` of the VM at its last bootstrap; `None`: it was never bootstrapped.
    pub machine_id: Option<String>,
    /// Version of the proxy on the VM.
    pub proxy_version: Option<String>,
    /// Facts of the mesh.
    pub facts: MeshFacts,
}

/// Facts of the mesh in the outputs. `None`: unknown.
#[derive(Clone, Debug, Default)]
pub struct MeshFacts {
    /// Revision of the control plane.
    pub revision: Option<String>,
    /// Name of the cluster at istiod.
    pub cluster_id: Option<String>,
    /// Trust domain of the mesh.
    pub trust_domain: Option<String>,
    /// Address at which the VM reaches istiod, `host:port`.
    pub control_plane: Option<String>,
}

impl Known {
    /// Returns true if a bootstrap changed the VM or may have changed it.
    pub fn is_touched(&self) -> bool {
        let mut vm = self.drift.vm.iter();
        self.machine_id.is_some() || vm.any(|finding| !source::is_fact(finding))
    }

    /// Returns true if nothing is left of a workload: no object exists, and no VM was ever changed.
    pub fn is_gone(&self, observed: &ObservedObjects) -> bool {
        let absent = observed.entry.is_none()
            && observed.services.is_empty()
            && observed.sidecars.is_empty();
        absent && !self.is_touched()
    }

    /// Returns the version of the proxy. If the user selects a version or a package, this is the version of the last
    /// bootstrap, and any other is drift. Otherwise it is the version on the VM, unless its text cannot be a version.
    pub fn version<'a>(
        &'a self,
        workload: &Workload,
        seen: Option<&'a ObservedVm>,
    ) -> Option<&'a str> {
        let proxy = &workload.proxy;
        let is_chosen = proxy.install.is_some() || proxy.version.is_some();
        let is_same = |vm: &&ObservedVm| {
            let owner = vm.owner.as_ref();
            self.machine_id.as_ref() == Some(&vm.machine_id)
                && owner.is_some_and(|owner| owner.id == workload.id)
        };
        let seen = seen.filter(is_same);
        let seen = seen.and_then(|vm| vm.runtime.version.as_deref());
        let usable = seen.filter(|version| !is_chosen && is_plain(version, LONGEST_VERSION));
        usable.or(self.proxy_version.as_deref())
    }

    /// Returns the drift of a workload that cannot be rendered: the known drift, the missing objects, and the reasons why
    /// it cannot be rendered.
    pub fn without_desired(
        &self,
        workload: &Workload,
        observed: &ObservedObjects,
        problems: &[Problem],
    ) -> Drift {
        let why = problems
            .iter()
            .map(|problem| line(&problem.text.replace('\n', " "), LONGEST))
            .map(|line| Finding::sentence(None, &line));
        let mut drift = self.drift.clone();
        for finding in missing(workload, observed).chain(why).take(MOST) {
            add(&mut drift.objects, finding);
        }
        self.keep_unfinished(&mut drift.vm);
        self.note_missing_entry(&mut drift.vm, &workload.id, observed);
        drift
    }

    /// Keeps the finding of an unfinished bootstrap: only another bootstrap can verify that all of the work was done.
    pub fn keep_unfinished(&self, vm: &mut Vec<Finding>) {
        if self.drift.vm.contains(&Finding::unfinished()) {
            add(vm, Finding::unfinished());
        }
    }

    /// Adds the missing entry to the findings of a VM that was not checked. A new entry has another UID than the marker on
    /// the VM, which only a bootstrap updates.
    pub fn note_missing_entry(&self, vm: &mut Vec<Finding>, id: &Id, observed: &ObservedObjects) {
        if observed.entry.is_none() && self.is_touched() {
            add(vm, Finding::no_entry(id));
        }
    }

    /// Adds the unexpected host key of a VM that was ours: the VM was rebuilt, or the connection is intercepted. Only a
    /// bootstrap with the new host key continues.
    pub fn note_unexpected_host_key(&self, vm: &mut Vec<Finding>) {
        if self.is_touched() {
            add(vm, unexpected_host_key());
        }
    }

    /// Keeps edits that are held back if `stays` returns true for the path of their attribute. A comparison cannot find all
    /// of them, e.g. not the package, the triggers or the content of an archive.
    pub fn keep_held(&self, vm: &mut Vec<Finding>, stays: impl Fn(&str) -> bool) {
        let held = self.drift.vm.iter();
        for finding in held.filter(|finding| finding.edit().is_some_and(&stays)) {
            add(vm, finding.clone());
        }
    }

    /// Sets the cause of values that the user removed to `configuration` while the edit is held back: the mesh never set
    /// them.
    pub fn note_removed_values(&self, vm: &mut [Finding]) {
        let edits: Vec<&str> = self.drift.vm.iter().filter_map(Finding::edit).collect();
        let is_users = |at: &str| {
            let name = at.strip_prefix(METADATA).unwrap_or(at);
            let holds = |edit: &&str| {
                ["env", "proxy.config"].contains(edit) || edit.strip_prefix("env.") == Some(name)
            };
            edits.iter().any(holds)
        };
        for finding in vm {
            let is_mesh = finding.cause == Some(Cause::Mesh) && finding.subject.is_some();
            if is_mesh && is_users(&finding.at) {
                finding.cause = Some(Cause::Configuration);
            }
        }
    }

    /// Replaces the findings about facts of the mesh with current ones, which come before other findings of the VM.
    pub fn note_facts(&self, vm: &mut Vec<Finding>, now: &MeshFacts) {
        vm.retain(|finding| !source::is_fact(finding));
        vm.splice(0..0, self.facts.compare(now));
    }
}

impl MeshFacts {
    /// Returns a finding for each fact that has changed. An apply may leave an older value in the outputs, because Terraform
    /// accepts only the planned one.
    pub fn compare(&self, now: &Self) -> Vec<Finding> {
        let pairs = self.named().into_iter().zip(now.named());
        pairs
            .filter(|((_, is), (_, should))| is != should)
            .filter_map(|((name, is), (_, should))| {
                let what = differs(is?, should?);
                Some(Finding::new(Some(Cause::Mesh), None, name, what))
            })
            .collect()
    }

    fn named(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("revision", self.revision.as_deref()),
            ("cluster_id", self.cluster_id.as_deref()),
            ("trust_domain", self.trust_domain.as_deref()),
            ("control_plane", self.control_plane.as_deref()),
        ]
    }
}

/// Returns a finding for each object that the workload declares and the cluster does not have.
fn missing(workload: &Workload, observed: &ObservedObjects) -> impl Iterator<Item = Finding> {
    crate::objects::object_ids(workload)
        .into_iter()
        .filter(|(kind, id)| observed.get(*kind, &id.name).is_none())
        .map(|(kind, id)| {
            let what = What::Missing { should: None };
            Finding::new(None, None, &format!("{kind} {id}"), what)
        })
}

fn add(found: &mut Vec<Finding>, finding: Finding) {
    if !found.contains(&finding) {
        found.push(finding);
    }
}
