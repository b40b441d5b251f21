//! The first write of an apply: one of two creates wins.

use mesh::change::Effect;
use mesh::desired::Manifest;
use plugin::{Diagnostic, Value};

use super::work::Work;
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
}
