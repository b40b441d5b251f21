//! The name of a run.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// Names one run of the program on a VM: 32 lower-case hex digits. Unique, not secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId(String);

/// A text that is no run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run id {0:?} is not 32 hex digits")]
pub struct InvalidRunId(String);

impl RunId {
    /// Returns a new id.
    pub fn generate() -> Self {
        // The standard library seeds each of these from the system's random source.
        let half = || RandomState::new().hash_one(std::process::id());
        Self(format!("{:016x}{:016x}", half(), half()))
    }

    /// Returns the hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRunId(text.into()))
        }
    }
}
