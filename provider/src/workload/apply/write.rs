//! What an apply writes. The first write of a create is a create: one of two wins.

use jiff::Timestamp;
use mesh::change::Effect;
use mesh::desired::Manifest;
use plugin::{Diagnostic, Diagnostics, Value};

use super::work::Work;
use crate::token;
use crate::workload::archive;
use crate::workload::output::WorkloadOutput;
use crate::workload::steps::Reach;

impl Work<'_> {
    /// Writes objects, and notes the uid of the entry as soon as it is written.
    pub(super) async fn write(&mut self, objects: &[Manifest]) -> Result<(), Diagnostic> {
        self.attempted = true;
        let (entry, others) = objects.split_at(objects.len().min(1));
        match self.left.take() {
            Some(left) => self.run.take_up(&self.preflight.workload.id, &left).await?,
            // Of two creates that have seen no entry, one succeeds.
            None if self.target.prior.is_none() => self.objects.create(entry).await?,
            None => {}
        }
        let written = self.objects.write(entry).await?;
        self.written = written.into_iter().next().map(|entry| entry.uid);
        if let Some(uid) = &self.written {
            self.output.entry_uid = Value::Known(uid.clone());
            self.preflight.facts.entry_uid = Some(uid.clone());
        }
        self.objects.write(others).await.map(drop)
    }

    /// Writes the objects of a workload whose VM is not reached.
    pub(super) async fn write_objects(&mut self) -> Result<(), Diagnostic> {
        let objects = self.preflight.desired.objects();
        self.write(&objects).await?;
        let is_new = self.target.decision.change.effect >= Effect::Rebootstrap;
        if is_new && Reach::of(self.target.next) == Reach::Objects {
            self.output = self.preflight.output(vec![]).without_vm();
        }
        Ok(())
    }

    /// Writes the archive for a VM that is not reached.
    pub(super) async fn write_archive(&mut self) -> Result<(), Diagnostics> {
        let Some(path) = archive::path(self.target.next) else {
            return Ok(());
        };
        let last = self.target.prior.map(|prior| prior.output);
        let bundle = &self.preflight.desired.bundle;
        let minted = token::mint(
            self.cluster,
            &bundle.identity,
            archive::TOKEN,
            self.deadline,
        );
        let digest = archive::write(minted, &path, bundle, last).await?;
        let reasons = self.target.reasons();
        self.output = WorkloadOutput {
            bundle_digest: Value::Known(digest),
            bootstrapped_at: Value::Known(Timestamp::now().to_string()),
            ..self.preflight.output(reasons)
        };
        Ok(())
    }
}
