//! Expectations of a VM at the time of an observation.

use std::time::Duration;

use jiff::Timestamp;

/// Expectations of a VM, in addition to its bundle.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// Machine ID at the last bootstrap, if it is known.
    pub machine_id: Option<&'a str>,
    /// Version of the package at the last bootstrap, if the user selects a version or a package; otherwise any version is
    /// accepted.
    pub version: Option<&'a str>,
    /// Time of the observation.
    pub now: Timestamp,
    /// Remaining validity that its certificate must have.
    pub rotate_before: Duration,
}
