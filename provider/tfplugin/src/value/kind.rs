//! The types of Terraform, as the wire has them.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value as Json, json};

use super::{Malformed, Raw};
use crate::Step;

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

    /// Returns an object's attributes, all null: an object always has every one of them. A map has none.
    pub(crate) fn empty_fields(&self) -> BTreeMap<String, Raw> {
        match self {
            Self::Object(attributes) => attributes
                .keys()
                .map(|name| (name.clone(), Raw::Null))
                .collect(),
            _ => BTreeMap::new(),
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
