//! Reads JSON and YAML from untrusted sources with a limit on the memory of the parsed values.
//!
//! A short document can expand into a large value: an object with a one-letter key takes a hundred times its length in
//! memory, and a YAML alias repeats its anchor.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of a value itself, including the spare capacity of a growing list.
const VALUE: usize = 64;
/// Bytes of an object with one field.
const OBJECT: usize = 640;
/// Bytes of each field, without its name.
const FIELD: usize = 96;
const MIB: usize = 1 << 20;
/// Maximum size of a YAML document in bytes: the limit of a `ConfigMap`.
const LONGEST_YAML: usize = MIB;
/// Maximum memory in bytes of the values of a YAML document.
const MOST_OF_YAML: usize = 32 * MIB;

/// The reason why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The text has the wrong syntax, e.g. `is not valid JSON …`.
    Syntax(String),
    /// The text exceeds a limit, e.g. `is longer than 1 MiB`.
    TooLarge(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Syntax(what) | Self::TooLarge(what)) = self;
        f.write_str(what)
    }
}

/// Parses JSON whose values take at most `most` bytes of memory (an estimate).
///
/// # Errors
/// Returns what is wrong with the text, without quoting any of it.
pub fn json(text: &[u8], most: usize) -> Result<Value, ReadError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let budget = Budget::of(most);
    let value = Seed(&budget).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        budget.refusal(format!("is not valid JSON ({at})"))
    })
}

/// Parses YAML of at most 1 MiB.
///
/// # Errors
/// Returns what is wrong with the text. The parser may quote a part of it.
pub fn yaml(text: &[u8]) -> Result<Value, ReadError> {
    if text.len() > LONGEST_YAML {
        let what = format!("is longer than {} MiB", LONGEST_YAML / MIB);
        return Err(ReadError::TooLarge(what));
    }
    let budget = Budget::of(MOST_OF_YAML);
    let value = Seed(&budget).deserialize(serde_yaml_ng::Deserializer::from_slice(text));
    value.map_err(|error| budget.refusal(format!("is not valid YAML: {error}")))
}

/// Parses YAML as Istio does: like [`yaml`], with the merge key `<<`.
///
/// # Errors
/// As [`yaml`].
pub fn istio_yaml(text: &[u8]) -> Result<Value, ReadError> {
    merged(yaml(text)?)
}

/// Replaces each `<<` by the fields of the map, or of the list of maps, that it names. Fields of the map itself win,
/// then those of earlier maps.
fn merged(value: Value) -> Result<Value, ReadError> {
    match value {
        Value::Object(mut fields) => {
            let from = match fields.remove("<<") {
                None => vec![],
                Some(Value::Array(list)) => list,
                Some(one) => vec![one],
            };
            let mut found = Map::new();
            for (key, value) in fields {
                found.insert(key, merged(value)?);
            }
            for one in from {
                let Value::Object(one) = merged(one)? else {
                    let what = "is not valid YAML: << needs a map or a list of maps".to_owned();
                    return Err(ReadError::Syntax(what));
                };
                for (key, value) in one {
                    found.entry(key).or_insert(value);
                }
            }
            Ok(Value::Object(found))
        }
        Value::Array(list) => {
            let list = list.into_iter().map(merged);
            list.collect::<Result<_, _>>().map(Value::Array)
        }
        other => Ok(other),
    }
}

/// Memory budget of one document.
struct Budget {
    most: usize,
    /// Bytes that remain; `None` once the budget was exceeded.
    left: Cell<Option<usize>>,
}

impl Budget {
    fn of(most: usize) -> Self {
        let left = Cell::new(Some(most));
        Self { most, left }
    }

    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().and_then(|left| left.checked_sub(bytes));
        self.left.set(left);
        left.map(drop).ok_or_else(|| E::custom("too much"))
    }

    /// Returns the error of a failed parse: the exceeded budget, otherwise `other`.
    fn refusal(&self, other: String) -> ReadError {
        match self.left.get() {
            Some(_) => ReadError::Syntax(other),
            None => {
                ReadError::TooLarge(format!("takes more than {} MiB of memory", self.most / MIB))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, of: D) -> Result<Value, D::Error> {
        self.0.take(VALUE)?;
        of.deserialize_any(self)
    }
}

/// Builds the same values as the `Deserialize` implementation of `Value`.
impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.take(value.len())?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.take(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, of: D) -> Result<Value, D::Error> {
        of.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = of.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut of: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = of.next_key::<String>()? {
            let room = if fields.is_empty() { OBJECT } else { 0 };
            self.0.take(room + FIELD + name.len())?;
            let value = of.next_value_seed(self)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_the_libraries_read() {
        let json_text = br#"{"a":[1,-2,0.5,true,null,"x",{}],"b":{"c":18446744073709551615}}"#;
        let expected: Value = serde_json::from_slice(json_text).unwrap();
        assert_eq!(json(json_text, MIB), Ok(expected));
        let yaml_text = b"a: &x [1, -2, 0.5, yes, ~, .nan, 'x', {}]\nb: *x\n1: 2\n<<: {c: d}\n";
        let expected: Value = serde_yaml_ng::from_slice(yaml_text).unwrap();
        assert_eq!(yaml(yaml_text), Ok(expected));
        assert_eq!(yaml(b""), Ok(Value::Null));
    }

    #[test]
    fn merge_keys_are_those_of_istio() {
        let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none: {<<: *base, b: 5}\nboth: {<<: [*more, *base]}\n";
        let read = istio_yaml(text.as_bytes()).unwrap();
        assert_eq!(read["one"], serde_json::json!({ "a": 1, "b": 5 }));
        assert_eq!(read["both"], serde_json::json!({ "a": 1, "b": 3, "c": 4 }));
        assert!(istio_yaml(b"a: {<<: 1}").is_err());
    }

    #[test]
    fn an_error_does_not_quote_the_text() {
        assert_eq!(
            json(b"canary", MIB),
            Err(ReadError::Syntax(
                "is not valid JSON (line 1, column 1)".into()
            ))
        );
        assert_eq!(
            json(b"{} x", MIB),
            Err(ReadError::Syntax(
                "is not valid JSON (line 1, column 4)".into()
            ))
        );
        assert!(yaml(b"a: [").is_err());
    }

    #[test]
    fn values_that_take_too_much_memory_are_refused() {
        let most = ReadError::TooLarge("takes more than 1 MiB of memory".into());
        for text in ["{\"a\":0},", "[],", "0,", "\"xxxxxxxxxxxxxxxx\","] {
            let list = format!("[{}0]", text.repeat(20_000));
            assert_eq!(json(list.as_bytes(), MIB), Err(most.clone()), "{text}");
            assert!(json(list.as_bytes(), 64 * MIB).is_ok(), "{text}");
        }
        let many = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a,".repeat(1000));
        let refused = yaml(many.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "takes more than 32 MiB of memory");
        let nested: String = (1..20)
            .map(|at| format!("a{at}: &a{at} [*a{0},*a{0},*a{0},*a{0}]\n", at - 1))
            .collect();
        assert!(yaml(format!("a0: &a0 x\n{nested}").as_bytes()).is_err());
        let long = format!("a: {}", "x".repeat(LONGEST_YAML));
        assert_eq!(
            yaml(long.as_bytes()),
            Err(ReadError::TooLarge("is longer than 1 MiB".into()))
        );
    }
}
