//! Types and values of Terraform and their JSON representation.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::ops::Index;

use serde_json::Value as Json;

use crate::number;
use crate::{Path, Step};

mod msgpack;

/// Represents an unknown value in a JSON configuration.
pub const UNKNOWN: &str = "<unknown until apply>";

/// A type constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string.
    String,
    /// A decimal number of any size.
    Number,
    /// A boolean.
    Bool,
    /// Any type; the value contains its own.
    Dynamic,
    /// A sequence.
    List(Box<Type>),
    /// A collection without order and duplicates.
    Set(Box<Type>),
    /// Values by name, all of the same type.
    Map(Box<Type>),
    /// Values by name, each of its own type. All must be present.
    Object(BTreeMap<String, Type>),
    /// A sequence of fixed length, each element of its own type.
    Tuple(Vec<Type>),
}

impl Type {
    /// Parses the JSON representation: `"string"`, `["list", "string"]`, `["object", {"a": "bool"}]`.
    pub fn from_json(json: &Json) -> Option<Self> {
        if let Some(name) = json.as_str() {
            let simple = [
                ("string", Self::String),
                ("number", Self::Number),
                ("bool", Self::Bool),
                ("dynamic", Self::Dynamic),
            ];
            return simple
                .into_iter()
                .find_map(|(known, ty)| (known == name).then_some(ty));
        }
        let of = json.get(1)?;
        let element = || Self::from_json(of).map(Box::new);
        match json.get(0)?.as_str()? {
            "list" => element().map(Self::List),
            "set" => element().map(Self::Set),
            "map" => element().map(Self::Map),
            "tuple" => of
                .as_array()?
                .iter()
                .map(Self::from_json)
                .collect::<Option<_>>()
                .map(Self::Tuple),
            "object" => {
                let attributes = of
                    .as_object()?
                    .iter()
                    .map(|(name, ty)| Some((name.clone(), Self::from_json(ty)?)));
                attributes.collect::<Option<_>>().map(Self::Object)
            }
            _ => None,
        }
    }
}

/// A value, which may be or contain an unknown value.
///
/// The elements of a set are sorted and unique, and numbers are normalized, so that equal values compare as equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Not known before apply.
    Unknown,
    /// Absent.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number, as decimal text in its shortest form.
    Number(String),
    /// Text.
    String(String),
    /// A list, a set or a tuple.
    List(Vec<Value>),
    /// A map or an object.
    Map(BTreeMap<String, Value>),
    /// A value of a dynamic type, with the JSON form of that type.
    Typed(String, Box<Value>),
}

impl Value {
    /// Returns true if the value contains nothing unknown.
    pub fn is_known(&self) -> bool {
        self.first_unknown().is_none()
    }

    /// Returns the path of the first unknown value.
    pub fn first_unknown(&self) -> Option<Path> {
        match self {
            Self::Unknown => Some(Path::default()),
            Self::List(items) => items
                .iter()
                .zip(0..)
                .find_map(|(item, index)| Some(item.first_unknown()?.below(index))),
            Self::Map(items) => items
                .iter()
                .find_map(|(name, item)| Some(item.first_unknown()?.below(name))),
            Self::Typed(_, value) => value.first_unknown(),
            _ => None,
        }
    }

