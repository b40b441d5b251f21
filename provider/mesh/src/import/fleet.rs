//! Imports a fleet from the objects in the cluster.

use serde_json::Value;

use super::field::{import_field, import_map, texts};
use super::{service_entry, sidecar};
use crate::fleet::{Fleet, Group};
use crate::health::from_probe;
use crate::mark::{FLEET_LABEL, Mark};
use crate::names::{Id, LabelKey, Name, PortName};
use crate::observed::ObservedObjects;
use crate::rollout::Rollout;
use crate::workload::Workload;

/// A declaration of the objects in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedFleet {
    /// The declaration.
    pub fleet: Fleet,
    /// Sentences about what could not be imported and what happens to it.
    pub notes: Vec<String>,
}

/// Imports a fleet from the `ServiceEntry` objects that are named `<fleet>-<service>` and select entries, and from the
/// `Sidecar` and the `WorkloadGroup` with its name. The objects may have been created manually. Objects of a workload or
/// of another fleet are ignored. `None`: there are no such objects.
pub fn fleet_from_objects(id: &Id, objects: &ObservedObjects) -> Option<ImportedFleet> {
    let mark = Mark::Fleet(id.name.clone());
    let is_free = |object: &Value| Mark::of(object).is_none_or(|of| of == mark);
    let selects = |object: &Value| {
        let selector = object["spec"]["workloadSelector"]["labels"].as_object();
        is_free(object) && selector.is_some_and(|labels| !labels.is_empty())
    };
    let mut notes = Vec::new();
    let mut as_one = Workload::bare(id.clone(), id.name.clone());
    let is_own = |object: &Value, named: bool| {
        selects(object) && (named || Mark::of(object).as_ref() == Some(&mark))
    };
    let named = |name: &Name| {
        let rest = name.as_str().strip_prefix(id.name.as_str());
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    let selecting = objects
        .services
        .iter()
        .filter(|(name, object)| is_own(object, named(name)));
    as_one.services = service_entry::services(id, &mark, selecting, &mut notes);
    let mut sidecars = objects.sidecars.iter();
    let sidecar = sidecars.find(|(name, object)| is_own(object, **name == id.name));
    if let Some((name, sidecar)) = sidecar {
        sidecar::add(&mut as_one, name, sidecar, &mut notes);
    }
    let group = objects.group.as_ref().filter(|of| is_free(of));
    let fleet = Fleet {
        id: id.clone(),
        services: as_one.services,
        sidecar: as_one.sidecar,
        group: group.and_then(|group| self::group(&group["spec"], &mut notes)),
        rollout: Rollout::declared(objects.lease.as_ref().filter(|of| is_free(of))),
    };
    let is_nothing = fleet.services.is_empty() && fleet.sidecar.is_none() && fleet.group.is_none();
    (!is_nothing).then_some(ImportedFleet { fleet, notes })
}

/// Imports the group. Its labels can also be in the template; those of `metadata` override them.
fn group(spec: &Value, notes: &mut Vec<String>) -> Option<Group> {
    let template = &spec["template"];
    let wanted = |key: &LabelKey| key.as_str() != FLEET_LABEL;
    let mut labels = import_map("template.labels", &template["labels"], notes, wanted);
    let over = import_map(
        "metadata.labels",
        &spec["metadata"]["labels"],
        notes,
        wanted,
    );
    labels.extend(over);
    let probe = &spec["probe"];
    let health_check = from_probe(probe);
    if health_check.is_none() && !probe.is_null() {
        notes.push("spec.probe has a kind that cannot be declared.".to_owned());
    }
    Some(Group {
        health_check,
        labels,
        annotations: texts(&spec["metadata"]["annotations"], |_| true),
        service_account: import_field(
            "template.serviceAccount",
            &template["serviceAccount"],
            notes,
        )
        .or_else(|| "default".parse().ok())?,
        network: import_field("template.network", &template["network"], notes),
        locality: import_field("template.locality", &template["locality"], notes),
        weight: template["weight"]
            .as_u64()
            .and_then(|weight| u32::try_from(weight).ok()),
        ports: import_map(
            "template.ports",
            &template["ports"],
            notes,
            |_: &PortName| true,
        ),
    })
}
