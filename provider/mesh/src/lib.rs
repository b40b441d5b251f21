//! Everything that makes a VM a member of an Istio mesh, as pure functions from values to values.
//!
//! ```text
//! config -> Workload ─┐
//!             Facts ──┴-> render -> Desired ─┬-> objects -> cluster
//!                                            └-> bundle  -> vm
//! Desired, ObservedObjects, ObservedVm -> compare -> Drift
//! edits, Drift                         -> decide  -> Change
//! ```
//!
//! **Invariant**: this crate uses no clock, environment, file system, network or process, and no
//! terms of Terraform.

pub mod bounded;
pub mod bundle;
pub mod cause;
pub mod change;
pub mod conflicts;
pub mod desired;
pub mod drift;
pub mod facts;
pub mod fleet;
pub mod health;
pub mod identity;
pub mod import;
pub mod keyed_list;
pub mod leftover;
pub mod mark;
pub mod meaning;
pub mod names;
pub mod nearest;
pub mod network;
pub mod objects;
pub mod observed;
pub mod ports;
pub mod proxy_config;
pub mod render;
pub mod reserved;
pub mod rivals;
pub mod rollout;
pub mod rule;
mod selection;
pub mod source;
pub mod validate;
pub mod withdrawal;
pub mod workload;
