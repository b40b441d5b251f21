//! What an error says of a namespace, a setting or a field.

use std::fmt;

/// Why istiod has not written the root certificate into a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootCause {
    /// The namespace does not exist.
    NoNamespace,
    /// The mesh config's `discoverySelectors` leave the namespace out.
    NotSelected,
    /// istiod should have by now.
    Istiod,
}

/// An attribute of the provider's `kubernetes` block that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// Its name, e.g. `cluster_ca_certificate`.
    pub attribute: &'static str,
    /// The problem and the fix; never a secret's value.
    pub text: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubernetes.{} {}", self.attribute, self.text)
    }
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// Name of the owner, e.g. `kubectl-edit`.
    pub owner: String,
    /// The field, e.g. `.spec.weight`.
    pub field: String,
}

impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is owned by {}", self.field, self.owner)
    }
}

/// A field that the server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCause {
    /// The field, e.g. `spec.ports[0].number`; may be empty.
    pub field: String,
    /// Why.
    pub message: String,
}
