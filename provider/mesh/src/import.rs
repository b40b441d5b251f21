//! Imports a workload from the objects in the cluster.

mod field;
mod fleet;
mod service_entry;
mod sidecar;

pub use fleet::{ImportedFleet, fleet_from_objects};

use std::collections::BTreeMap;

use serde_json::Value;

use crate::change::Problem;
use crate::desired::Manifest;
use crate::drift::{self, Finding, What};
use crate::mark::{CLAIM, FLEET_LABEL, Mark, WORKLOAD_LABEL};
use crate::names::{Id, LabelKey, Name, PortName};
use crate::objects::HEALTH_CHECKS;
use crate::observed::ObservedObjects;
use crate::rule::Rule;
use crate::selection::{entry_labels, selects};
use crate::withdrawal::WITHDRAWN;
use crate::workload::Workload;
use field::{import_field, import_map, parsed, texts};

/// Beginning of the provider's own labels.
const LABEL_PREFIX: &str = "mesh.vm/";

/// A declaration of the objects in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The declaration. Settings that only the VM has (`proxy`, `env`) have their defaults.
    pub workload: Workload,
    /// Sentences about what could not be imported and what happens to it.
    pub notes: Vec<String>,
}

/// Imports a workload from its entry, and from the `ServiceEntry` objects and the `Sidecar` that select it and either
/// carry its mark or are named `<workload>-<service>` or like the workload, respectively. The entry may have been
/// created manually.
///
/// # Errors
/// Fails if there is no entry or istiod created it.
pub fn workload_from_objects(objects: &ObservedObjects) -> Result<Imported, Vec<Problem>> {
    let entry = objects
        .entry
        .as_ref()
        .ok_or_else(|| refused("There is no WorkloadEntry with this name to import."))?;
    let group = &entry["metadata"]["annotations"]["istio.io/autoRegistrationGroup"];
    if let Some(group) = group.as_str() {
        return Err(refused(&format!(
            "istiod created this WorkloadEntry when a VM of the WorkloadGroup {group} registered itself, and deletes it \
            automatically. It cannot be managed here.",
        )));
    }
    let mut notes = Vec::new();
    let mut workload = from_entry(entry, &mut notes)?;
    let labels = entry_labels(entry);
    let mark = workload.mark();
    let selecting = objects
        .services
        .iter()
        .filter(|(_, object)| selects(object, &labels));
    workload.services = service_entry::services(&workload.id, &mark, selecting, &mut notes);
    let own = |(name, object): &(&Name, &Value)| {
        let is_named = **name == workload.id.name;
        (is_named || Mark::of(object).as_ref() == Some(&mark)) && selects(object, &labels)
    };
    if let Some((name, sidecar)) = objects.sidecars.iter().find(own) {
        sidecar::add(&mut workload, name, sidecar, &mut notes);
    }
    if let Some(problem) = crate::validate::validate(&workload).first() {
        notes.push(format!(
            "The imported objects violate a rule. Fix this in the configuration: {}",
            problem.text
        ));
    }
    Ok(Imported { workload, notes })
}

/// Returns what an apply of the imported declaration removes from the objects or overwrites, because the declaration
/// cannot carry it. `declared` are the objects of the declaration.
pub fn left_out(declared: &[Manifest], objects: &ObservedObjects, mark: &Mark) -> Vec<Finding> {
    let mut found = drift::of_objects(declared, objects, mark);
    // Selectors become ours, and labels of a template are declared elsewhere.
    let carried = ["spec.workloadSelector", "spec.template.labels"];
    let is_ours = |at: &str| {
        at.contains(LABEL_PREFIX) || carried.iter().any(|carried| at.starts_with(carried))
    };
    found.retain(|finding| {
        let is_lost = matches!(finding.what, What::Differs { .. } | What::Unwanted { .. });
        is_lost
            && finding.subject.is_some()
            && finding.at.starts_with("spec.")
            && !is_ours(&finding.at)
    });
    found
}

fn refused(text: &str) -> Vec<Problem> {
    vec![Problem {
        concerns: vec!["id".to_owned()],
        rule: Rule::Importable,
        text: text.to_owned(),
    }]
}

fn from_entry(entry: &Value, notes: &mut Vec<String>) -> Result<Workload, Vec<Problem>> {
    let (metadata, spec) = (&entry["metadata"], &entry["spec"]);
    let name = |key: &str| metadata[key].as_str().unwrap_or_default();
    let id = Value::from(format!("{}/{}", name("namespace"), name("name")));
    let mut account = spec["serviceAccount"].clone();
    if account.is_null() {
        notes.push("The entry has no service account: default is assumed.".to_owned());
        account = "default".into();
    }
    let id = parsed("metadata", &id).map_err(|why| refused(&format!("{why}.")))?;
    let account =
        parsed("spec.serviceAccount", &account).map_err(|why| refused(&format!("{why}.")))?;
    Ok(Workload {
        address: import_field("address", &spec["address"], notes),
        labels: import_map("labels", &spec["labels"], notes, |key: &LabelKey| {
            ![WORKLOAD_LABEL, FLEET_LABEL].contains(&key.as_str())
        }),
        annotations: annotations(&metadata["annotations"]),
        network: import_field("network", &spec["network"], notes),
        locality: import_field("locality", &spec["locality"], notes),
        weight: spec["weight"]
            .as_u64()
            .and_then(|weight| u32::try_from(weight).ok()),
        ports: import_map("ports", &spec["ports"], notes, |_: &PortName| true),
        fleet: fleet_of(&id, &spec["labels"]),
        ..Workload::bare(id, account)
    })
}

/// Returns the fleet of an entry.
fn fleet_of(workload: &Id, labels: &Value) -> Option<Id> {
    Some(Id {
        namespace: workload.namespace.clone(),
        name: labels[FLEET_LABEL].as_str()?.parse().ok()?,
    })
}

/// Returns the annotations that can be declared: not those of istiod, kubectl and the provider.
fn annotations(found: &Value) -> BTreeMap<String, String> {
    let is_managed = |key: &str| {
        key.starts_with("istio.io/")
            || key.starts_with("kubectl.kubernetes.io/")
            || key == HEALTH_CHECKS
            || key == WITHDRAWN
            || key == CLAIM
    };
    texts(found, |key| !is_managed(key))
}
