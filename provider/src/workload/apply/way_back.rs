//! What undoes the steps of a create or an update that failed.

use mesh::desired::{Kind, Manifest};
use mesh::withdrawal::{Withdrawal, is_withdrawn};
use plugin::Diagnostics;

use super::work::Work;
use crate::machine::VmAfterFailure;
use crate::messages;
use crate::traffic::insist;

impl Work<'_> {
    /// Writes the objects of the prior input again, since the VM runs on that, and deletes those that were added. An
    /// entry that another run withdrew, which is working on the proxy now, stays withdrawn. One that was absent is absent
    /// again: the VM's mark names the one before. One that no longer carries our mark belongs to others by now, and so do
    /// the other objects.
    pub(super) async fn write_prior(&self, vm: VmAfterFailure) -> Diagnostics {
        // Whoever cannot be asked is not waited for because of nothing.
        if !self.attempted {
            return Diagnostics::none();
        }
        match self.run.holds(&self.preflight.workload.id).await {
            Ok(true) => {}
            Ok(false) => return Diagnostics::none(),
            Err(error) => return error.into(),
        }
        let prior = self.target.prior;
        let prior = prior.and_then(|prior| self.preflight.rendered(prior.input));
        let occupied = vm == VmAfterFailure::Occupied;
        let by_another = self.before.as_ref().and_then(Withdrawal::of);
        let Some(prior) = prior else {
            return Diagnostics::none();
        };
        let mut before = match by_another.filter(|_| occupied) {
            Some(mark) => prior.withdrawn(&mark),
            None => prior.objects(),
        };
        if self.preflight.observed.entry.is_none() {
            before.retain(|object| object.kind != Kind::WorkloadEntry);
        }
        let mut problems = self.objects.write_prior(&before).await;
        let is_added = |added: &Manifest| {
            let same = |object: &Manifest| (object.kind, &object.id) == (added.kind, &added.id);
            let observed = self.preflight.observed.get(added.kind, &added.id.name);
            !before.iter().any(same) && observed.is_none()
        };
        let mut added = self.preflight.desired.objects();
        added.retain(is_added);
        problems.append(self.objects.delete_written(&added).await);
        problems
    }

    /// Deletes what a create wrote. An entry that somebody has replaced or taken up is not ours any more, and neither are
    /// the other objects.
    pub(super) async fn delete_written(&self) -> Diagnostics {
        if !self.attempted {
            return Diagnostics::none();
        }
        // Only the cluster knows what a write has done whose answer is lost.
        let id = &self.preflight.workload.id;
        let entry = match insist(self.deadline, || self.cluster.entry(id)).await {
            Ok(entry) => entry,
            Err(error) => return messages::cluster(&error).into(),
        };
        let is_ours = match (&self.written, &entry) {
            // The entry is written before the other objects.
            (written, None) => written.is_some(),
            (None, Some(entry)) => self.cluster.has_claimed(entry) || self.run.mark().is_on(entry),
            (Some(uid), Some(entry)) => {
                let is_taken = is_withdrawn(entry) && !self.run.mark().is_on(entry);
                !is_taken && entry["metadata"]["uid"] == **uid
            }
        };
        if !is_ours {
            return Diagnostics::none();
        }
        let written = self.preflight.desired.objects();
        self.objects.delete_written(&written).await
    }

    pub(super) async fn restore_health(&self) -> Diagnostics {
        let mut problems = Diagnostics::none();
        if let Some(before) = &self.before {
            let id = &self.preflight.workload.id;
            problems.extend(self.run.restore_health(id, before).await.err());
        }
        problems
    }
}
