//! Scenarios on the real bed, each with a namespace and a VM of its own.
//!
//! They need root and a bed: `cargo xtask test` brings one up; alone, see the message that they fail with.

mod demo;

/// The workload of `scenarios/workload.tf`.
const WORKLOAD: &str = "mesh_vm_workload.ratings";
