//! What can go wrong on the bed.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a part of the bed does not stand.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, folder or process of the bed could not be used.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// Exit status or signal.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// Something did not come in time.
    #[error("{what} not after {} s{}", limit.as_secs(), said(last))]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last, with the log to look at.
        last: String,
    },
    /// The machine lacks something, or the bed is in the wrong state for the call.
    #[error("{0}")]
    Refused(String),
}

/// What calls on the bed return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns a closure for `map_err` that says what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// Returns a closure for `map_err` that says what was tried with a path.
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
