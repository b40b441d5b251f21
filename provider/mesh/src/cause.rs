//! Causes of a re-bootstrap.

use std::fmt;
use std::str::FromStr;

use crate::names::Invalid;

/// Cause of a re-bootstrap. The user can hold back each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The configuration changed, or the VM runs on a different one.
    Configuration,
    /// Facts of the mesh changed in the cluster.
    Mesh,
    /// Files on the VM differ from what was written.
    Files,
    /// The machine is another one, or is not marked as ours.
    Machine,
    /// The proxy's unit or rules are not as they should be.
    Proxy,
    /// The workload's certificate expired or was not renewed.
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

    /// Returns the cause at the beginning of a line. A line without a cause is always repaired, e.g. an unfinished
    /// bootstrap or a missing entry.
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
                "a cause of a re-bootstrap",
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
