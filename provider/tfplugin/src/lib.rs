//! Terraform's protocol 6 over a provider of the crate `plugin`: values as bytes, schemas, the service, the process.
//!
//! **Invariant**: no input panics. Broken bytes become diagnostics.

mod codec;
mod convert;
mod layout;
mod schema;
mod serve;
mod server;

pub use serve::{serve, serve_on};
pub use server::Server;
