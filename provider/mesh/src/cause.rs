//! Why a VM would be bootstrapped.

use std::fmt;
use std::str::FromStr;

use crate::names::Invalid;

/// Why a VM would be bootstrapped. Each can be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// What the user asks for changed, or the VM runs on something else than that.
    Configuration,
    /// What the cluster says of the mesh changed.
    Mesh,
    /// Files on the VM are not as they were written.
    Files,
    /// Another machine, or one that is not marked as ours.
    Machine,
    /// The proxy does not run as it should: its unit, its rules.
    Proxy,
    /// The workload's certificate ended.
    Certificate,
}

impl Cause {
    const ALL: [Self; 6] = [
        Self::Configuration,
        Self::Mesh,
        Self::Files,
        Self::Machine,
        Self::Proxy,
        Self::Certificate,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Mesh => "mesh",
            Self::Files => "files",
            Self::Machine => "machine",
            Self::Proxy => "proxy",
            Self::Certificate => "certificate",
        }
    }

    /// Returns the cause with which a line begins. One without a cause
    /// is always repaired: a bootstrap that was not finished, an entry that is missing.
    pub fn of_line(line: &str) -> Option<Self> {
        line.split_once(": ")?.0.parse().ok()
    }
}

impl FromStr for Cause {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cause = Self::ALL.into_iter().find(|cause| cause.word() == text);
        cause.ok_or_else(|| {
            Invalid::new(
                text,
                "a cause of a bootstrap",
                "one of configuration, mesh, files, machine, proxy, certificate",
            )
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
