//! Values as JSON: a stored state, and what a client sends instead of `MessagePack`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use plugin::{Kind, Raw, Step};

use super::{
    Malformed, composed, empty_fields,
    kind::{DEEPEST, read_bytes},
};

/// Reads a value of a type. Attributes that the type does not have are dropped, missing ones are null.
///
/// Numbers keep their text: they are never converted to `f64`.
pub(crate) fn decode(bytes: &[u8], kind: &Kind) -> Result<Raw, Malformed> {
    let text = serde_json::from_slice(bytes).map_err(|err| Malformed::new(err.to_string()))?;
    value(text, kind, 0)
}

/// Reads a value of which no type is known: an array is a list, an object a map.
pub(crate) fn decode_untyped(bytes: &[u8]) -> Result<Raw, Malformed> {
    let text = serde_json::from_slice(bytes).map_err(|err| Malformed::new(err.to_string()))?;
    untyped(text, 0)
}

fn untyped(json: &RawValue, depth: usize) -> Result<Raw, Malformed> {
    if depth > DEEPEST {
        return Err(Malformed::new("the value is nested too deeply"));
    }
    match json.get().as_bytes().first() {
        Some(b'{') => {
            let entries = read::<BTreeMap<String, &RawValue>>(json, &Kind::Dynamic)?.into_iter();
            let entry = |(key, item): (String, &RawValue)| {
                let item =
                    untyped(item, depth + 1).map_err(|err| err.below(Step::Key(key.clone())))?;
                Ok((composed(&key), item))
            };
            entries.map(entry).collect::<Result<_, _>>().map(Raw::Map)
        }
        Some(b'[') => {
            let items = read::<Vec<&RawValue>>(json, &Kind::Dynamic)?;
            let items = items.into_iter().map(|item| untyped(item, depth + 1));
            items.collect::<Result<_, _>>().map(Raw::List)
        }
        Some(b'"') => value(json, &Kind::Text, depth),
        Some(b't' | b'f') => value(json, &Kind::Bool, depth),
        Some(b'n') => Ok(Raw::Null),
        _ => number(json),
    }
}

/// The shape in which JSON carries a value whose type is part of it.
#[derive(Deserialize)]
struct Dynamic<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow)]
    r#type: &'a RawValue,
}

fn value(json: &RawValue, kind: &Kind, depth: usize) -> Result<Raw, Malformed> {
    if depth > DEEPEST {
        return Err(Malformed::new("the value is nested too deeply"));
    }
    let depth = depth + 1;
    if json.get() == "null" {
        return Ok(Raw::Null);
    }
    match kind {
        Kind::Text => Ok(Raw::Text(composed(&read::<String>(json, kind)?))),
        Kind::Bool => read(json, kind).map(Raw::Bool),
        Kind::Number => number(json),
        Kind::List(inner) | Kind::Set(inner) => {
            items(&read::<Vec<_>>(json, kind)?, |_| Some(inner), depth)
        }
        Kind::Tuple(inner) => items(
            &read::<Vec<_>>(json, kind)?,
            |index| inner.get(index),
            depth,
        ),
        Kind::Map(_) | Kind::Object(_) => entries(read(json, kind)?, kind, depth),
        Kind::Dynamic => {
            let Dynamic {
                value: inner,
                r#type,
            } = read(json, kind)?;
            let kind = read_bytes(r#type.get().as_bytes())?;
            Ok(match value(inner, &kind, depth)? {
                value @ (Raw::Dynamic { .. } | Raw::Null) => value,
                value => Raw::Dynamic {
                    kind,
                    value: Box::new(value),
                },
            })
        }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a RawValue, kind: &Kind) -> Result<T, Malformed> {
    serde_json::from_str(json.get())
        .map_err(|_| Malformed::new(format!("{} is expected", kind.noun())))
}

/// Reads a number, or its decimal text as a string.
fn number(json: &RawValue) -> Result<Raw, Malformed> {
    let text = json.get().trim_matches('"');
    text.parse()
        .map(Raw::Number)
        .map_err(|err: plugin::InvalidNumber| Malformed::new(err.to_string()))
}

fn items<'k>(
    items: &[&RawValue],
    kind_at: impl Fn(usize) -> Option<&'k Kind>,
    depth: usize,
) -> Result<Raw, Malformed> {
    let read = |(index, item): (usize, &&RawValue)| {
        let kind = kind_at(index).ok_or_else(|| Malformed::new("the tuple is too long"))?;
        value(item, kind, depth).map_err(|err| err.below(Step::Index(index)))
    };
    items
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()
        .map(Raw::List)
}

fn entries(
    entries: BTreeMap<String, &RawValue>,
    kind: &Kind,
    depth: usize,
) -> Result<Raw, Malformed> {
    let mut map = empty_fields(kind);
    for (key, item) in entries {
        if let Some(inner) = kind.entry(&key) {
            map.insert(
                composed(&key),
                value(item, inner, depth).map_err(|err| err.below(kind.step(&key)))?,
            );
        }
    }
    Ok(Raw::Map(map))
}
