//! What is expected of a VM at the time of an observation.

use std::time::Duration;

use jiff::Timestamp;

/// What is expected of a VM, besides what it should run on.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// The machine id at the last bootstrap, if it is known.
    pub machine_id: Option<&'a str>,
    /// The package's version at the last bootstrap, where a certain package is asked for; else any is as good.
    pub version: Option<&'a str>,
    /// The time of the observation.
    pub now: Timestamp,
    /// How long its certificate must still be valid.
    pub rotate_before: Duration,
}
