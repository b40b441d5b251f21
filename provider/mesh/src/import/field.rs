//! Converts fields of observed objects to values of a declaration.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

/// Returns the strings of a map.
pub(super) fn texts(found: &Value, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let texts = found
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| wanted(key));
    texts
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Returns a field. Adds a note if it is set but cannot be declared.
pub(super) fn import_field<T: FromStr<Err: Display>>(
    field: &str,
    value: &Value,
    notes: &mut Vec<String>,
) -> Option<T> {
    optional(&format!("spec.{field}"), value).unwrap_or_else(|why| {
        notes.push(format!("{why}, so it cannot be declared."));
        None
    })
}

/// Returns a map. Adds a note for each field that cannot be declared and leaves it out.
pub(super) fn import_map<K: FromStr<Err: Display> + Ord, V: FromStr<Err: Display>>(
    field: &str,
    found: &Value,
    notes: &mut Vec<String>,
    wanted: impl Fn(&K) -> bool,
) -> BTreeMap<K, V> {
    let mut imported = BTreeMap::new();
    for (key, value) in found.as_object().into_iter().flatten() {
        match (
            key.parse::<K>(),
            parsed(&format!("spec.{field}.{key}"), value),
        ) {
            (Ok(key), Ok(value)) => drop(wanted(&key).then(|| imported.insert(key, value))),
            (Err(why), _) => notes.push(format!("spec.{field}: {why}, so it cannot be declared.")),
            (_, Err(why)) => notes.push(format!("{why}, so it cannot be declared.")),
        }
    }
    imported
}

/// Returns a field, if it is set.
pub(super) fn optional<T: FromStr<Err: Display>>(
    field: &str,
    value: &Value,
) -> Result<Option<T>, String> {
    let empty = value.is_null() || value == "";
    if empty {
        Ok(None)
    } else {
        parsed(field, value).map(Some)
    }
}

/// Returns a field that must be set.
pub(super) fn parsed<T: FromStr<Err: Display>>(field: &str, value: &Value) -> Result<T, String> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|why| format!("{field}: {why}"))
}

/// Returns the items of a list.
pub(super) fn parsed_list<T: FromStr<Err: Display>>(
    field: &str,
    found: &Value,
) -> Result<Vec<T>, String> {
    found
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| parsed(field, value))
        .collect()
}
