//! Navigation in values.

use crate::Value;

/// Returns the value of an attribute: null for null, unknown for unknown.
pub(crate) fn child<'a>(value: &'a Value, name: &str) -> &'a Value {
    match value {
        Value::Map(items) => items.get(name).unwrap_or(&Value::Null),
        Value::Unknown => &Value::Unknown,
        _ => &Value::Null,
    }
}

/// Returns the elements of a list or set; none if it is null or unknown.
pub(crate) fn items(value: &Value) -> &[Value] {
    if let Value::List(items) = value {
        items
    } else {
        &[]
    }
}
