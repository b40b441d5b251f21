//! The types of values.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{Path, Step};

/// A type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number of any size.
    Number,
    /// A truth value.
    Bool,
    /// The type is part of the value.
    Dynamic,
    /// A list of one type.
    List(Box<Kind>),
    /// A set of one type: no order, no duplicates.
    Set(Box<Kind>),
    /// A map of one type.
    Map(Box<Kind>),
    /// A list of fixed length, each place with its type.
    Tuple(Vec<Kind>),
    /// An object with exactly these attributes.
    Object(BTreeMap<String, Kind>),
}

impl Kind {
    /// Returns the type of a map's element or an object's attribute.
    pub fn entry(&self, key: &str) -> Option<&Kind> {
        match self {
            Self::Map(inner) => Some(inner),
            Self::Object(attributes) => attributes.get(key),
            _ => None,
        }
    }

    /// Returns a path as this type has it, as far as the type goes.
    ///
    /// No element of a set can be addressed: the path ends at the set. The key of a map of leaves takes all
    /// that is left, since label keys have dots of their own.
    pub fn resolve(&self, path: &Path) -> Path {
        let mut steps = vec![];
        let mut kind = self;
        for (place, step) in path.steps().iter().enumerate() {
            let text = step.text();
            let (step, inner) = match kind {
                Kind::Object(attributes) => match attributes.get(&*text) {
                    Some(inner) => (Step::Name(text.into_owned().into()), inner),
                    None => break,
                },
                Kind::Map(inner) if matches!(**inner, Kind::Text | Kind::Number | Kind::Bool) => {
                    steps.push(Step::Key(rest(path, place).flat()));
                    break;
                }
                Kind::Map(inner) => (Step::Key(text.into_owned()), &**inner),
                Kind::List(inner) => match text.parse() {
                    Ok(index) => (Step::Index(index), &**inner),
                    Err(_) => break,
                },
                _ => break,
            };
            steps.push(step);
            kind = inner;
        }
        steps.into_iter().collect()
    }

    /// Returns the step to a map's element or an object's attribute.
    pub fn step(&self, key: &str) -> Step {
        match self {
            Self::Object(_) => Step::Name(Cow::Owned(key.to_owned())),
            _ => Step::Key(key.to_owned()),
        }
    }

    /// Returns what a value of this type is, for messages: `a number`.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Bool => "a bool",
            Self::Dynamic => "a dynamic value",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Map(_) => "a map",
            Self::Tuple(_) => "a tuple",
            Self::Object(_) => "an object",
        }
    }
}

/// Returns the steps of a path from a place on.
fn rest(path: &Path, place: usize) -> Path {
    path.steps().iter().skip(place).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_text_becomes_the_schemas_path() {
        let port = Kind::Object([("number".into(), Kind::Number)].into());
        let kind = Kind::Object(
            [
                ("labels".into(), Kind::Map(Box::new(Kind::Text))),
                ("ports".into(), Kind::Map(Box::new(port.clone()))),
                ("hosts".into(), Kind::List(Box::new(port.clone()))),
                ("seen".into(), Kind::Set(Box::new(port))),
            ]
            .into(),
        );
        let resolved = |text: &str| kind.resolve(&Path::from(text));
        assert_eq!(
            resolved("labels.app.kubernetes.io/name"),
            Path::root().name("labels").key("app.kubernetes.io/name")
        );
        assert_eq!(
            resolved("ports.http.number"),
            Path::root().name("ports").key("http").name("number")
        );
        assert_eq!(
            resolved("hosts.2.number"),
            Path::root().name("hosts").index(2).name("number")
        );
        assert_eq!(resolved("seen[0].number"), Path::root().name("seen"));
        assert_eq!(
            resolved("ports.http.nothing"),
            Path::root().name("ports").key("http")
        );
    }
}
