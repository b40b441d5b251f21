//! Types as the JSON that schemas and dynamic values carry: `["list","string"]`.

use plugin::Kind;
use serde_json::{Value as Json, json};

use super::Malformed;

/// The deepest nesting of types and values that is read; a type of a real schema has about ten levels.
pub(crate) const DEEPEST: usize = 64;

/// Writes a type.
pub(crate) fn write(kind: &Kind) -> Json {
    match kind {
        Kind::Text => json!("string"),
        Kind::Number => json!("number"),
        Kind::Bool => json!("bool"),
        Kind::Dynamic => json!("dynamic"),
        Kind::List(inner) => json!(["list", write(inner)]),
        Kind::Set(inner) => json!(["set", write(inner)]),
        Kind::Map(inner) => json!(["map", write(inner)]),
        Kind::Tuple(inner) => {
            json!(["tuple", inner.iter().map(write).collect::<Vec<_>>()])
        }
        Kind::Object(inner) => {
            let inner: serde_json::Map<_, _> = inner
                .iter()
                .map(|(name, kind)| (name.clone(), write(kind)))
                .collect();
            json!(["object", inner])
        }
    }
}

/// Reads a type from the JSON that dynamic values carry; `None` if it is no type.
pub(crate) fn read(json: &Json) -> Option<Kind> {
    match json {
        Json::String(name) => match name.as_str() {
            "string" => Some(Kind::Text),
            "number" => Some(Kind::Number),
            "bool" => Some(Kind::Bool),
            "dynamic" => Some(Kind::Dynamic),
            _ => None,
        },
        Json::Array(parts) => compound(parts),
        _ => None,
    }
}

fn compound(parts: &[Json]) -> Option<Kind> {
    // An object may have a third part: the names of its optional attributes.
    let (Json::String(name), inner) = (parts.first()?, parts.get(1)?) else {
        return None;
    };
    let boxed = || read(inner).map(Box::new);
    match name.as_str() {
        "list" => boxed().map(Kind::List),
        "set" => boxed().map(Kind::Set),
        "map" => boxed().map(Kind::Map),
        "tuple" => inner
            .as_array()?
            .iter()
            .map(read)
            .collect::<Option<_>>()
            .map(Kind::Tuple),
        "object" => {
            let attributes = inner.as_object()?.iter();
            attributes
                .map(|(name, kind)| Some((name.clone(), read(kind)?)))
                .collect::<Option<_>>()
                .map(Kind::Object)
        }
        _ => None,
    }
}

/// Reads a type from the bytes that a dynamic value carries.
pub(super) fn read_bytes(json: &[u8]) -> Result<Kind, Malformed> {
    let json: Option<Json> = serde_json::from_slice(json).ok();
    json.as_ref()
        .and_then(read)
        .ok_or_else(|| Malformed::new("the type of a dynamic value is no type"))
}
