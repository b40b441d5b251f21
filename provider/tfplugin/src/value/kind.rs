//! The types of Terraform, as the wire has them.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value as Json, json};

use super::Malformed;
use crate::{Path, Step};

/// A type of Terraform's type system.
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

/// The deepest nesting of types and values that is read; a type of a real schema has about ten levels.
pub(crate) const DEEPEST: usize = 64;

impl Kind {
    /// Returns the type in the JSON that schemas and dynamic values carry: `["list","string"]`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text => json!("string"),
            Self::Number => json!("number"),
            Self::Bool => json!("bool"),
            Self::Dynamic => json!("dynamic"),
            Self::List(inner) => json!(["list", inner.to_json()]),
            Self::Set(inner) => json!(["set", inner.to_json()]),
            Self::Map(inner) => json!(["map", inner.to_json()]),
            Self::Tuple(inner) => {
                json!(["tuple", inner.iter().map(Self::to_json).collect::<Vec<_>>()])
            }
            Self::Object(inner) => {
                let inner: serde_json::Map<_, _> = inner
                    .iter()
                    .map(|(name, kind)| (name.clone(), kind.to_json()))
                    .collect();
                json!(["object", inner])
            }
        }
    }

    /// Reads a type from the JSON that dynamic values carry; `None` if it is no type.
    pub fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::String(name) => match name.as_str() {
                "string" => Some(Self::Text),
                "number" => Some(Self::Number),
                "bool" => Some(Self::Bool),
                "dynamic" => Some(Self::Dynamic),
                _ => None,
            },
            Json::Array(parts) => compound(parts),
            _ => None,
        }
    }

    /// Returns the type of a map's element or an object's attribute.
    pub(crate) fn entry(&self, key: &str) -> Option<&Kind> {
        match self {
            Self::Map(inner) => Some(inner),
            Self::Object(attributes) => attributes.get(key),
            _ => None,
        }
    }

    /// Returns a path as this type has it, as far as the type goes.
    ///
    /// Terraform cannot address an element of a set: the path ends at the set. The key of a map of leaves takes all
    /// that is left, since label keys have dots of their own.
    pub(crate) fn resolve(&self, path: &Path) -> Path {
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
    pub(crate) fn step(&self, key: &str) -> Step {
        match self {
            Self::Object(_) => Step::Name(Cow::Owned(key.to_owned())),
            _ => Step::Key(key.to_owned()),
        }
    }

    /// Returns what a value of this type is, for messages: `a number`.
    pub(crate) fn noun(&self) -> &'static str {
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

fn compound(parts: &[Json]) -> Option<Kind> {
    // An object may have a third part: the names of its optional attributes.
    let (Json::String(name), inner) = (parts.first()?, parts.get(1)?) else {
        return None;
    };
    let boxed = || Kind::from_json(inner).map(Box::new);
    match name.as_str() {
        "list" => boxed().map(Kind::List),
        "set" => boxed().map(Kind::Set),
        "map" => boxed().map(Kind::Map),
        "tuple" => inner
            .as_array()?
            .iter()
            .map(Kind::from_json)
            .collect::<Option<_>>()
            .map(Kind::Tuple),
        "object" => {
            let attributes = inner.as_object()?.iter();
            attributes
                .map(|(name, kind)| Some((name.clone(), Kind::from_json(kind)?)))
                .collect::<Option<_>>()
                .map(Kind::Object)
        }
        _ => None,
    }
}

/// Reads a type from the bytes that a dynamic value carries.
pub(super) fn read_kind(json: &[u8]) -> Result<Kind, Malformed> {
    let json: Option<Json> = serde_json::from_slice(json).ok();
    json.as_ref()
        .and_then(Kind::from_json)
        .ok_or_else(|| Malformed::new("the type of a dynamic value is no type"))
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
