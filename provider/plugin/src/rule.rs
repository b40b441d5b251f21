//! What a change of an attribute does: a value of the provider's own, which stands at the attribute and nowhere else.

/// What a change of an attribute does.
///
/// A provider names its rules as constants; the framework compares ranks only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How much it does, on the provider's own scale: 0 for nothing but a new state.
    pub rank: u8,
    /// Whether the resource is replaced instead of updated.
    pub replaces: bool,
    /// The provider's word for what else it wants to know of the rule.
    pub topic: &'static str,
    /// Whether the value is shown nowhere but in its own attribute: a user may put a secret there.
    pub hides: bool,
}

impl Rule {
    /// A change of the state only.
    pub const NONE: Self = Self::new(0);

    /// Returns a rule of this rank.
    pub const fn new(rank: u8) -> Self {
        Self {
            rank,
            replaces: false,
            topic: "",
            hides: false,
        }
    }

    /// Returns the rule for an attribute of which a change replaces the resource.
    #[must_use]
    pub const fn replacing(self) -> Self {
        Self {
            replaces: true,
            ..self
        }
    }

    /// Returns the rule with a word of the provider's.
    #[must_use]
    pub const fn topic(self, topic: &'static str) -> Self {
        Self { topic, ..self }
    }

    /// Returns the rule for a value that is shown nowhere but in its own attribute.
    #[must_use]
    pub const fn hidden(self) -> Self {
        Self {
            hides: true,
            ..self
        }
    }
}

/// Returns the rule of an attribute; without one, a change of it does nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! rule {
    () => {
        $crate::Rule::NONE
    };
    ($rule:expr) => {
        $rule
    };
}
