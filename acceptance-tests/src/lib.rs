//! Scenarios on the real bed.

pub mod delay;
