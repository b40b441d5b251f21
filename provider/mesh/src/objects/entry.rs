//! The `WorkloadEntry` of a workload and the `WorkloadGroup` of a fleet.
//!
//! A workload always has an entry: its UID identifies the VM, istiod reports the proxy's connection on it, and its
//! health annotation is how traffic is withdrawn. istiod creates entries from a group.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::manifest::manifest;
use crate::desired::{Kind, Manifest};
use crate::fleet::{Fleet, Group};
use crate::health::group_probe;
use crate::mark::{FLEET_LABEL, WORKLOAD_LABEL};
use crate::names::Address;
use crate::workload::Workload;

/// Annotation that makes istiod track a VM's connection. With "true" (also 1, t, T, TRUE, True), the endpoint receives
/// no traffic until a probe succeeds. With any other value, istiod only tracks the connection.
pub const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";

/// Returns the entry of a workload.
pub(crate) fn entry(workload: &Workload, address: &Address) -> Manifest {
    let mut annotations = text_map(&workload.annotations);
    let checked = workload.health_check.is_some();
    annotations.insert(HEALTH_CHECKS.to_owned(), json!(checked.to_string()));
    let mut labels = text_map(&workload.labels);
    labels.insert(WORKLOAD_LABEL.to_owned(), json!(workload.id.name.as_str()));

    if let Some(fleet) = &workload.fleet {
        labels.insert(FLEET_LABEL.to_owned(), json!(fleet.name.as_str()));
    }

    let mut spec = template(workload);
    spec.insert("address".to_owned(), json!(address.to_string()));
    spec.insert("labels".to_owned(), labels.into());

    let id = &workload.id;
    let mut entry = manifest(
        &id.namespace,
        &workload.mark(),
        Kind::WorkloadEntry,
        id.name.clone(),
        spec.into(),
    );
    entry.body["metadata"]["annotations"] = annotations.into();
    entry
}

/// Returns the `WorkloadGroup`. Its labels are in `spec.metadata`, as Istio recommends: they override those of the
/// template.
pub(super) fn group(fleet: &Fleet, group: &Group) -> Manifest {
    let mut labels = text_map(&group.labels);
    labels.insert(FLEET_LABEL.to_owned(), json!(fleet.id.name.as_str()));
    let mut metadata = json!({ "labels": labels });
    if !group.annotations.is_empty() {
        metadata["annotations"] = text_map(&group.annotations).into();
    }
    let template = template(&fleet.entry_of(group));
    let mut spec = json!({ "metadata": metadata, "template": template });
    if let Some(probe) = group.health_check.as_ref().and_then(group_probe) {
        spec["probe"] = probe;
    }
    manifest(
        &fleet.id.namespace,
        &fleet.mark(),
        Kind::WorkloadGroup,
        fleet.id.name.clone(),
        spec,
    )
}

/// Returns the spec of an entry without address and labels.
fn template(workload: &Workload) -> Map<String, Value> {
    let mut spec = Map::new();
    spec.insert(
        "serviceAccount".to_owned(),
        json!(workload.service_account.as_str()),
    );
    if !workload.ports.is_empty() {
        let ports = workload
            .ports
            .iter()
            .map(|(name, port)| (name.to_string(), json!(port.get())));
        spec.insert("ports".to_owned(), ports.collect::<Map<_, _>>().into());
    }
    let network = workload.network.as_ref().map(|of| json!(of.as_str()));
    let locality = workload.locality.as_ref().map(|of| json!(of.as_str()));
    let optional = [
        ("network", network),
        ("locality", locality),
        ("weight", workload.weight.map(Value::from)),
    ];
    spec.extend(
        optional
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );
    spec
}

fn text_map<K: ToString, V: ToString>(texts: &BTreeMap<K, V>) -> Map<String, Value> {
    texts
        .iter()
        .map(|(key, value)| (key.to_string(), json!(value.to_string())))
        .collect()
}
