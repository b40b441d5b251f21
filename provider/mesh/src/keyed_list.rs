//! Lists whose elements the API server merges by a key (`x-kubernetes-list-type: map` in the resource definition).
//!
//! Several managers can own elements of such a list. Like a selector, it means something else with an element of others,
//! so it is ours alone.

use serde_json::Value;

use crate::desired::{Kind, Manifest};
use crate::mark::is_our_apply;

/// A keyed list in the spec of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedList {
    /// Kind of the object.
    pub kind: Kind,
    /// Name of the list in the spec.
    pub field: &'static str,
    /// Field that identifies an element.
    pub key: &'static str,
}

/// All keyed lists of the objects that the provider writes.
pub const KEYED_LISTS: [KeyedList; 1] = [KeyedList {
    kind: Kind::ServiceEntry,
    field: "ports",
    key: "name",
}];

impl KeyedList {
    /// Returns the keyed lists of a kind.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        KEYED_LISTS
            .into_iter()
            .filter(move |list| list.kind == kind)
    }

    /// Returns the elements of the list in an object.
    pub(crate) fn elements<'a>(&self, object: &'a Value) -> &'a [Value] {
        let list = object["spec"][self.field].as_array();
        list.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the element of an object that has the same key as `like`.
    pub(crate) fn find<'a>(&self, object: &'a Value, like: &Value) -> Option<&'a Value> {
        let mut elements = self.elements(object).iter();
        elements.find(|element| element[self.key] == like[self.key])
    }

    /// Returns the path of an element as the API server writes it, e.g. `spec.ports[name="http"]`.
    pub(crate) fn path(&self, element: &Value) -> String {
        format!("spec.{}[{}={}]", self.field, self.key, element[self.key])
    }

    /// Returns true if an observed object has an element that is not in the manifest and that an apply would keep,
    /// because others own it too.
    pub(crate) fn is_shared(&self, object: &Manifest, seen: &Value) -> bool {
        self.elements(seen).iter().any(|element| {
            self.find(&object.body, element).is_none() && !self.is_only_ours(seen, element)
        })
    }

    /// Returns true if our apply is the only owner of an element.
    fn is_only_ours(&self, seen: &Value, element: &Value) -> bool {
        let managers = seen["metadata"]["managedFields"].as_array();
        let owners = managers.into_iter().flatten();
        let mut owners = owners.filter(|entry| self.owns(entry, element)).peekable();
        owners.peek().is_some() && owners.all(is_our_apply)
    }

    /// Returns true if an entry of `metadata.managedFields` contains an element: its key has the form
    /// `k:{"name":"http"}`.
    fn owns(&self, manager: &Value, element: &Value) -> bool {
        let fields = manager["fieldsV1"]["f:spec"][format!("f:{}", self.field)].as_object();
        let keys = fields.into_iter().flatten().map(|(key, _)| key);
        keys.filter_map(|key| serde_json::from_str::<Value>(key.strip_prefix("k:")?).ok())
            .any(|key| key[self.key] == element[self.key])
    }
}
