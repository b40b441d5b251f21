//! The wire types of the Terraform plugin protocol 6 and of go-plugin.
//!
//! Generated from the `.proto` files beside this crate's manifest by `cargo xtask codegen`.
//! The features `server` and `client` add the service traits and the stubs that call them.

/// A point in time, as messages have it.
pub use prost_types::Timestamp;

/// The Terraform plugin protocol: messages and the service `Provider`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/tfplugin6.rs"]
pub mod tfplugin6;

/// The services of go-plugin: controller, broker and standard output.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/plugin.rs"]
pub mod plugin;
