//! The framework, held by toy resources.

#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    clippy::too_many_lines,
    reason = "test code: a panic is a failed test, and tables are long"
)]

mod data_sources;
mod declarations;
mod ephemeral;
mod failures;
mod faulty;
mod key;
mod lifecycle;
mod renamed;
mod robustness;
mod toy;
