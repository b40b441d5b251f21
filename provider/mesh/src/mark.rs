//! Whose an object of ours is, by its labels.

use std::fmt;

use serde_json::{Value, json};

use crate::names::Name;

/// Label that says who writes an object; its value is [`MANAGER`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`], and the field manager of server-side apply.
pub const MANAGER: &str = "terraform-provider-mesh";

/// What an object belongs to. Its label and name stand on every object, so that one list finds what
/// belongs together, and in the selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// One VM.
    Workload(Name),
    /// What several VMs share.
    Fleet(Name),
}

impl Mark {
    /// Returns the label that bears the name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Workload(_) => WORKLOAD_LABEL,
            Self::Fleet(_) => FLEET_LABEL,
        }
    }

    /// Returns the name of the workload or the fleet.
    pub fn name(&self) -> &Name {
        match self {
            Self::Workload(name) | Self::Fleet(name) => name,
        }
    }

    /// Reads the mark of an observed object; `None` if it is not ours, or nobody's any more.
    pub fn of(object: &Value) -> Option<Self> {
        let labels = &object["metadata"]["labels"];
        if !is_labelled(object) {
            return None;
        }
        let name = |label: &str| labels[label].as_str()?.parse().ok();
        let workload = name(WORKLOAD_LABEL).map(Self::Workload);
        workload.or_else(|| name(FLEET_LABEL).map(Self::Fleet))
    }

    /// Returns the labels of the object itself.
    pub(crate) fn labels(&self) -> Value {
        json!({ MANAGED_BY_LABEL: MANAGER, self.label(): self.name().as_str() })
    }

    /// Returns what selects the entries that carry the label.
    pub(crate) fn selector(&self) -> Value {
        json!({ "labels": { self.label(): self.name().as_str() } })
    }
}

/// Tells whether an observed object carries our label.
pub fn is_labelled(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER
}

/// Tells whether we made an object or took it over: by its label, or, where somebody removed that, by what the API
/// server remembers of server-side applies.
pub fn is_ours(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array();
    is_labelled(object) || managers.is_some_and(|managers| managers.iter().any(is_our_apply))
}

/// Tells whether an entry of `metadata.managedFields` is that of our server-side applies.
pub(crate) fn is_our_apply(manager: &Value) -> bool {
    manager["manager"] == MANAGER && manager["operation"] == "Apply"
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => write!(f, "workload {name}"),
            Self::Fleet(name) => write!(f, "fleet {name}"),
        }
    }
}

/// Label of the entry by which its own services and its own Sidecar select it.
pub const WORKLOAD_LABEL: &str = "mesh.vm/workload";

/// Label of an entry by which the services and the Sidecar of its fleet select it.
pub const FLEET_LABEL: &str = "mesh.vm/fleet";
