//! States as protocol 6 has them: both sides in one object.

use plugin::{Declared, Diagnostic, Diagnostics, Fault, Kind, Raw, Sides};

/// Which attribute is on which side.
pub(crate) struct Layout {
    /// The type of a state.
    pub(crate) kind: Kind,
    /// Names of what the provider finds out.
    output: Vec<&'static str>,
}

impl Layout {
    /// Returns the layout of a declaration.
    pub(crate) fn new(declared: &Declared) -> Self {
        let both = declared.input.iter().chain(&declared.output);
        let kinds = both.map(|attribute| (attribute.name.to_owned(), attribute.ty.kind()));
        let output = declared.output.iter();
        Self {
            kind: Kind::Object(kinds.collect()),
            output: output.map(|attribute| attribute.name).collect(),
        }
    }

    /// Takes a state or a configuration apart; `None` for null.
    pub(crate) fn split(&self, state: Raw) -> Option<Sides> {
        let Raw::Map(mut input) = state else {
            return None;
        };
        let take = |name: &&'static str| {
            let value = input.remove(*name).unwrap_or_default();
            ((*name).to_owned(), value)
        };
        let output = self.output.iter().map(take).collect();
        Some(Sides {
            input: Raw::Map(input),
            output: Raw::Map(output),
        })
    }

    /// Puts both sides into one object; null for `None`.
    pub(crate) fn merge(sides: Option<Sides>) -> Raw {
        match sides {
            Some(Sides {
                input: Raw::Map(mut all),
                output: Raw::Map(output),
            }) => {
                all.extend(output);
                Raw::Map(all)
            }
            _ => Raw::Null,
        }
    }

    /// Reports each read-only attribute that the configuration sets.
    pub(crate) fn read_only(&self, config: &Raw) -> Diagnostics {
        let written = self.output.iter();
        let written = written.filter(|name| *config.get(name) != Raw::Null);
        let report = |name: &&'static str| {
            let detail = format!(
                "{name} is found out by the provider and must be unset. Remove it from the configuration."
            );
            Diagnostic::fault(Fault::ReadOnly, detail).at(*name)
        };
        written.map(report).collect()
    }
}
