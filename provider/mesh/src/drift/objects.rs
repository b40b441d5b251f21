//! Differences of the mesh objects. Only fields that we own are compared. Fields that others add are ignored, e.g.
//! istiod's annotations and status or a weight set by a canary controller.

use serde_json::Value;

use super::finding::{Finding, What};
use super::findings::{Findings, plain};
use super::listeners;
use super::values::{same, shown};
use crate::desired::Manifest;
use crate::keyed_list::KeyedList;
use crate::mark::Mark;
use crate::observed::ObservedObjects;

/// Maximum number of finalizers in a line.
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
            // Whatever an apply wrote would be deleted with the object.
            Some(seen) if is_being_deleted(seen) => {
                lines.say(&format!("{title} {}", deletion(seen)));
            }
            Some(seen) => {
                let mut body = manifest.body.clone();
                for list in KeyedList::of(manifest.kind) {
                    body["spec"]
                        .as_object_mut()
                        .map(|spec| spec.remove(list.field));
                    elements(&title, list, &manifest.body, seen, lines);
                }
                fields(&title, "", &body, seen, lines);
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
            match observed
                .get(kind, &id.name)
                .filter(|seen| is_being_deleted(seen))
            {
                Some(seen) => lines.say(&format!("{line}, {}", deletion(seen))),
                None => lines.say(&line),
            }
        }
    }
}

/// Returns true if one of the findings shows that a field of an object, or one below it, differs. `field` has the form
/// of the API server's conflicts, e.g. `.spec.weight`.
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

/// Returns true if the deletion of an object has started.
fn is_being_deleted(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Describes the deletion, with the finalizers that block it.
fn deletion(object: &Value) -> String {
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

/// Adds a finding for each field of `desired` that is missing or different in `seen`.
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
        (Value::Array(desired), Value::Array(seen)) if listeners::is_list(at) => {
            listeners::compare((title, at), desired, seen, lines);
        }
        _ if same(desired, seen) => {}
        // Its other fields may differ, too, without being ours.
        (Value::Array(desired), Value::Array(seen)) if are_objects(desired, seen) => {
            for (index, (desired, seen)) in desired.iter().zip(seen).enumerate() {
                fields(title, &format!("{at}[{index}]"), desired, seen, lines);
            }
        }
        // Users may keep confidential values in annotations.
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

/// Adds a finding for each foreign label of a selector, which then selects nothing, or of a template, whose labels we
/// write elsewhere.
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

/// Adds a finding for each element of a keyed list that differs. Their order has no meaning.
fn elements(title: &str, list: KeyedList, desired: &Value, seen: &Value, lines: &mut Findings) {
    for element in list.elements(desired) {
        let at = plain(&list.path(element));
        match list.find(seen, element) {
            Some(seen) => fields(title, &at, element, seen, lines),
            None => lines.compare(Some(title), &at, None, shown(element).as_deref()),
        }
    }
    for element in list.elements(seen) {
        if list.find(desired, element).is_none() {
            let at = plain(&list.path(element));
            lines.compare(Some(title), &at, shown(element).as_deref(), None);
        }
    }
}

/// Returns true if two lists can be compared element by element, and their elements field by field.
fn are_objects(desired: &[Value], seen: &[Value]) -> bool {
    desired.len() == seen.len() && desired.iter().all(Value::is_object)
}
