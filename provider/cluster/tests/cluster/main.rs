//! The crate against the real kube-apiserver, with faults put in between where one is needed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod bed;
mod certificates;
mod faults;
mod fronts;
mod istioctl;
mod keyed_lists;
mod knowledge;
mod kubectl;
mod objects;
mod renewal;
mod rights;
mod rollouts;
mod versions;
