//! What state knows of a workload, and what of it a refresh keeps where not everything can be compared.

use super::finding::{Finding, What};
use super::findings::plain;
use super::machine::{another_host, without_entry};
use crate::cause::Cause;
use crate::change::{Drift, Problem};
use crate::names::Id;
use crate::observed::{ObservedObjects, ObservedVm};
use crate::plain::{is_plain, line};
use crate::source;
use crate::workload::Workload;

/// Where the mesh config holds variables.
const METADATA: &str = "defaultConfig.proxyMetadata.";
/// Findings that state keeps of a workload that cannot be rendered.
const MOST: usize = 20;
/// Characters of one of them.
const LONGEST: usize = 400;
/// Characters of a version.
const LONGEST_VERSION: usize = 100;

/// What the last apply and the last refresh found out.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The drift of the last refresh, and what the last apply held back.
    pub drift: Drift,
    /// `/etc/machine-id` of the VM at its last bootstrap; `None`: it was never bootstrapped.
    pub machine_id: Option<String>,
    /// Version of the proxy on the VM.
    pub proxy_version: Option<String>,
    /// What the cluster said of the mesh.
    pub facts: MeshFacts,
}

/// What the outputs say of the mesh. `None`: not known.
#[derive(Clone, Debug, Default)]
pub struct MeshFacts {
    /// Revision of the control plane.
    pub revision: Option<String>,
    /// Name by which istiod knows the cluster.
    pub cluster_id: Option<String>,
    /// Trust domain of the mesh.
    pub trust_domain: Option<String>,
    /// Address at which the VM reaches istiod, `host:port`.
    pub control_plane: Option<String>,
}

impl Known {
    /// Whether a bootstrap changed the VM, or may have.
    pub fn is_touched(&self) -> bool {
        let mut vm = self.drift.vm.iter();
        self.machine_id.is_some() || vm.any(|finding| !source::is_fact(finding))
    }

    /// Whether nothing is left of a workload: no object, and no VM that was ever changed.
    pub fn is_gone(&self, observed: &ObservedObjects) -> bool {
        let absent = observed.entry.is_none()
            && observed.services.is_empty()
            && observed.sidecars.is_empty();
        absent && !self.is_touched()
    }

    /// Returns the version of the proxy. Where the user asks for a certain one, that of the last bootstrap stays, and
    /// another is drift. Otherwise any will do and the one on the VM counts, unless its text cannot be a version.
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

    /// Returns the drift of a workload that cannot be rendered: what was known before, which objects are missing, and
    /// why nothing can be rendered.
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

    /// Keeps the bootstrap that was not finished: only another one can tell whether it did all of its work.
    pub fn keep_unfinished(&self, vm: &mut Vec<Finding>) {
        if self.drift.vm.contains(&Finding::unfinished()) {
            add(vm, Finding::unfinished());
        }
    }

    /// Adds that the entry is missing to the findings of a VM that was not checked. A new entry has another uid than
    /// the mark on the VM, which only a bootstrap renews.
    pub fn note_missing_entry(&self, vm: &mut Vec<Finding>, id: &Id, observed: &ObservedObjects) {
        if observed.entry.is_none() && self.is_touched() {
            add(vm, without_entry(id));
        }
    }

    /// Adds that another host answers, where the VM was ours: it was rebuilt, or somebody stands in between. Only a
    /// bootstrap with the new host's key goes on.
    pub fn note_another_host(&self, vm: &mut Vec<Finding>) {
        if self.is_touched() {
            add(vm, another_host());
        }
    }

    /// Keeps the edits that are held back and that `stays`, by the path of their attribute. No comparison finds some of
    /// them: which package, which trigger, what an archive holds.
    pub fn keep_held(&self, vm: &mut Vec<Finding>, stays: impl Fn(&str) -> bool) {
        let held = self.drift.vm.iter();
        for finding in held.filter(|finding| finding.edit().is_some_and(&stays)) {
            add(vm, finding.clone());
        }
    }

    /// Attributes a value that the user removed to the user, as long as that edit is held back: the mesh never asked
    /// for it.
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

    /// Replaces the findings about facts of the mesh by those of now, before what differs on the VM.
    pub fn note_facts(&self, vm: &mut Vec<Finding>, now: &MeshFacts) {
        vm.retain(|finding| !source::is_fact(finding));
        vm.splice(0..0, self.facts.compare(now));
    }
}

impl MeshFacts {
    /// Returns a finding for each fact that has changed. Terraform accepts no other value than the planned one, so an
    /// apply may leave an older one.
    pub fn compare(&self, now: &Self) -> Vec<Finding> {
        let pairs = self.named().into_iter().zip(now.named());
        pairs
            .filter(|((_, is), (_, should))| is != should)
            .filter_map(|((name, is), (_, should))| {
                let what = What::Differs {
                    is: plain(is?),
                    should: plain(should?),
                };
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

/// Returns a finding for each object that the workload asks for and the cluster does not have.
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
