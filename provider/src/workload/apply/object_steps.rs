//! The steps at the mesh objects and the archive, and what undoes them.

use jiff::Timestamp;
use mesh::change::Effect;
use mesh::desired::{Kind, Manifest};
use plugin::{Diagnostic, Diagnostics, Value};

use super::Work;
use crate::machine::VmAfterFailure;
use crate::workload::archive;
use crate::workload::output::WorkloadOutput;
use crate::workload::preflight::Preflight;
use crate::workload::steps::Reach;

impl Work<'_> {
    pub(super) async fn withdraw_others(&self) -> Result<(), Diagnostic> {
        for entry in &self.preflight.former {
            self.objects.withdraw(entry).await?;
        }
        Ok(())
    }

    /// Writes the objects with an entry that takes no traffic; its uid marks the VM.
    pub(super) async fn withdraw(&mut self) -> Result<(), Diagnostic> {
        let Preflight { desired, facts, .. } = &mut self.preflight;
        let written = self.objects.write(&desired.withdrawn()).await?;
        let mut written = written.into_iter();
        if let Some(entry) = written.find(|object| object.kind == Kind::WorkloadEntry) {
            desired.bundle.owner.uid.clone_from(&entry.uid);
            facts.entry_uid = Some(entry.uid);
        }
        match self.preflight.entry() {
            Some(entry) => self.objects.clear_health(&entry).await,
            None => Ok(()),
        }
    }

    pub(super) async fn write_objects(&mut self) -> Result<(), Diagnostic> {
        self.objects
            .write(&self.preflight.desired.objects())
            .await?;
        let is_new = self.target.decision.change.effect >= Effect::Rebootstrap;
        if is_new && Reach::of(self.target.next) == Reach::Objects {
            self.output = self.preflight.output(vec![]).without_vm();
        }
        Ok(())
    }

    pub(super) async fn write_archive(&mut self) -> Result<(), Diagnostics> {
        let Some(path) = archive::path(self.target.next) else {
            return Ok(());
        };
        let last = self.target.prior.map(|prior| prior.output);
        let bundle = &self.preflight.desired.bundle;
        let digest = archive::write(self.cluster, path, bundle, last).await?;
        let reasons = self
            .target
            .decision
            .change
            .reasons
            .clone()
            .unwrap_or_default();
        self.output = WorkloadOutput {
            bundle_digest: Value::Known(digest),
            bootstrapped_at: Value::Known(Timestamp::now().to_string()),
            ..self.preflight.output(reasons)
        };
        Ok(())
    }

    /// Deletes the objects that the prior input asked for, or that carry the workload's mark, and that this input does
    /// not ask for.
    pub(super) async fn prune(&self) -> Result<(), Diagnostic> {
        let workload = &self.preflight.workload;
        let prior = self.target.prior.and_then(|prior| prior.input.workload());
        let prior = prior.map_or(vec![], |prior| mesh::objects::object_ids(&prior));
        let mark = workload.mark();
        let marked = self
            .preflight
            .observed
            .marked(&workload.id.namespace, &mark);
        let wanted = self.preflight.desired.objects();
        self.objects
            .prune(prior.into_iter().chain(marked), &wanted)
            .await
    }

    pub(super) fn remove_archive(&mut self) {
        let prior = self.target.prior;
        let archive = prior.and_then(|prior| Some((archive::path(prior.input)?, prior.output)));
        if let Some((path, output)) = archive {
            let id = &self.preflight.workload.id;
            self.warnings.append(archive::remove(path, id, output));
        }
    }

    /// Writes the objects of the prior input again, since the VM runs on that, and deletes those that were added. An
    /// entry that another run withdrew, which is working on the proxy now, stays withdrawn.
    pub(super) async fn write_prior(&self, vm: VmAfterFailure) -> Diagnostics {
        let prior = self.target.prior;
        let prior = prior.and_then(|prior| self.preflight.rendered(prior.input));
        let stays_withdrawn = vm == VmAfterFailure::Occupied && self.preflight.was_withdrawn();
        let before = prior.map_or(vec![], |desired| {
            if stays_withdrawn {
                desired.withdrawn()
            } else {
                desired.objects()
            }
        });
        let mut problems = self.objects.write_prior(&before).await;
        let is_added = |added: &Manifest| {
            let same = |object: &Manifest| (object.kind, &object.id) == (added.kind, &added.id);
            let observed = self.preflight.observed.get(added.kind, &added.id.name);
            !before.is_empty() && !before.iter().any(same) && observed.is_none()
        };
        let mut added = self.preflight.desired.objects();
        added.retain(is_added);
        problems.append(self.objects.delete_written(&added).await);
        problems
    }

    pub(super) async fn restore_health(&self) -> Diagnostics {
        let mut problems = Diagnostics::none();
        if let Some(entry) = self.preflight.entry() {
            problems.extend(self.objects.restore_health(&entry).await.err());
        }
        problems
    }

    pub(super) async fn restore_others(&self) -> Diagnostics {
        let mut problems = Diagnostics::none();
        for entry in &self.preflight.former {
            problems.append(self.objects.restore(entry).await);
        }
        problems
    }
}
