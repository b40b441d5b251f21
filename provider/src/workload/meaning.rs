//! What an input means, without any fact of the cluster: pure.

use mesh::names::Address;
use plugin::Value;

use super::input::{WorkloadInput, from_workload};
use crate::declared::ssh::SshInput;

/// Returns what an input means, in one notation. While namespace or name is unknown, it means what is written.
pub(super) fn meaning(input: &WorkloadInput) -> WorkloadInput {
    let Some(workload) = input.workload() else {
        return input.clone();
    };
    let meant = from_workload(mesh::meaning::meaning(&workload));
    WorkloadInput {
        triggers: match &input.triggers {
            Value::Known(triggers) if triggers.is_empty() => Value::Null,
            triggers => triggers.clone(),
        },
        ssh: input.ssh.as_ref().map(|ssh| SshInput {
            host: ssh_host(ssh, input),
            ..ssh.clone()
        }),
        bundle: input.bundle.clone(),
        rebootstrap_on: input.rebootstrap_on.clone(),
        rotate_before: input.rotate_before,
        on_destroy: input.on_destroy,
        field_manager: input.field_manager.clone(),
        timeouts: input.timeouts.clone(),
        ..meant
    }
}

/// Returns the host that SSH connects to: `ssh.host`, otherwise the address of the VM.
pub(super) fn ssh_host(ssh: &SshInput, input: &WorkloadInput) -> Value<String> {
    let address = || input.address.as_ref().map(|address| address.0.to_string());
    match &ssh.host {
        Value::Null => address(),
        // One address has several notations.
        host => host.as_ref().map(|host| {
            let parsed = host.parse::<Address>();
            parsed.map_or_else(|_| host.clone(), |address| address.to_string())
        }),
    }
}
