//! The `WorkloadEntry`: the one object that a workload cannot be without. Its uid marks the VM, on it
//! istiod reports the proxy, and its annotation takes the traffic away.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{HEALTH_CHECKS, manifest};
use crate::desired::{Kind, Manifest};
use crate::mark::WORKLOAD_LABEL;
use crate::names::Address;
use crate::workload::Workload;

pub(super) fn entry(workload: &Workload, address: &Address) -> Manifest {
    let mut annotations = text_map(&workload.annotations);
    annotations.insert(HEALTH_CHECKS.to_owned(), json!("false"));
    let mut labels = text_map(&workload.labels);
    labels.insert(WORKLOAD_LABEL.to_owned(), json!(workload.id.name.as_str()));

    let mut spec = Map::new();
    spec.insert("address".to_owned(), json!(address.to_string()));
    spec.insert("labels".to_owned(), labels.into());
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
    let optional = [
        (
            "network",
            workload
                .network
                .as_ref()
                .map(|network| json!(network.as_str())),
        ),
        (
            "locality",
            workload
                .locality
                .as_ref()
                .map(|locality| json!(locality.as_str())),
        ),
        ("weight", workload.weight.map(Value::from)),
    ];
    spec.extend(
        optional
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );

    let mut entry = manifest(
        workload,
        Kind::WorkloadEntry,
        workload.id.name.clone(),
        spec.into(),
    );
    entry.body["metadata"]["annotations"] = annotations.into();
    entry
}

fn text_map<K: ToString, V: ToString>(texts: &BTreeMap<K, V>) -> Map<String, Value> {
    texts
        .iter()
        .map(|(key, value)| (key.to_string(), json!(value.to_string())))
        .collect()
}
