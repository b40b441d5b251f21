//! The crate against the real kube-apiserver, with faults put in between where one is needed.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod bed;
mod faults;
mod istioctl;
mod keyed_lists;
mod knowledge;
mod objects;
mod rights;
mod versions;
