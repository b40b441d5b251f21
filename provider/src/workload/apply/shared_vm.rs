//! The warning about a VM that another workload of this provider has as well.

use mesh::names::Id;
use mesh::workload::Workload;
use plugin::{Diagnostic, Diagnostics};

use super::work::Work;
use crate::messages::{Code, Message};

impl Work<'_> {
    /// Warns of the workloads that have the VM now, after the apply: one that had it before may be destroyed by now.
    pub(super) async fn shared_vm(&self) -> Diagnostics {
        let workload = &self.preflight.workload;
        let others = self.cluster.others(&workload.id.namespace).await;
        let others =
            others.inspect_err(|error| tracing::warn!("not looked for shared VMs: {error}"));
        let mut warnings = Diagnostics::none();
        for id in mesh::conflicts::replaced(workload, &others.unwrap_or_default()) {
            // The list may be some seconds old.
            let entry = self.cluster.entry(id).await.ok().flatten();
            let shares = entry.is_some_and(|of| mesh::conflicts::is_replaced(workload, &of));
            warnings.extend(shares.then(|| shares_vm(workload, id)));
        }
        warnings
    }
}

/// Summaries are constant, so that Terraform groups the warnings of many workloads.
fn shares_vm(workload: &Workload, other: &Id) -> Diagnostic {
    let text = format!(
        "The WorkloadEntry {other} of this provider also has the address of {}. The VM's proxy now belongs to {}, and \
         {other} receives no traffic. This is expected while one replaces the other. If both should stay, give each \
         its own VM or address.",
        workload.id, workload.id
    );
    Message::new(Code::VmShared)
        .text(text)
        .at("address")
        .warning()
}
