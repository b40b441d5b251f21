//! What the remote program reports in the end.

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
    /// The VM runs on the new bundle, finally.
    Committed {
        /// Version of the proxy's package.
        version: Option<String>,
        /// `/etc/machine-id`.
        machine_id: String,
        /// The VM's sudo keeps what is sent to it (`log_input`): the token is on its disk.
        recorded: bool,
        /// A global IPv6 address of the VM, where only traffic over IPv4 is intercepted.
        bypass: Option<String>,
        /// Ports, with spaces between, whose traffic something else forwards before Istio's rules see it.
        published: Option<String>,
        /// What the VM said in a form that it cannot have, by the program's own words for it: none of it is used.
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
        /// What the step said, or the proxy's last lines; bounded, without secrets.
        lines: Vec<String>,
    },
    /// `remove`: the VM is out of the mesh.
    Removed {
        /// Paths that could not be removed.
        left: Vec<String>,
    },
    /// The proxy belongs to somebody else; nothing was touched.
    Foreign(Owner),
    /// Another run was still going on when the patience for it ended.
    Busy {
        /// Its id.
        run: String,
        /// Its verb.
        verb: String,
    },
    /// The run failed or died, and could not be undone: the VM is changed in part. The next run
    /// undoes it first.
    Halfway {
        /// The step at which it ended; empty where it had begun none.
        step: String,
        /// What the step and its undoing said; bounded, without secrets.
        lines: Vec<String>,
    },
    /// The VM knows nothing of the run: it rebooted before the run changed anything.
    Lost,
}

/// One thing that a bootstrap needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name, e.g. `clock`.
    pub name: String,
    /// What came out.
    pub verdict: Verdict,
    /// What was found, or why nothing could be.
    pub found: String,
}

/// What came out of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as needed.
    Ok,
    /// It is not.
    Bad,
    /// It could not be checked, which says nothing about the VM.
    Unknown,
}
