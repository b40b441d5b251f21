//! Failures of scenarios, as text that the test runner shows unchanged.

use std::fmt;

/// Description of a failure.
pub struct Failure(String);

/// Result of a part of a scenario.
pub type Result<T> = std::result::Result<T, Failure>;

/// Result of a scenario.
pub type Done = Result<()>;

impl Failure {
    /// Returns a failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The runner shows the result of a test with `Debug`, so line breaks are kept.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<bed::Error> for Failure {
    fn from(error: bed::Error) -> Self {
        Self(error.chain())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<contract::Error> for Failure {
    fn from(error: contract::Error) -> Self {
        Self(error.to_string())
    }
}
