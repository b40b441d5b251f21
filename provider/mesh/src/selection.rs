//! Which objects select an entry by its labels.

use serde_json::{Map, Value};

/// Returns the labels of an entry as selectors see them: those of the spec, overridden by those of the object.
pub(crate) fn entry_labels(entry: &Value) -> Map<String, Value> {
    let of = |labels: &Value| labels.as_object().cloned().unwrap_or_default();
    let mut labels = of(&entry["spec"]["labels"]);
    labels.extend(of(&entry["metadata"]["labels"]));
    labels
}

/// Returns true if a `ServiceEntry` selects an entry with these labels. An empty selector selects none.
pub(crate) fn selects(object: &Value, labels: &Map<String, Value>) -> bool {
    let selector = object["spec"]["workloadSelector"]["labels"].as_object();
    selector.is_some_and(|wanted| !wanted.is_empty() && is_subset(wanted, labels))
}

/// Returns true if a `Sidecar` has a selector that matches a proxy with these labels. An empty selector matches all, and
/// istiod prefers it to a Sidecar without one.
pub(crate) fn sidecar_selects(object: &Value, labels: &Map<String, Value>) -> bool {
    let selector = object["spec"]["workloadSelector"].as_object();
    selector.is_some_and(|selector| {
        let wanted = selector.get("labels").and_then(Value::as_object);
        wanted.is_none_or(|wanted| is_subset(wanted, labels))
    })
}

fn is_subset(wanted: &Map<String, Value>, labels: &Map<String, Value>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}
