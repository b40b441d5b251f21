//! The proxy's metadata, which is in the mesh config and in `cluster.env`, and the variables that the provider writes.
//! `istioctl x workload entry configure` writes the same for a `WorkloadGroup`; here they are for a plain
//! `WorkloadEntry`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::facts::Facts;
use crate::mark::{FLEET_LABEL, WORKLOAD_LABEL};
use crate::proxy_config;
use crate::workload::{Interception, Workload};

pub(crate) const EXCLUDE_PORTS: &str = "ISTIO_LOCAL_EXCLUDE_PORTS";
pub(crate) const EXCLUDE_CIDRS: &str = "ISTIO_SERVICE_EXCLUDE_CIDR";

/// Ports that the interception rules redirect to, as the start script passes them to `istio-iptables`.
pub(super) const OUTBOUND_PORT: &str = "ENVOY_PORT";
pub(super) const INBOUND_PORT: &str = "INBOUND_CAPTURE_PORT";

/// Makes probes without a host connect to the loopback interface instead of `ISTIO_SVC_IP`. Applications behind the
/// proxy listen there, and a probe of an address that the VM does not have would get no response.
pub(super) const PROBE_LOOPBACK: &str = "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION";

/// All variables that the provider writes. The user's `env` must not set them. Their values are public and may be
/// shown; the values of other variables (from the mesh or the user) must not be shown.
const OURS: [&str; 32] = [
    "CANONICAL_REVISION",
    "CANONICAL_SERVICE",
    "CA_ADDR",
    OUTBOUND_PORT,
    INBOUND_PORT,
    "ISTIOD_SAN",
    "ISTIO_BIN_BASE",
    "ISTIO_CUSTOM_IP_TABLES",
    "ISTIO_INBOUND_INTERCEPTION_MODE",
    "ISTIO_INBOUND_PORTS",
    EXCLUDE_PORTS,
    "ISTIO_METAJSON_LABELS",
    "ISTIO_META_CLUSTER_ID",
    "ISTIO_META_DNS_CAPTURE",
    "ISTIO_META_INTERCEPTION_MODE",
    "ISTIO_META_MESH_ID",
    "ISTIO_META_NETWORK",
    "ISTIO_META_POD_PORTS",
    "ISTIO_META_WORKLOAD_ENTRY",
    "ISTIO_META_WORKLOAD_NAME",
    "ISTIO_NAMESPACE",
    "ISTIO_SERVICE",
    "ISTIO_SERVICE_CIDR",
    EXCLUDE_CIDRS,
    "ISTIO_SVC_IP",
    "POD_NAME",
    "POD_NAMESPACE",
    PROBE_LOOPBACK,
    "SERVICE_ACCOUNT",
    "TRUST_DOMAIN",
    // It would override the mesh config.
    "PROXY_CONFIG",
    // The start script sets it from ISTIO_SVC_IP inside a command string, so it must always be an IP address.
    "INSTANCE_IP",
];

/// Returns true if the provider writes a variable.
pub(crate) fn owns(key: &str) -> bool {
    OURS.contains(&key)
}

/// Variables whose values come from the cluster, unless the user sets them.
const OF_FACTS: [&str; 9] = [
    "CA_ADDR",
    OUTBOUND_PORT,
    INBOUND_PORT,
    "ISTIOD_SAN",
    "ISTIO_BIN_BASE",
    "ISTIO_META_CLUSTER_ID",
    "ISTIO_META_DNS_CAPTURE",
    "ISTIO_META_MESH_ID",
    "TRUST_DOMAIN",
];

/// Returns true if the value of one of the provider's variables comes from the cluster.
pub(crate) fn of_facts(key: &str) -> bool {
    OF_FACTS.contains(&key)
}

/// Variables of pods that stop the agent of a VM. They name files and sockets that only a pod has, or certificates
/// that only the mesh's injection mounts.
const OF_PODS: [&str; 8] = [
    "DISABLE_ENVOY",
    "FILE_MOUNTED_CERTS",
    "GRPC_XDS_BOOTSTRAP",
    "ISTIO_KUBE_APP_PROBERS",
    "JWT_POLICY",
    // The agent writes its certificate there, and starts from it again: on a VM, both are /etc/certs.
    "OUTPUT_CERTS",
    "PILOT_CERT_PROVIDER",
    "PROV_CERT",
];

/// Returns the variables of the mesh that the VM's environment leaves out, by name.
pub fn left_out_of_mesh(facts: &Facts) -> BTreeSet<String> {
    let of_mesh = proxy_config::of_mesh(&facts.mesh_config).remove("proxyMetadata");
    let of_mesh = of_mesh.as_ref().and_then(Value::as_object);
    let names = of_mesh.into_iter().flatten().map(|(key, _)| key.clone());
    names.filter(|key| is_of_pods(key)).collect()
}

/// Returns the variables of the workload that the VM's environment leaves out, by name.
pub fn left_out_of_own(workload: &Workload) -> BTreeSet<String> {
    let names = workload.env.keys().map(ToString::to_string);
    names.filter(|key| is_of_pods(key)).collect()
}

pub(crate) fn is_of_pods(key: &str) -> bool {
    OF_PODS.contains(&key)
}

