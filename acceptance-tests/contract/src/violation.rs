//! The rules, and what breaks them.

use crate::Path;

/// A rule of the contract between Terraform and its providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Terraform can load the schema.
    Schema,
    /// A value is there and has the type of the schema.
    Encoding,
    /// A plan echoes what is configured, or the prior value of it, and computes only what is computed.
    ConfigEcho,
    /// An object is planned if and only if it is configured.
    Existence,
    /// As many elements and blocks are planned as are configured, under the same keys.
    Count,
    /// A write-only value never comes back.
    WriteOnly,
    /// A path that requires replacement exists.
    RequiresReplace,
    /// The plan of a destroy is null.
    DestroyPlan,
    /// The liberties of old SDKs are not taken.
    LegacyTypeSystem,
    /// Nothing is deferred unless the client allows it.
    Deferred,
    /// A plan made again with more known differs only where the first was unknown, and does the same.
    FinalPlan,
    /// A result has what was planned.
    Result,
    /// A state holds nothing unknown.
    Known,
    /// Nothing is left after a delete.
    Deleted,
    /// An import gives exactly one resource, with its type, and not null.
    Import,
    /// An identity is there, is known and does not change.
    Identity,
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} at {path}: {text}")]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Where in the value.
    pub path: Path,
    /// What was found.
    pub text: String,
}
