//! Wire format of values: msgpack, with extension types for unknown values.

use std::collections::BTreeMap;

use rmpv::Value as Msgpack;

use super::{Mismatch, Type, Value, each, each_named, expected, json_type, parse_number, set};
use crate::{Path, number};

impl Value {
    /// Encodes the value as msgpack.
    pub fn to_msgpack(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        _ = rmpv::encode::write_value(&mut bytes, &self.msgpack());
        bytes
    }

    fn msgpack(&self) -> Msgpack {
        match self {
            Self::Unknown => Msgpack::Ext(0, vec![0]),
            Self::Null => Msgpack::Nil,
            Self::Bool(value) => (*value).into(),
            Self::Number(text) => number::msgpack(text),
            Self::String(text) => text.as_str().into(),
            Self::List(items) => Msgpack::Array(items.iter().map(Self::msgpack).collect()),
            Self::Map(items) => Msgpack::Map(
                items
                    .iter()
                    .map(|(name, item)| (name.as_str().into(), item.msgpack()))
                    .collect(),
            ),
            Self::Typed(ty, value) => Msgpack::Array(vec![
                Msgpack::Binary(ty.clone().into_bytes()),
                value.msgpack(),
            ]),
        }
    }

    /// Decodes a value of type `ty` from msgpack. Every extension type is an unknown value.
    ///
    /// # Errors
    /// Returns a [`Mismatch`] with the first path that does not match the type, as Terraform does.
    pub fn from_msgpack(mut bytes: &[u8], ty: &Type) -> Result<Self, Mismatch> {
        let broken = |text: &str| Mismatch {
            path: Path::default(),
            text: text.to_owned(),
        };
        let raw = rmpv::decode::read_value(&mut bytes)
            .map_err(|error| broken(&format!("not msgpack: {error}")))?;
        if !bytes.is_empty() {
            return Err(broken("bytes after the value"));
        }
        decode(&raw, ty)
    }
}

fn decode(raw: &Msgpack, ty: &Type) -> Result<Value, Mismatch> {
    Ok(match (ty, raw) {
        (_, Msgpack::Nil) => Value::Null,
        (_, Msgpack::Ext(..)) => Value::Unknown,
        (Type::String, Msgpack::String(text)) => {
            Value::String(text.as_str().unwrap_or_default().to_owned())
        }
        (Type::Bool, Msgpack::Boolean(value)) => Value::Bool(*value),
        (
            Type::Number,
            Msgpack::Integer(_) | Msgpack::F64(_) | Msgpack::F32(_) | Msgpack::String(_),
        ) => {
            let text = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
            parse_number(&text)?
        }
        (Type::List(of), Msgpack::Array(items)) => {
            Value::List(each(items, |item| decode(item, of))?)
        }
        (Type::Set(of), Msgpack::Array(items)) => set(each(items, |item| decode(item, of))?),
        (Type::Tuple(of), Msgpack::Array(items)) if of.len() == items.len() => {
            let mut types = of.iter();
            Value::List(each(items, |item| {
                types.next().map_or(Ok(Value::Null), |ty| decode(item, ty))
            })?)
        }
        (Type::Map(of), Msgpack::Map(items)) => {
            Value::Map(each_named(named(items)?, |item| decode(item, of))?)
        }
        (Type::Object(of), Msgpack::Map(items)) => {
            let items: BTreeMap<_, _> = named(items)?.into_iter().collect();
            if let Some(name) = of
                .keys()
                .chain(items.keys())
                .find(|name| !of.contains_key(*name) || !items.contains_key(*name))
            {
                return Err(Mismatch::new("exactly the attributes of the schema", raw).below(name));
            }
            let typed = items
                .into_iter()
                .zip(of.values())
                .map(|((name, item), ty)| (name, (item, ty)));
            Value::Map(each_named(typed, |(item, ty)| decode(item, ty))?)
        }
        (Type::Dynamic, Msgpack::Array(parts)) if parts.len() == 2 => {
            let text = parts[0]
                .as_slice()
                .map(String::from_utf8_lossy)
                .ok_or_else(|| Mismatch::new("a type", &parts[0]))?;
            let ty =
                Type::from_json(&json_type(&text)).ok_or_else(|| Mismatch::new("a type", &text))?;
            Value::Typed(text.into_owned(), Box::new(decode(&parts[1], &ty)?))
        }
        _ => return Err(Mismatch::new(&expected(ty), raw)),
    })
}

fn named(items: &[(Msgpack, Msgpack)]) -> Result<Vec<(String, &Msgpack)>, Mismatch> {
    let named = items.iter().map(|(name, item)| {
        let text = name.as_str().ok_or_else(|| Mismatch::new("a name", name))?;
        Ok((text.to_owned(), item))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::UNKNOWN;

    fn ty(json: &serde_json::Value) -> Type {
        Type::from_json(json).unwrap()
    }

    #[test]
    fn a_value_round_trips() {
        let cases = [
            (json!("number"), json!("0.1")),
            (json!(["list", "string"]), json!(["b", "a", UNKNOWN])),
            (json!(["map", "bool"]), json!({"a": true, "b": null})),
            (json!(["tuple", ["string", "bool"]]), json!(["a", false])),
            (
                json!(["object", {"a": ["set", "number"]}]),
                json!({"a": [1, 2]}),
            ),
            (
                json!("dynamic"),
                json!({"type": ["list", "bool"], "value": [true]}),
            ),
        ];
        for (declared, json) in cases {
            let ty = ty(&declared);
            let value = Value::from_json(&json, &ty).unwrap();
            assert_eq!(
                Value::from_msgpack(&value.to_msgpack(), &ty).as_ref(),
                Ok(&value),
                "{json}"
            );
        }
    }

    #[test]
    fn a_set_has_no_order_and_no_duplicates() {
        let set = ty(&json!(["set", "string"]));
        let read = |json| Value::from_json(&json, &set).unwrap();
        assert_eq!(read(json!(["b", "a", "b"])), read(json!(["a", "b"])));
    }

    #[test]
    fn every_extension_type_is_unknown() {
        for bytes in [&[0xd4, 0, 0][..], &[0xd5, 12, 0x81, 1], &[0xd4, 99, 7]] {
            assert_eq!(
                Value::from_msgpack(bytes, &Type::String),
                Ok(Value::Unknown)
            );
        }
    }

    #[test]
    fn a_value_of_another_type_is_rejected_with_its_path() {
        let object = json!(["object", {"a": ["list", "number"], "b": "bool"}]);
        let cases = [
            (
                vec![0x81, 0xa1, b'a', 0xc0],
                "b: expected exactly the attributes of the schema",
            ),
            (
                vec![0x82, 0xa1, b'a', 0x91, 0xc3, 0xa1, b'b', 0xc0],
                "a[0]: expected a value of type Number",
            ),
            (
                vec![0xa1, b'a'],
                "(the whole object): expected an object, found \"a\"",
            ),
            (
                vec![0xc0, 0xc0],
                "(the whole object): bytes after the value",
            ),
            (vec![0x92], "(the whole object): not msgpack"),
        ];
        for (bytes, expected) in cases {
            let mismatch = Value::from_msgpack(&bytes, &ty(&object))
                .unwrap_err()
                .to_string();
            assert!(mismatch.starts_with(expected), "{mismatch}");
        }
    }
}
