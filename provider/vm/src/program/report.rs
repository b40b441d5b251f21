//! How a call of the remote program ended.

use mesh::desired::Owner;
use mesh::observed::ObservedVm;

use super::RunId;

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each call")]
pub enum Report {
    /// `observe`: the VM as it was found.
    Observed(ObservedVm),
    /// `check`: each check.
    Checked(Vec<Check>),
    /// The VM runs on the new bundle.
    Committed {
        /// Version of the proxy's package.
        version: Option<String>,
        /// `/etc/machine-id`.
        machine_id: String,
        /// The VM's sudo keeps what is sent to it (`log_input`): the token is on its disk.
        recorded: bool,
        /// A global IPv6 address of the VM, where only traffic over IPv4 is intercepted.
        bypass: Option<String>,
        /// Ports, separated by spaces, whose traffic something else forwards before Istio's rules see it.
        published: Option<String>,
        /// The proxy's ports that the VM's own firewall keeps pods from, each with the rule; bounded.
        blocked: Vec<String>,
        /// The keys of values in a form that they cannot have: none of these values is used.
        strange: Vec<&'static str>,
    },
    /// The proxy is ready; `commit` over a new connection makes it final.
    AwaitsVerdict(RunId),
    /// The run failed before it changed anything that had to be undone.
    Untouched {
        /// The step that failed, e.g. `check`.
        step: String,
        /// As in [`Report::Reverted`].
        hop: Option<String>,
        /// As in [`Report::Reverted`].
        lines: Vec<String>,
    },
    /// The run failed and was undone: the VM is as it was before.
    Reverted {
        /// The step that failed, e.g. `install`, `ready`; `verdict` when none came.
        step: String,
        /// What broke, the name of a [`Check`] or of what the proxy's log shows: `dns`,
        /// `control-plane`, `tls-name`, `trust-root`, `clock`, `token`, `service-account`, `ports`, `address`.
        hop: Option<String>,
        /// What the step printed, or the proxy's last lines; bounded, without secrets.
        lines: Vec<String>,
    },
    /// `remove`: the VM is out of the mesh.
    Removed {
        /// Paths that could not be removed.
        left: Vec<String>,
    },
    /// The proxy belongs to another owner; nothing was touched.
    Foreign(Owner),
    /// Another run did not end in time.
    Busy {
        /// Its id.
        run: String,
        /// Its verb.
        verb: String,
    },
    /// The run failed or died, and could not be undone: the VM is partly changed. The next run
    /// undoes it first.
    Halfway {
        /// The step at which it ended; empty if it had begun none.
        step: String,
        /// What the step and its undoing printed; bounded, without secrets.
        lines: Vec<String>,
    },
    /// The VM knows nothing of the run: it rebooted before the run changed anything.
    Lost,
}

/// One requirement of a bootstrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name, e.g. `clock`.
    pub name: String,
    /// Its outcome.
    pub verdict: Verdict,
    /// What was found, or why nothing could be.
    pub found: String,
}

/// The outcome of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as needed.
    Ok,
    /// It is not.
    Bad,
    /// It could not be checked, which says nothing about the VM.
    Unknown,
}
