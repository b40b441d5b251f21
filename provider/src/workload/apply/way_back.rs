//! What undoes the steps of a create or an update that failed.

use mesh::desired::Manifest;
use plugin::Diagnostics;

use super::work::Work;
use crate::machine::VmAfterFailure;

impl Work<'_> {
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
