//! The workload in the state, and its VM.

use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use crate::declared::scalars::OnDestroy;
use crate::declared::ssh::SshInput;

/// The workload in the state.
#[derive(Clone, Copy)]
pub(super) struct Prior<'a> {
    pub(super) input: &'a WorkloadInput,
    pub(super) output: &'a WorkloadOutput,
}

impl<'a> Prior<'a> {
    /// Returns the connection to the VM if a bootstrap changed it and `on_destroy` asks to clean it.
    pub(super) fn vm_to_clean(&self) -> Option<&'a SshInput> {
        let on_destroy = self.input.on_destroy.known();
        let keeps = on_destroy.is_some_and(|choice| choice.0 == OnDestroy::Keep);
        let touched = self.output.known().is_touched();
        self.input.ssh.known().filter(|_| touched && !keeps)
    }

    /// Returns the connection to the VM to clean if the update leaves that VM.
    pub(super) fn former_vm(&self, next: &WorkloadInput) -> Option<&'a SshInput> {
        let host = |input: &WorkloadInput| {
            let ssh = input.ssh.known()?;
            let address = || input.address.known().map(|address| address.0.to_string());
            ssh.host.known().cloned().or_else(address)
        };
        self.vm_to_clean()
            .filter(|_| host(self.input) != host(next))
    }

    /// Returns whether another machine may answer now, which may still be booting.
    pub(super) fn may_be_another_machine(&self, next: &WorkloadInput) -> bool {
        let host =
            |input: &WorkloadInput| input.ssh.known().and_then(|ssh| ssh.host.known().cloned());
        self.input.triggers != next.triggers
            || self.input.address != next.address
            || host(self.input) != host(next)
    }
}
