//! The intended differences from istioctl. The guide lists each by the same name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a VM runs on, as its shell and its agent read it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bundle {
    /// Variables as `sh` reads them.
    pub(super) env: BTreeMap<String, String>,
    /// The mesh config's `defaultConfig`.
    pub(super) config: Map<String, Value>,
    /// The line for `/etc/hosts`; empty: none.
    pub(super) hosts: String,
}

impl Bundle {
    fn metadata(&mut self) -> &mut Map<String, Value> {
        let metadata = self
            .config
            .entry("proxyMetadata")
            .or_insert_with(|| Map::new().into());
        metadata.as_object_mut().unwrap()
    }

    /// Removes a variable from both files.
    fn forget(&mut self, name: &str) {
        self.env.remove(name);
        self.metadata().remove(name);
    }

    /// Changes a variable in both files.
    fn change(&mut self, name: &str, change: impl Fn(&str) -> String) {
        if let Some(value) = self.env.get_mut(name) {
            *value = change(value);
        }
        if let Some(value) = self.metadata().get_mut(name) {
            *value = change(value.as_str().unwrap()).into();
        }
    }
}

/// A difference: its name in the guide, and what makes istioctl's bundle and ours equal in it.
pub(super) type Difference = (&'static str, fn(theirs: &mut Bundle, ours: &mut Bundle));

pub(super) const DIFFERENCES: [Difference; 9] = [
    ("identity", |_, ours| {
        ours.forget("ISTIO_META_WORKLOAD_ENTRY");
        ours.forget("POD_NAME");
    }),
    ("workload-label", |_, ours| {
        ours.change("ISTIO_METAJSON_LABELS", |json| {
            let mut labels: Value = serde_json::from_str(json).unwrap();
            labels.as_object_mut().unwrap().remove("mesh.vm/workload");
            labels.to_string()
        });
    }),
    ("port-order", |theirs, _| {
        theirs.change("ISTIO_INBOUND_PORTS", |ports| {
            let mut numbers: Vec<u16> = ports
                .split(',')
                .filter_map(|port| port.parse().ok())
                .collect();
            if numbers.is_empty() {
                return ports.to_owned();
            }
            numbers.sort_unstable();
            numbers.dedup();
            numbers
                .iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(",")
        });
    }),
    ("own-address", |theirs, ours| {
        if !theirs.env.contains_key("ISTIO_SVC_IP") {
            ours.forget("ISTIO_SVC_IP");
        }
    }),
    ("probe-host", |theirs, ours| {
        theirs.forget("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION");
        ours.forget("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION");
    }),
    ("metadata-addresses", |_, ours| {
        ours.forget("ISTIO_SERVICE_EXCLUDE_CIDR");
    }),
    ("trust-domain", |theirs, _| {
        theirs.change("TRUST_DOMAIN", |domain| {
            if domain.is_empty() {
                "cluster.local".to_owned()
            } else {
                domain.to_owned()
            }
        });
    }),
    ("interception-of-pods", |theirs, _| {
        theirs.forget("ISTIO_META_INTERCEPTION_MODE");
    }),
    ("no-variables", |theirs, ours| {
        // Not even a shell can say what istioctl wrote of it.
        theirs.env.remove("no.variable");
        ours.env.remove("no.variable");
    }),
];
