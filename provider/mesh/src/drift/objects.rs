//! Differences of the mesh objects. Only fields that are ours are looked at: what others add,
//! such as istiod's annotations and status or a weight that a canary controller sets, is theirs.

use serde_json::Value;

use super::finding::{Finding, What};
use super::findings::{Findings, plain};
use crate::desired::Manifest;
use crate::mark::Mark;
use crate::observed::ObservedObjects;

/// Finalizers of which a line has the names.
const FINALIZERS: usize = 5;

pub(super) fn compare(
    objects: &[Manifest],
    observed: &ObservedObjects,
    mark: &Mark,
    lines: &mut Findings,
) {
    for manifest in objects {
        let title = title(manifest);
        match observed.get(manifest.kind, &manifest.id.name) {
            // What an apply would write goes with the object.
            Some(seen) if is_dying(seen) => lines.say(&format!("{title} {}", dying(seen))),
            Some(seen) => {
                fields(&title, "", &manifest.body, seen, lines);
                labels(&title, &manifest.body, seen, lines);
            }
            None => lines.add(None, &title, What::Missing { should: None }),
        }
    }
    let Some(first) = objects.first() else {
        return;
    };
    for (kind, id) in observed.marked(&first.id.namespace, mark) {
        if !objects.iter().any(|of| (of.kind, &of.id) == (kind, &id)) {
            let line = format!("{kind} {id} is not wanted any more");
            match observed.get(kind, &id.name).filter(|seen| is_dying(seen)) {
                Some(seen) => lines.say(&format!("{line}, {}", dying(seen))),
                None => lines.say(&line),
            }
        }
    }
}

/// Tells whether one of the findings shows that a field of an object differs, or what is below it.
/// `field` is named as the API server does in a conflict, e.g. `.spec.weight`.
pub fn shows(findings: &[Finding], object: &Manifest, field: &str) -> bool {
    let title = title(object);
    let field = field.trim_start_matches('.');
    let below = |path: &str, above: &str| {
        let rest = path.strip_prefix(above);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    findings
        .iter()
        .filter(|of| of.cause.is_none() && of.subject.as_ref() == Some(&title))
        .any(|of| below(&of.at, field) || below(field, &of.at))
}

/// Whether the deletion of an object has begun.
fn is_dying(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Says so, with what the API server keeps the object for.
fn dying(object: &Value) -> String {
    let names = object["metadata"]["finalizers"].as_array();
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.take(FINALIZERS).map(plain).collect();
    if names.is_empty() {
        return "is being deleted".into();
    }
    format!(
        "is being deleted and held by its finalizers {}",
        names.join(", ")
    )
}

fn title(object: &Manifest) -> String {
    format!("{} {}", object.kind, object.id)
}

/// Adds a line for each field of `desired` that `seen` lacks or has otherwise.
fn fields(title: &str, at: &str, desired: &Value, seen: &Value, lines: &mut Findings) {
    match (desired, seen) {
        (Value::Object(desired), _) => {
            for (key, value) in desired {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                fields(title, &at, value, &seen[key.as_str()], lines);
            }
        }
        _ if same(desired, seen) => {}
        // Users may keep in an annotation what is not for everybody's eyes.
        _ if at.starts_with("metadata.annotations.")
            && !at.ends_with(crate::objects::HEALTH_CHECKS) =>
        {
            lines.add(Some(title), at, What::Hidden);
        }
        _ => lines.compare(
            Some(title),
            at,
            shown(seen).as_deref(),
            shown(desired).as_deref(),
        ),
    }
}

/// Adds a line for each label that is not ours of a selector, which selects nothing with one too
/// many, or of a template, whose labels we write elsewhere.
fn labels(title: &str, desired: &Value, seen: &Value, lines: &mut Findings) {
    for of in ["workloadSelector", "template"] {
        let wanted = &desired["spec"][of];
        let seen = seen["spec"][of]["labels"].as_object();
        for (key, value) in seen.into_iter().flatten() {
            if wanted.is_object() && wanted["labels"][key.as_str()].is_null() {
                let at = format!("spec.{of}.labels.{}", plain(key));
                lines.compare(Some(title), &at, shown(value).as_deref(), None);
            }
        }
    }
}

/// Whether two values say the same: numbers by value, lists element by element, and of an element
/// only the fields that are ours.
fn same(desired: &Value, seen: &Value) -> bool {
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

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