/// Returns the settings of the workload that the mesh could set as well: variables by name, settings of the proxy
/// configuration by path.
pub(crate) fn own(workload: &Workload) -> BTreeSet<String> {
    let proxy = &workload.proxy;
    let env = workload.env.keys().map(ToString::to_string);
    let config = proxy
        .config
        .iter()
        .flat_map(|config| config.fields().keys());
    let config = config.map(|name| format!("defaultConfig.{name}"));
    let capture = proxy
        .dns_capture
        .map(|_| "ISTIO_META_DNS_CAPTURE".to_owned());
    let probe = std::iter::once("defaultConfig.readinessProbe".to_owned());
    env.chain(config).chain(capture).chain(probe).collect()
}

/// The provider's variables that the mesh may set for all proxies if the workload does not.
const OF_MESH: [&str; 2] = ["CA_ADDR", "ISTIO_META_DNS_CAPTURE"];

/// Returns the proxy's metadata: the mesh's, overridden by computed values, overridden by the user's. Settings of the
/// mesh for pods, such as the interception mode, do not apply to a VM.
pub(crate) fn metadata(workload: &Workload, facts: &Facts) -> BTreeMap<String, String> {
    let of_mesh = proxy_config::of_mesh(&facts.mesh_config).remove("proxyMetadata");
    let taken = |key: &str| !owns(key) || OF_MESH.contains(&key);
    let of_mesh = of_mesh.as_ref().and_then(Value::as_object);
    let mut metadata: BTreeMap<String, String> = of_mesh
        .into_iter()
        .flatten()
        // Istio drops a null, and `conflicts` reports what else is no text.
        .filter(|(key, value)| taken(key) && value.is_string())
        .map(|(key, value)| (key.clone(), text(value)))
        .collect();
    let id = &workload.id;
    let labels = labels(workload);
    let canonical = |key: &str| text(&labels[key]);
    let computed = [
        ("CANONICAL_SERVICE", canonical(CANONICAL_NAME)),
        ("CANONICAL_REVISION", canonical(CANONICAL_REVISION)),
        ("ISTIO_METAJSON_LABELS", labels.to_string()),
        ("ISTIO_META_CLUSTER_ID", facts.cluster_id.clone()),
        ("ISTIO_META_MESH_ID", mesh_id(workload, facts)),
        (
            "ISTIO_META_NETWORK",
            workload
                .network
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        // With it, istiod finds this entry by name and reports the proxy's connection on it.
        ("ISTIO_META_WORKLOAD_ENTRY", id.name.to_string()),
        ("ISTIO_META_WORKLOAD_NAME", id.name.to_string()),
        ("POD_NAME", id.name.to_string()),
        ("POD_NAMESPACE", id.namespace.to_string()),
        ("SERVICE_ACCOUNT", workload.service_account.to_string()),
        ("TRUST_DOMAIN", facts.trust_domain.clone()),
    ];
    let optional = [
        ("ISTIO_META_POD_PORTS", pod_ports(workload)),
        (
            "ISTIO_META_DNS_CAPTURE",
            workload
                .proxy
                .dns_capture
                .map(|capture| capture.to_string()),
        ),
        (
            "ISTIO_META_INTERCEPTION_MODE",
            interception(workload.proxy.interception),
        ),
    ];
    metadata.extend(computed.map(|(key, value)| (key.to_owned(), value)));
    metadata.extend(
        optional
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?))),
    );
    let own = workload.env.iter();
    metadata.extend(own.map(|(key, value)| (key.to_string(), value.clone())));
    metadata.retain(|key, _| !is_of_pods(key));
    metadata
}

/// Returns the mesh ID: that of the workload's own settings, otherwise the cluster's.
fn mesh_id(workload: &Workload, facts: &Facts) -> String {
    let own = workload.proxy.config.as_ref();
    let id = own.and_then(|own| own.fields().get("meshId"));
    id.map_or_else(|| facts.mesh_id.clone(), text)
}

const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";

/// Returns the labels of the proxy: the entry's, and the canonical ones as istioctl computes them.
///
/// They include the provider's labels. istiod selects the Sidecar of a proxy when it connects. At that time, the entry
/// receives no traffic, so only the proxy's own labels count. istiod selects again once the entry receives traffic, but
/// possibly before it has the entry's labels.
pub(crate) fn labels(workload: &Workload) -> Value {
    let mut labels: BTreeMap<&str, &str> = workload
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let name = workload.id.name.as_str();
    labels.insert(WORKLOAD_LABEL, name);
    if let Some(fleet) = &workload.fleet {
        labels.insert(FLEET_LABEL, fleet.name.as_str());
    }
    let first = |keys: [&str; 3], default| {
        keys.iter()
            .find_map(|key| labels.get(key).copied())
            .unwrap_or(default)
    };
    let service = first([CANONICAL_NAME, "app.kubernetes.io/name", "app"], name);
    let revision = first(
        [CANONICAL_REVISION, "app.kubernetes.io/version", "version"],
        "latest",
    );
    labels.insert(CANONICAL_NAME, service);
    labels.insert(CANONICAL_REVISION, revision);
    json!(labels)
}

fn pod_ports(workload: &Workload) -> Option<String> {
    let port = |(name, port): (&crate::names::PortName, &crate::names::Port)| {
        format!(r#"{{"name":"{name}","containerPort":{port},"protocol":""}}"#)
    };
    let ports: Vec<String> = workload.ports.iter().map(port).collect();
    (!ports.is_empty()).then(|| format!("[{}]", ports.join(",")))
}

fn interception(mode: Interception) -> Option<String> {
    match mode {
        Interception::Redirect => None,
        Interception::Tproxy => Some("TPROXY".to_owned()),
        Interception::None => Some("NONE".to_owned()),
    }
}

/// Returns a value of the mesh config as text. The values of `proxyMetadata` should be strings.
pub(super) fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
