//! Scenarios on the real bed.
