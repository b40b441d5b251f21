//! Errors of the bed.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Error of a part of the bed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, folder or process of the bed could not be used.
    #[error("cannot {what}")]
    Io {
        /// Failed operation, with the path.
        what: String,
        /// Error of the system.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Exit status or signal.
        status: String,
        /// End of its output.
        output: String,
    },
    /// A condition was not met in time.
    #[error("{what}: not within {} s{}", limit.as_secs(), said(last))]
    Late {
        /// Condition.
        what: String,
        /// Time limit.
        limit: Duration,
        /// Last observation, with the relevant log.
        last: String,
    },
    /// A requirement of the machine is missing, or the bed is in the wrong state for the call.
    #[error("{0}")]
    Refused(String),
}

/// Result of calls on the bed.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns a closure for `map_err` that adds the failed operation.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// Returns a closure for `map_err` that adds the failed operation and its path.
    pub(crate) fn at(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("{verb} {}", path.display()))
    }

    /// Returns the error with its causes in one line.
    pub fn chain(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

fn said(last: &str) -> String {
    if last.is_empty() {
        String::new()
    } else {
        format!(": {last}")
    }
}
