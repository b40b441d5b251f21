//! The remote program under three shells, without root, and the reader of its answer.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests are no tests to the lint"
)]

mod answers;
mod authorities;
mod containers;
mod draining;
mod earlier;
mod fetching;
mod files;
mod firewall;
mod functions;
mod hosts;
mod inputs;
mod offload;
mod packages;
mod packing;
mod parts;
mod power;
mod protocol;
mod refusals;
mod rules;
mod runs;
mod settings;
mod stage;
mod starting;
mod state;
mod style;
mod tokens;
mod traps;
mod undoing;
mod waits;
