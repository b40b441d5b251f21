//! Values of objects: which ones are equivalent, and how they are shown.

use serde_json::Value;

/// Returns true if two values are equivalent: numbers by value, lists element by element, and objects by the fields
/// that we own.
pub(super) fn same(desired: &Value, seen: &Value) -> bool {
    match (desired, seen) {
        (Value::Number(desired), Value::Number(seen)) => {
            desired == seen || desired.as_f64() == seen.as_f64()
        }
        (Value::Array(desired), Value::Array(seen)) => {
            desired.len() == seen.len()
                && desired
                    .iter()
                    .zip(seen)
                    .all(|(desired, seen)| same(desired, seen))
        }
        (Value::Object(desired), Value::Object(seen)) => desired
            .iter()
            .all(|(key, value)| seen.get(key).is_some_and(|seen| same(value, seen))),
        _ => desired == seen,
    }
}

pub(super) fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
