//! A framework for Terraform providers: protocol 6, values, schemas and resources.
//!
//! A provider implements [`Provider`], a resource [`Resource`]; both declare their objects with [`object!`].
//! The state of a resource is two structs: an input that the user writes and an output that the provider finds out.
//!
//! **Invariant**: what the user wrote is never encoded again. Plan and apply echo it as it came and fill the output
//! only, so no attribute is both optional and computed, and there are no plan modifiers and no private data.
//!
//! **Invariant**: no input panics. Broken bytes, faults of a resource and panics in it become diagnostics.

mod change;
mod data_source;
mod declaration;
mod diagnostic;
mod edits;
mod ephemeral;
mod object;
mod path;
pub mod plain;
mod provider;
mod resource;
mod rule;
mod schema;
mod serve;
mod served;
mod server;
mod shape;
mod timeouts;
mod typed;
mod unknown;
mod value;
mod wire;
mod work;

pub use data_source::{DataRegistration, DataSource, Found, data_source};
pub use declaration::{Attribute, Mode, Object, Shape, Type, kind_of, rule_at};
pub use diagnostic::{Diagnostic, Diagnostics, Done, Severity};
pub use edits::{Changed, edits};
pub use ephemeral::{EphemeralRegistration, EphemeralResource, Lease, Opened, ephemeral_resource};
pub use object::{all_unknown, field, filled, unknown_from, unknown_where};
pub use path::{Path, Step};
pub use provider::Provider;
pub use resource::{Import, ImportId, Planned, Resource, Stage};
pub use rule::Rule;
pub use serve::{serve, serve_on};
pub use served::Registration;
pub use server::Server;
pub use shape::{Key, SecretText, Text, fields};
pub use timeouts::{GoDuration, InvalidDuration, Limits, Timeouts};
pub use typed::{importable, resource};
pub use unknown::Paths;
pub use value::{InvalidNumber, Kind, Number, Raw, Value};
