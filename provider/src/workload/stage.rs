//! An update as the framework hands it over, and what it means for the VM that the workload was on.

use plugin::Changed;

use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use crate::declared::scalars::OnDestroy;
use crate::declared::ssh::SshInput;

/// An update, as the framework hands it over.
pub(super) struct Update<'a> {
    pub(super) prior: &'a WorkloadInput,
    pub(super) output: &'a WorkloadOutput,
    pub(super) next: &'a WorkloadInput,
    pub(super) edits: &'a [Changed],
}

impl Update<'_> {
    /// Whether another machine may answer now, one that is perhaps still booting.
    pub(super) fn may_meet_another_machine(&self) -> bool {
        let (prior, next) = (self.prior, self.next);
        let host =
            |input: &WorkloadInput| input.ssh.known().and_then(|ssh| ssh.host.known().cloned());
        prior.triggers != next.triggers
            || prior.address != next.address
            || host(prior) != host(next)
    }

    /// Whether the update leaves the VM that the workload was on, one that we changed and are to clean.
    pub(super) fn leaves_a_vm(&self) -> bool {
        let host = |input: &WorkloadInput| {
            let ssh = input.ssh.known()?;
            ssh.host
                .known()
                .cloned()
                .or_else(|| input.address.known().map(|address| address.0.to_string()))
        };
        touched(self.prior, self.output).is_some() && host(self.prior) != host(self.next)
    }
}

/// Returns where the VM is, if we ever changed it and are to clean it.
pub(super) fn touched<'a>(
    prior: &'a WorkloadInput,
    output: &WorkloadOutput,
) -> Option<&'a SshInput> {
    let keep = prior
        .on_destroy
        .known()
        .is_some_and(|choice| choice.0 == OnDestroy::Keep);
    let touched = output.known().is_touched();
    prior.ssh.known().filter(|_| touched && !keep)
}
