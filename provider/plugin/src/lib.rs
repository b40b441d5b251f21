//! A framework for infrastructure providers: values, declarations, resources, data sources, ephemeral resources.
//!
//! A provider implements [`Provider`], a resource [`Resource`]; both declare their objects with [`object!`].
//! The state of a resource is two structs: an input that the user writes and an output that the provider finds out.
//! A protocol calls what is registered through [`Registry`], by raw values.
//!
//! **Invariant**: what the user wrote is never encoded again. Plan and apply echo it as it came and fill the output
//! only, so no attribute is both optional and computed, and there are no plan modifiers and no private data.
//!
//! **Invariant**: no input panics. Faults of a resource and panics in it become diagnostics.
//!
//! **Invariant**: no protocol and no engine is known here.

mod change;
mod data_source;
mod deadline;
mod declaration;
mod declared;
mod diagnostic;
mod edits;
mod ephemeral;
mod fault;
mod object;
mod path;
mod provider;
mod registry;
mod resource;
mod rule;
mod served;
mod shape;
mod text;
mod timeouts;
mod typed;
mod unknown;
mod value;
mod work;
mod written;

pub use data_source::{DataRegistration, DataSource, Found, ServedData, data_source};
pub use deadline::Deadline;
pub use declaration::{Attribute, Mode, Object, Shape, Type, kind_of, rule_at};
pub use declared::{Declared, Sides, markdown};
pub use diagnostic::{Diagnostic, Diagnostics, Done, Severity};
pub use edits::{Changed, edits};
pub use ephemeral::{
    EphemeralRegistration, EphemeralResource, Lease, Opened, ServedEphemeral, ephemeral_resource,
};
pub use fault::Fault;
pub use object::{all_unknown, field, filled, unknown_from, unknown_where};
pub use path::{Path, Step};
pub use provider::Provider;
pub use registry::Registry;
pub use resource::{Import, ImportId, Imported, Planned, Resource, Stage, Stored};
pub use rule::Rule;
pub use served::{Bounds, Described, Named, PlannedChange, Registration, Served};
pub use shape::fields;
pub use text::{Key, SecretText, Text};
pub use timeouts::{GoDuration, InvalidDuration, Limits, Timeouts};
pub use typed::{importable, resource};
pub use unknown::Paths;
pub use value::{InvalidNumber, Kind, Number, Raw, Value};
pub use work::crashed;
