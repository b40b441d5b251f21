//! The workload in the state, and its VM.

use super::input::WorkloadInput;
use super::meaning::ssh_host;
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
        self.vm_to_clean()
            .filter(|_| host(self.input) != host(next))
    }

    /// Returns whether another machine may answer now, which may still be booting.
    pub(super) fn may_be_another_machine(&self, next: &WorkloadInput) -> bool {
        let triggers = |input: &WorkloadInput| input.triggers.known().cloned().unwrap_or_default();
        triggers(self.input) != triggers(next)
            || self.input.address != next.address
            || host(self.input) != host(next)
    }
}

fn host(input: &WorkloadInput) -> Option<String> {
    let ssh = input.ssh.known()?;
    ssh_host(ssh, input).into_known()
}
