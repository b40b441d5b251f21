//! Labels that say to which workload or fleet an object belongs.

use std::fmt;

use serde_json::{Value, json};

use crate::names::Name;

/// Label that names the tool that manages an object; our value is [`MANAGER`].
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`] and field manager of server-side apply.
pub const MANAGER: &str = "terraform-provider-mesh";

/// Field manager of the request that creates an object. It gives its fields up to [`MANAGER`] at once: with the fields of
/// a create beside those of an apply, a later apply could not remove them.
pub const CREATOR: &str = "terraform-provider-mesh-create";

/// Annotation of the request that creates an object. If the answer is lost, the run that sent the request recognizes its
/// object by the value. The first apply removes it.
pub const CLAIM: &str = "mesh.vm/claim";

/// Owner of an object. Every object carries the label with the owner's name, so that one list call finds all objects of
/// an owner. Selectors use the same label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A workload: one VM.
    Workload(Name),
    /// A fleet: objects that several VMs share.
    Fleet(Name),
}

impl Mark {
    /// Returns the key of the label that holds the owner's name.
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

    /// Returns the mark of an observed object; `None` if we do not manage it or it has no owner.
    pub fn of(object: &Value) -> Option<Self> {
        let labels = &object["metadata"]["labels"];
        if !is_labelled(object) {
            return None;
        }
        let name = |label: &str| labels[label].as_str()?.parse().ok();
        let workload = name(WORKLOAD_LABEL).map(Self::Workload);
        workload.or_else(|| name(FLEET_LABEL).map(Self::Fleet))
    }

    /// Returns the labels of an object with this mark.
    pub(crate) fn labels(&self) -> Value {
        json!({ MANAGED_BY_LABEL: MANAGER, self.label(): self.name().as_str() })
    }

    /// Returns the selector of the entries that carry the label.
    pub(crate) fn selector(&self) -> Value {
        json!({ "labels": { self.label(): self.name().as_str() } })
    }
}

/// Returns true if an observed object carries our label.
pub fn is_labelled(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER
}

/// Returns true if we created or adopted an object. Its label says so; if someone removed the label,
/// `metadata.managedFields` still lists our server-side apply.
pub fn is_ours(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array();
    is_labelled(object) || managers.is_some_and(|managers| managers.iter().any(is_our_apply))
}

/// Returns true if an entry of `metadata.managedFields` belongs to our server-side apply.
pub(crate) fn is_our_apply(manager: &Value) -> bool {
    manager["manager"] == MANAGER && manager["operation"] == "Apply"
}

/// Returns true if an entry of `metadata.managedFields` belongs to a patch or a create of ours on the object itself.
pub(crate) fn is_our_update(manager: &Value) -> bool {
    let subresource = manager["subresource"].as_str().unwrap_or_default();
    let is_ours = manager["manager"] == MANAGER || manager["manager"] == CREATOR;
    is_ours && manager["operation"] == "Update" && subresource.is_empty()
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => write!(f, "workload {name}"),
            Self::Fleet(name) => write!(f, "fleet {name}"),
        }
    }
}

/// Label by which a workload's services and Sidecar select its entry.
pub const WORKLOAD_LABEL: &str = "mesh.vm/workload";

/// Label by which a fleet's services and Sidecar select the entries of its members.
pub const FLEET_LABEL: &str = "mesh.vm/fleet";
