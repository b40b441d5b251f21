//! The diagnostics of the framework itself, by code. A provider's guide has a section for each.

use crate::Diagnostic;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $Fault:ident $code:literal $title:literal;)+) => {
        /// What a diagnostic of the framework reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $( $(#[doc = $doc])+ $Fault, )+ }

        impl Fault {
            /// All faults.
            pub const ALL: &[Self] = &[$(Self::$Fault),+];

            /// Returns the code, which is the same in every version.
            pub fn code(self) -> &'static str {
                match self { $( Self::$Fault => $code, )+ }
            }

            /// Returns the title of its diagnostics.
            pub fn title(self) -> &'static str {
                match self { $( Self::$Fault => $title, )+ }
            }
        }
    };
}

faults! {
    /// A value is not of its type, or misses a rule of it.
    InvalidValue "invalid-value" "Invalid value";
    /// The key of a map misses a rule.
    InvalidKey "invalid-key" "Invalid key";
    /// The configuration sets what the provider finds out.
    ReadOnly "read-only" "Invalid Configuration for Read-Only Attribute";
    /// A stored value that today's rules refuse.
    StoredValue "stored-value" "Stored value is not accepted";
    /// A value that does not fit the schema.
    Misfit "schema-mismatch" "Value does not fit the schema";
    /// A state of a later version.
    NewerState "newer-state" "State was stored by a newer provider";
    /// A type that the provider does not serve.
    UnknownType "unknown-type" "Unknown type";
    /// An import of what cannot be imported.
    NotImportable "not-importable" "Import is not supported";
    /// An import without a part of the identity.
    IncompleteIdentity "incomplete-identity" "Incomplete identity";
    /// A call before the configuration.
    NotConfigured "not-configured" "Provider is not configured";
    /// An operation that took too long.
    Timeout "timeout" "Timeout";
    /// An operation that was stopped.
    Interrupted "interrupted" "Interrupted";
    /// A panic.
    Crashed "crashed" "The provider crashed";
    /// A change that left no state.
    NoState "no-state" "Provider returned no state";
    /// A declaration that contradicts itself.
    FaultySchema "faulty-schema" "Faulty schema";
}

impl Diagnostic {
    /// Returns an error of the framework.
    pub fn fault(fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            code: Some(fault.code()),
            ..Self::error(fault.title(), detail)
        }
    }
}
