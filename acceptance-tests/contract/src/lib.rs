//! Terraform's side of the plugin protocol: calls a provider as Terraform does and enforces its rules.
//!
//! A [`Client`] is connected to a plugin that it started or to a server in memory. It handles a [`Resource`] as Terraform
//! does: it computes the proposed state from the configuration and the prior state, plans twice, and checks every
//! response against the [`rules`]. A violation is an [`Error::Broken`]; diagnostics of the provider are data.
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

/// Messages of the protocol, for direct calls.
pub use proto::tfplugin6 as wire;
