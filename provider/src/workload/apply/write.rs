//! What an apply writes. The first write of a create is a create: one of two wins.

use jiff::Timestamp;
use mesh::change::Effect;
use mesh::desired::Manifest;
use mesh::mark::Mark;
use plugin::{Diagnostic, Diagnostics, Value};

use super::work::Work;
use crate::token;
use crate::traffic::insist;
use crate::workload::archive;
use crate::workload::output::WorkloadOutput;
use crate::workload::steps::Reach;

impl Work<'_> {
    /// Writes objects, and notes the uid of the entry as soon as it is written.
    pub(super) async fn write(&mut self, objects: &[Manifest]) -> Result<(), Diagnostic> {
        self.attempted = true;
        let (entry, others) = objects.split_at(objects.len().min(1));
        let written = self.write_entry(entry).await;
        if written.is_err() && self.target.prior.is_some() {
            self.look_for_entry().await;
        }
        written?;
        self.objects.write(others).await.map(drop)
    }

    async fn write_entry(&mut self, entry: &[Manifest]) -> Result<(), Diagnostic> {
        match (self.left.take(), entry) {
            (Some(left), _) => self.run.take_up(&self.preflight.workload.id, &left).await?,
            // Of two creates that have seen no entry, one succeeds.
            (None, [entry]) if self.target.prior.is_none() => {
                let created = self.objects.create(entry).await?;
                self.note(created);
            }
            _ => {}
        }
        let written = self.objects.write(entry).await?;
        self.note(written.into_iter().next().map(|entry| entry.uid));
        Ok(())
    }

    /// Notes the entry that a failed update has created again. Where the namespace cannot be read, the state would else
    /// refuse it as that of another cluster.
    async fn look_for_entry(&mut self) {
        if self.preflight.observed.entry.is_some() {
            return;
        }
        let workload = &self.preflight.workload;
        let found = insist(self.deadline, || self.cluster.entry(&workload.id)).await;
        let found = found.inspect_err(|error| tracing::warn!("the entry was not read: {error}"));
        let ours = found.ok().flatten();
        let ours = ours.filter(|entry| Mark::of(entry).as_ref() == Some(&workload.mark()));
        self.note(ours.and_then(|entry| entry["metadata"]["uid"].as_str().map(str::to_owned)));
    }

    fn note(&mut self, uid: Option<String>) {
        let Some(uid) = uid else {
            return;
        };
        self.output.entry_uid = Value::Known(uid.clone());
        self.preflight.facts.entry_uid = Some(uid.clone());
        self.written = Some(uid);
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

    pub(super) fn remove_archive(&mut self) {
        let prior = self.target.prior;
        let archive = prior.and_then(|prior| Some((archive::path(prior.input)?, prior.output)));
        if let Some((path, output)) = archive {
            let id = &self.preflight.workload.id;
            self.warnings.append(archive::remove(&path, id, output));
        }
    }
}
