//! Cleaning the VM that an update leaves.

use mesh::desired::{Owner, UNKNOWN_UID};
use plugin::{Diagnostics, Done};
use vm::Wait;

use super::work::Work;
use crate::declared::vm_address::VmAddress;
use crate::machine::{Machine, left_behind};
use crate::messages;

impl Work<'_> {
    /// Cleans the VM that the update leaves, as far as it can: the new one is in place already.
    pub(super) async fn clean_former_vm(&mut self) {
        let cleaned = self.remove_former_proxy().await;
        let warnings = cleaned.unwrap_or_else(|diagnostics| {
            let left = diagnostics.into_iter();
            left.map(|error| left_behind(&error.detail)).collect()
        });
        self.warnings.append(warnings);
    }

    async fn remove_former_proxy(&self) -> Done {
        let prior = self.target.prior;
        let former = prior.and_then(|prior| Some((prior, prior.former_vm(self.target.next)?)));
        let Some((prior, ssh)) = former else {
            return Ok(Diagnostics::none());
        };
        let done = self.bootstrapped.as_ref();
        // The same machine under another name has the new proxy.
        if done.is_some_and(|done| prior.output.machine_id.known() == Some(&done.machine_id)) {
            return Ok(Diagnostics::none());
        }
        let before = prior.output.entry_uid.known().cloned();
        let uid = before.or_else(|| self.preflight.facts.entry_uid.clone());
        let owner = Owner {
            uid: uid.unwrap_or_else(|| UNKNOWN_UID.to_owned()),
            id: self.preflight.workload.id.clone(),
        };
        let address = prior.input.address.known().map(|address| &address.0);
        let address = VmAddress::new(ssh, address, self.context.ssh()?)?;
        let mut machine = Machine::new(address, &self.context.bastions);
        // Not waited for long: an address that moved to another machine never answers again.
        let connected = machine
            .connect(Wait::Briefly(self.deadline.into_std()))
            .await;
        connected.map_err(|error| messages::vm(&error))?;
        let removed = machine.remove(&owner, self.deadline).await;
        removed.map_err(|failure| failure.diagnostics)
    }
}
