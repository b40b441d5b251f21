//! Tests of the public interface of the crate.
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that cannot go on panics; what is expected is long"
)]

mod authority;
mod bundle;
mod change;
mod conflicts;
mod drift;
mod fleet;
mod identity;
mod import;
mod known;
mod lines;
mod listeners;
mod names;
mod network;
mod objects;
mod offload;
mod properties;
mod reserved;
mod rivals;
mod rollout;
mod sample;
mod token_command;
mod validate;
mod withdrawal;
