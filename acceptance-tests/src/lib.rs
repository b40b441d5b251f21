//! Building blocks of scenarios on the real bed: the bed, the real `terraform`, and observation of a VM.

pub mod delay;

mod beside;
mod cell;
mod failure;
mod look;
mod queue;
mod terraform;
pub mod wire;
pub mod workload;
mod world;

pub use beside::Beside;
pub use cell::Cell;
pub use failure::{Done, Failure, Result};
pub use look::{Listing, listing, proxy};
pub use terraform::{Plan, Run, Terraform};
pub use world::{Scenario, VARIABLE, wait_for};
