//! Rules and their violations.

use crate::Path;

/// A rule of the contract between Terraform and its providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Terraform can load the schema.
    Schema,
    /// A value is present and has the type of the schema.
    Encoding,
    /// A plan has the configured value or its prior value, and sets others only for computed attributes.
    ConfigEcho,
    /// An object is planned if and only if it is configured.
    Existence,
    /// A plan has the same number of elements and blocks as the configuration, with the same keys.
    Count,
    /// A write-only value is never returned.
    WriteOnly,
    /// A path that requires replacement exists.
    RequiresReplace,
    /// The plan of a destroy is null.
    DestroyPlan,
    /// The exceptions for legacy SDKs are not used.
    LegacyTypeSystem,
    /// Nothing is deferred unless the client allows it.
    Deferred,
    /// A second plan with more known values has the same action and differs only in values that were unknown.
    FinalPlan,
    /// A result has the planned values.
    Result,
    /// A state contains nothing unknown.
    Known,
    /// No state is left after a delete.
    Deleted,
    /// An import returns exactly one resource of the requested type that is not null.
    Import,
    /// An identity is present, known and does not change.
    Identity,
}

/// A violation of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} at {path}: {text}")]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Path in the value.
    pub path: Path,
    /// Description of the violation.
    pub text: String,
}
