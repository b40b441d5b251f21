//! Removes fields that a server-side apply leaves behind.
//!
//! An apply merges maps and keyed lists, and removes only what has no other owner. This is not enough in four cases: a
//! selector, which selects nothing with a superfluous label; a keyed list ([`keyed_list`](crate::keyed_list)); the labels
//! of a `WorkloadGroup`, which can be in two places, of which we use one; and an imported object, of which the original
//! manager still owns every field.

use serde_json::{Map, Value, json};

use crate::desired::Manifest;
use crate::keyed_list::KeyedList;
use crate::mark::{CLAIM, is_our_apply, is_our_update};

/// Returns the merge patch that replaces the keyed lists to which others added elements; `None` if there are none.
///
/// It goes ahead of an apply, which fails if an element of others has the same value as ours, e.g. a port that somebody
/// renamed. It replaces the list as a whole, so that no port is missing in between.
pub fn claim(object: &Manifest, seen: &Value) -> Option<Value> {
    let shared = KeyedList::of(object.kind).filter(|list| list.is_shared(object, seen));
    let ours = shared.map(|list| {
        (
            list.field.to_owned(),
            object.body["spec"][list.field].clone(),
        )
    });
    let spec: Map<_, _> = ours.collect();
    (!spec.is_empty()).then(|| at_version(json!({ "spec": spec }), seen))
}

/// Returns the merge patch that removes from a written object the foreign labels of its selector and its template, the
/// foreign elements of its keyed lists, the ownership that a [`claim`] left, and the mark of its creation; `None` if there
/// are none.
pub fn leftover(object: &Manifest, written: &Value) -> Option<Value> {
    let labels = surplus(&with_ours(json!({}), written), &object.body);
    let lists = claim(object, written);
    let owners = without_claims(&written["metadata"]["managedFields"]);
    let is_claimed = written["metadata"]["annotations"].get(CLAIM).is_some();
    if lists.is_none() && owners.is_none() && !is_claimed {
        return labels;
    }
    let mut patch = at_version(labels.unwrap_or_else(|| json!({})), written);
    if is_claimed {
        patch["metadata"]["annotations"][CLAIM] = Value::Null;
    }
    let lists = lists.as_ref().and_then(|lists| lists["spec"].as_object());
    for (field, list) in lists.into_iter().flatten() {
        patch["spec"][field.as_str()] = list.clone();
    }
    if let Some(owners) = owners {
        patch["metadata"]["managedFields"] = owners;
    }
    Some(patch)
}

/// Returns the merge patch that completes an adoption; `None` if nothing is left to do. `prior` is the object as the
/// import declared it: the plan showed the fields that are missing in `object` as removed. Other managers lose their
/// ownership of our fields, so that a later apply can remove them, and keep that of all other fields.
///
/// The patch contains the resource version, because it depends on what others wrote.
pub fn adoption(object: &Manifest, prior: Option<&Manifest>, written: &Value) -> Option<Value> {
    let mut before = prior.map_or_else(|| json!({}), |prior| prior.body.clone());
    if let Some(spec) = before["spec"].as_object_mut() {
        // Another manager, such as a canary controller, may own a weight that is not set.
        spec.remove("weight");
    }
    let gone = surplus(&with_ours(before, written), &object.body);
    let owners = sole_owner(&written["metadata"]["managedFields"]);
    if gone.is_none() && owners.is_none() {
        return None;
    }
    let mut patch = at_version(gone.unwrap_or_else(|| json!({})), written);
    if let Some(owners) = owners {
        patch["metadata"]["managedFields"] = owners;
    }
    Some(patch)
}

/// Adds the resource version of an object to a patch: if somebody writes in between, the patch fails.
fn at_version(mut patch: Value, object: &Value) -> Value {
    patch["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
    patch
}

/// Returns `metadata.managedFields` without what our patches own; `None` if they own nothing. With two entries of ours,
/// an apply would not remove what it no longer has.
fn without_claims(managers: &Value) -> Option<Value> {
    let managers = managers.as_array()?;
    let kept: Vec<_> = managers
        .iter()
        .filter(|entry| !is_our_update(entry))
        .collect();
    (kept.len() < managers.len()).then(|| json!(kept))
}

/// Copies the written maps that only we may own into an object.
fn with_ours(mut object: Value, written: &Value) -> Value {
    let (is, spec) = (&written["spec"], &mut object["spec"]);
    if is["workloadSelector"].is_object() {
        spec["workloadSelector"] = is["workloadSelector"].clone();
    }
    if is["template"]["labels"].is_object() {
        spec["template"]["labels"] = is["template"]["labels"].clone();
    }
    object
}

/// Returns a null for each key of `is` that is missing in `wanted`.
fn surplus(is: &Value, wanted: &Value) -> Option<Value> {
    let (is, wanted) = (is.as_object()?, wanted.as_object()?);
    let nulls = is.iter().filter_map(|(key, value)| {
        let null = match wanted.get(key) {
            None => Some(Value::Null),
            Some(wanted) => surplus(value, wanted),
        };
        Some((key.clone(), null?))
    });
    let nulls: Map<_, _> = nulls.collect();
    (!nulls.is_empty()).then(|| nulls.into())
}

/// Returns `metadata.managedFields` without the ownership that others share with us; `None` if they share none.
fn sole_owner(managers: &Value) -> Option<Value> {
    let managers = managers.as_array()?;
    let ours = &managers.iter().find(|entry| is_our_apply(entry))?["fieldsV1"];
    let mut kept = Vec::new();
    for entry in managers {
        // A subresource belongs to its controller.
        if is_our_apply(entry)
            || entry["subresource"]
                .as_str()
                .is_some_and(|of| !of.is_empty())
        {
            kept.push(entry.clone());
        } else if let Some(fields) = without(&entry["fieldsV1"], ours) {
            let mut entry = entry.clone();
            entry["fieldsV1"] = fields;
            kept.push(entry);
        }
    }
    (&kept != managers).then(|| kept.into())
}

/// Returns the part of an object that we own according to `metadata.managedFields`; `None` if we never applied it.
pub(crate) fn owned(object: &Value) -> Option<Value> {
    let managers = object["metadata"]["managedFields"].as_array()?;
    let ours = managers.iter().find(|entry| is_our_apply(entry))?;
    Some(picked(object, &ours["fieldsV1"]))
}

/// Returns the fields of an object that are in a field tree. Lists are taken as a whole.
fn picked(object: &Value, fields: &Value) -> Value {
    let is_parted = |fields: &&Map<_, _>| !fields.is_empty() && !object.is_array();
    let Some(fields) = fields.as_object().filter(is_parted) else {
        return object.clone();
    };
    let below = fields.iter().filter_map(|(key, below)| {
        let key = key.strip_prefix("f:")?;
        Some((key.to_owned(), picked(object.get(key)?, below)))
    });
    below.collect::<Map<_, _>>().into()
}

/// Returns a field tree without the leaves of another one; `None` if nothing is left. `.` represents the map itself,
/// which is removed together with its last key.
fn without(fields: &Value, taken: &Value) -> Option<Value> {
    let (fields, taken) = (fields.as_object()?, taken.as_object()?);
    let rest = fields.iter().filter_map(|(key, below)| {
        let rest = match taken.get(key) {
            None => Some(below.clone()),
            Some(leaf) if leaf.as_object().is_none_or(Map::is_empty) => None,
            Some(taken) => without(below, taken),
        };
        Some((key.clone(), rest?))
    });
    let rest: Map<_, _> = rest.collect();
    rest.keys().any(|key| key != ".").then(|| rest.into())
}
