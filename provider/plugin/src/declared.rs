//! The declaration of a kind: documentation, both sides, and what changes do.

use crate::{Attribute, Kind, Mode, Object, Raw, Rule, Type, kind_of};

/// The two sides of a state: what the user wrote, and what the provider found out. Both are objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// What the user wrote, as it came.
    pub input: Raw,
    /// What the provider found out.
    pub output: Raw,
}

/// The declaration of a resource, a data source or an ephemeral resource.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its documentation, as Markdown.
    pub doc: &'static str,
    /// What the user writes.
    pub input: Vec<Attribute>,
    /// What the provider finds out.
    pub output: Vec<Attribute>,
    /// Returns the sentence that ends the description of each attribute of a rule; empty for none.
    pub describe_rule: fn(Rule) -> &'static str,
}

impl Declared {
    /// Returns what the types of both sides declare.
    pub fn of<I: Object, O: Object>(describe_rule: fn(Rule) -> &'static str) -> Self {
        Self {
            doc: I::DOC,
            input: I::attributes(),
            output: O::attributes(),
            describe_rule,
        }
    }

    /// Returns the type of the input.
    pub fn input_kind(&self) -> Kind {
        kind_of(&self.input)
    }

    /// Returns the type of the output.
    pub fn output_kind(&self) -> Kind {
        kind_of(&self.output)
    }

    /// Returns the faults of the declarations; none if a test has loaded them.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        for (side, declared) in [(Side::Input, &self.input), (Side::Output, &self.output)] {
            let mut wrong = vec![];
            collect_misplaced(side, declared, "", &mut wrong);
            faults.extend(
                wrong
                    .into_iter()
                    .map(|name| format!("`{name}` is on the wrong side of input and output")),
            );
        }
        let is_shared =
            |attribute: &&Attribute| self.output.iter().any(|other| other.name == attribute.name);
        let shared = self.input.iter().filter(is_shared);
        faults
            .extend(shared.map(|attribute| {
                format!("`{}` is in the input and in the output", attribute.name)
            }));
        faults
    }

    /// Returns the faults in the names that make an identity.
    pub fn faults_of_identity(&self, identity: &[&'static str]) -> Vec<String> {
        let is_text = |name: &str| {
            self.input
                .iter()
                .any(|attribute| attribute.name == name && matches!(attribute.ty, Type::Text))
        };
        let unsuitable = identity.iter().filter(|name| !is_text(name));
        unsuitable
            .map(|name| format!("the identity `{name}` is no text of the input"))
            .collect()
    }
}

/// Returns documentation as Markdown: comment lines start with a space.
pub fn markdown(doc: &str) -> String {
    let lines: Vec<_> = doc
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The side of a state that an attribute belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Input,
    Output,
}

/// Collects the attributes that belong to the other side.
fn collect_misplaced(side: Side, attributes: &[Attribute], at: &str, wrong: &mut Vec<String>) {
    for attribute in attributes {
        let name = format!("{at}{}", attribute.name);
        let own = match attribute.mode {
            Mode::Computed => Side::Output,
            Mode::Required | Mode::Optional | Mode::Secret => Side::Input,
        };
        if own != side {
            wrong.push(name.clone());
        }
        if let Some(inner) = object_in(&attribute.ty) {
            collect_misplaced(side, inner, &format!("{name}."), wrong);
        }
    }
}

fn object_in(ty: &Type) -> Option<&[Attribute]> {
    match ty {
        Type::Object(attributes) => Some(attributes),
        Type::List(inner) | Type::Set(inner) | Type::Map(inner) => object_in(inner),
        Type::Text | Type::Number | Type::Bool | Type::Dynamic => None,
    }
}
