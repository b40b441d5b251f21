//! Terraform's side of the plugin protocol: plays a provider and holds it to the rules.
//!
//! A [`Client`] talks to a plugin that it started, or to a server in memory. A [`Resource`] of it is played like
//! Terraform does: the proposed state is computed from configuration and prior state, plans are made twice, and
//! every answer is held to the [`rules`]. A broken rule is an [`Error::Broken`]; diagnostics of the provider
//! are data.
//!
//! ```no_run
//! # async fn example() -> Result<(), contract::Error> {
//! let client = contract::Client::launch("target/debug/terraform-provider-toy", &[]).await?;
//! client.configure(&serde_json::json!({})).await?.ok()?;
//! let thing = client.resource("toy_thing")?;
//! let config = serde_json::json!({ "name": "a" });
//! let plan = thing.plan(None, &config).await?.ok()?;
//! assert!(!plan.planned["id"].is_known());
//! let state = thing.apply(&plan, &config).await?.ok()?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod number;
mod path;
mod play;
mod process;
mod proposed;
pub mod rules;
pub mod schema;
mod tls;
mod value;
mod violation;
mod walk;

#[cfg(test)]
mod testing;

pub use answer::{Answer, Diagnostic, Error, Severity};
pub use client::Client;
pub use path::{Path, Step};
pub use play::{Action, DataSource, EphemeralResource, Opened, Plan, Resource, State};
pub use process::{Address, COOKIE, Handshake, Process, connect, in_memory};
pub use tls::ClientCertificate;
pub use value::{Mismatch, Type, UNKNOWN, Value};
pub use violation::{Rule, Violation};

/// The protocol's messages, for calls that are not played.
pub use proto::tfplugin6 as wire;
