//! Why a scenario does not hold, as a text that the test's runner shows as it is.

use std::fmt;

/// What went wrong, in words.
pub struct Failure(String);

/// What the parts of a scenario return.
pub type Result<T> = std::result::Result<T, Failure>;

/// What a scenario returns.
pub type Done = Result<()>;

impl Failure {
    /// Returns a failure with that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The runner shows what a test returns by `Debug`: lines stay lines.
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
