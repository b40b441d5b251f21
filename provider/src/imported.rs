//! Objects that were imported and that no apply has written yet.
//!
//! **Invariant**: an imported object is recognized by the UID in the state, and by nothing else. A state of a version that
//! did not store UIDs has none: the objects then stay, and are imported again.

use std::collections::BTreeMap;

use mesh::desired::{Kind, Manifest};
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use plugin::Value;
use serde_json::Value as Json;

/// The UIDs of imported objects as a state holds them, by kind and name.
pub(crate) type Uids = Value<BTreeMap<String, String>>;

/// An object of an import that no apply has written yet.
pub(crate) struct Imported {
    pub(crate) kind: Kind,
    pub(crate) id: Id,
    pub(crate) uid: String,
    /// As the import declared it.
    pub(crate) declared: Option<Manifest>,
}

/// Returns the UIDs of the objects that an import has found, as far as they do not carry our mark.
pub(crate) fn uids(ids: impl IntoIterator<Item = (Kind, Id)>, observed: &ObservedObjects) -> Uids {
    let found = ids.into_iter().filter_map(|(kind, id)| {
        let object = observed.get(kind, &id.name)?;
        let uid = uid(object).filter(|_| !mesh::mark::is_ours(object))?;
        Some((key(kind, &id), uid.to_owned()))
    });
    let found: BTreeMap<_, _> = found.collect();
    if found.is_empty() {
        Value::Null
    } else {
        Value::Known(found)
    }
}

/// Returns the UID of an observed object if the state knows it as imported.
pub(crate) fn known<'a>(uids: &Uids, kind: Kind, id: &Id, object: &'a Json) -> Option<&'a str> {
    let known = uids.known()?.get(&key(kind, id))?;
    uid(object).filter(|uid| uid == known)
}

/// Returns the declared objects that were imported and never written. Each is checked by itself, because an apply may have
/// stopped after some of them.
pub(crate) fn imported(
    uids: &Uids,
    ids: Vec<(Kind, Id)>,
    declared: &[Manifest],
    observed: &ObservedObjects,
) -> Vec<Imported> {
    let imported = ids.into_iter().filter_map(|(kind, id)| {
        let object = observed.get(kind, &id.name)?;
        let uid = known(uids, kind, &id, object)?.to_owned();
        let same = |of: &&Manifest| (of.kind, &of.id) == (kind, &id);
        let declared = declared.iter().find(same).cloned();
        (!mesh::mark::is_ours(object)).then_some(Imported {
            kind,
            id,
            uid,
            declared,
        })
    });
    imported.collect()
}

fn key(kind: Kind, id: &Id) -> String {
    format!("{kind} {}", id.name)
}

fn uid(object: &Json) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}