    /// Returns the JSON representation; an unknown value becomes [`UNKNOWN`].
    pub fn to_json(&self) -> Json {
        match self {
            Self::Unknown => UNKNOWN.into(),
            Self::Null => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(text) => {
                serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())
            }
            Self::String(text) => text.clone().into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(items) => items
                .iter()
                .map(|(name, item)| (name.clone(), item.to_json()))
                .collect(),
            Self::Typed(ty, value) => {
                serde_json::json!({ "type": json_type(ty), "value": value.to_json() })
            }
        }
    }

    /// Parses a value of type `ty` from JSON. [`UNKNOWN`] is an unknown value, and an absent attribute is null.
    ///
    /// # Errors
    /// Returns a [`Mismatch`] with the first path that does not match the type.
    pub fn from_json(json: &Json, ty: &Type) -> Result<Self, Mismatch> {
        Ok(match (ty, json) {
            (_, Json::Null) => Self::Null,
            (_, Json::String(text)) if text == UNKNOWN => Self::Unknown,
            (Type::String, Json::String(text)) => Self::String(text.clone()),
            (Type::Bool, Json::Bool(value)) => Self::Bool(*value),
            (Type::Number, Json::Number(number)) => parse_number(&number.to_string())?,
            // Terraform converts strings to numbers; JSON numbers lose digits.
            (Type::Number, Json::String(text)) => parse_number(text)?,
            (Type::List(of), Json::Array(items)) => {
                Self::List(each(items, |item| Self::from_json(item, of))?)
            }
            (Type::Set(of), Json::Array(items)) => {
                set(each(items, |item| Self::from_json(item, of))?)
            }
            (Type::Tuple(of), Json::Array(items)) if of.len() == items.len() => {
                let mut types = of.iter();
                Self::List(each(items, |item| {
                    types
                        .next()
                        .map_or(Ok(Self::Null), |ty| Self::from_json(item, ty))
                })?)
            }
            (Type::Map(of), Json::Object(items)) => Self::Map(each_named(items.clone(), |item| {
                Self::from_json(&item, of)
            })?),
            (Type::Object(of), Json::Object(items)) => {
                if let Some(name) = items.keys().find(|name| !of.contains_key(*name)) {
                    return Err(Mismatch::new("no such attribute", json).below(name));
                }
                let written = of
                    .iter()
                    .map(|(name, ty)| (name.clone(), (items.get(name).unwrap_or(&Json::Null), ty)));
                Self::Map(each_named(written, |(item, ty)| Self::from_json(item, ty))?)
            }
            (Type::Dynamic, Json::Object(parts))
                if parts.contains_key("type") && parts.contains_key("value") =>
            {
                let ty = Type::from_json(&parts["type"])
                    .ok_or_else(|| Mismatch::new("a type", &parts["type"]))?;
                Self::Typed(
                    parts["type"].to_string(),
                    Box::new(Self::from_json(&parts["value"], &ty)?),
                )
            }
            _ => return Err(Mismatch::new(&expected(ty), json)),
        })
    }
}

fn parse_number(text: &str) -> Result<Value, Mismatch> {
    number::canonical(text)
        .map(Value::Number)
        .ok_or_else(|| Mismatch::new("a number", text))
}

fn set(mut items: Vec<Value>) -> Value {
    items.sort();
    items.dedup();
    Value::List(items)
}

fn each<T>(
    items: &[T],
    mut read: impl FnMut(&T) -> Result<Value, Mismatch>,
) -> Result<Vec<Value>, Mismatch> {
    items
        .iter()
        .zip(0..)
        .map(|(item, index)| read(item).map_err(|mismatch| mismatch.below(index)))
        .collect()
}

fn each_named<T>(
    items: impl IntoIterator<Item = (String, T)>,
    read: impl Fn(T) -> Result<Value, Mismatch>,
) -> Result<BTreeMap<String, Value>, Mismatch> {
    let read = |(name, item)| match read(item) {
        Ok(value) => Ok((name, value)),
        Err(mismatch) => Err(mismatch.below(&name)),
    };
    items.into_iter().map(read).collect()
}

fn json_type(ty: &str) -> Json {
    serde_json::from_str(ty).unwrap_or_default()
}

fn expected(ty: &Type) -> String {
    match ty {
        Type::Object(_) => "an object".to_owned(),
        _ => format!("a value of type {ty:?}"),
    }
}

impl Index<&str> for Value {
    type Output = Value;

    /// Returns the value at dotted names, such as `ssh.host`; null if there is none.
    fn index(&self, path: &str) -> &Value {
        path.split('.').fold(self, |value, name| match value {
            Value::Map(items) => items.get(name).unwrap_or(&Value::Null),
            Value::List(items) => name
                .parse()
                .ok()
                .and_then(|index: usize| items.get(index))
                .unwrap_or(&Value::Null),
            _ => &Value::Null,
        })
    }
}

impl PartialEq<Json> for Value {
    fn eq(&self, json: &Json) -> bool {
        self.to_json() == *json
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        matches!(self, Self::String(own) if own == text)
    }
}

/// A value that does not match its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {text}")]
pub struct Mismatch {
    /// Path of the value.
    pub path: Path,
    /// Expected and actual value.
    pub text: String,
}

impl Mismatch {
    fn new(expected: &str, found: impl Display) -> Self {
        let found: String = found.to_string().chars().take(100).collect();
        Self {
            path: Path::default(),
            text: format!("expected {expected}, found {found}"),
        }
    }

    fn below(self, step: impl Into<Step>) -> Self {
        Self {
            path: self.path.below(step),
            ..self
        }
    }
}

impl Path {
    /// Returns the value at a path: unknown below an unknown value, none below null.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0
            .iter()
            .try_fold(value, |value, step| match (value, step) {
                (Value::Unknown, _) => Some(value),
                (Value::Map(items), Step::Name(name)) => items.get(name),
                (Value::List(items), Step::Index(index)) => items.get(*index),
                _ => None,
            })
    }
}
