//! Reads networks and gateways from the objects that announce them.

use serde_json::{Map, Value};

use super::{Gateway, Networks};

/// Default port of a gateway (istio/istio, `pilot/pkg/serviceregistry/kube/controller/network.go`).
const PORT: u16 = 15443;
const NETWORK: &str = "topology.istio.io/network";
const GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";

/// Objects that can announce networks and gateways, as the API server returns them.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// Name of the cluster at istiod, which is also the name of its registry.
    pub cluster_id: String,
    /// The control plane's namespace.
    pub namespace: Value,
    /// `meshNetworks` of the mesh's `ConfigMap`.
    pub mesh_networks: Value,
    /// All `Service` objects.
    pub services: Vec<Value>,
    /// All Istio `Gateway` objects; `None`: the credential may not read them.
    pub gateways: Option<Vec<Value>>,
    /// All Gateway API `Gateway` objects with the network label.
    pub gateway_api: Vec<Value>,
    /// Objects that the credential may not read, each as a sentence.
    pub unseen: Vec<String>,
}

impl Networks {
    /// Reads the networks and gateways that the objects announce.
    pub fn from_objects(announced: &Announced) -> Self {
        let configured = announced.mesh_networks["networks"].as_object();
        let configured: Vec<_> = configured.into_iter().flatten().collect();
        let labelled = text(&announced.namespace["metadata"]["labels"][NETWORK]);
        let registry = configured
            .iter()
            .find(|(_, network)| is_of_registry(network, &announced.cluster_id));
        let mut gateways: Vec<Gateway> = vec![];
        for service in &announced.services {
            gateways.extend(from_service(service, announced.gateways.as_deref()));
        }
        for (network, of) in &configured {
            let listed = of["gateways"].as_array().into_iter().flatten();
            gateways.extend(
                listed.flat_map(|listed| from_mesh_networks(network, listed, &announced.services)),
            );
        }
        gateways.extend(announced.gateway_api.iter().flat_map(from_gateway_api));
        Self {
            cluster: labelled.or_else(|| registry.map(|(name, _)| (*name).clone())),
            gateways,
            unseen: announced.unseen.clone(),
        }
    }
}

fn is_of_registry(network: &Value, cluster: &str) -> bool {
    listed(&network["endpoints"]).any(|endpoint| endpoint["fromRegistry"] == cluster)
}

fn from_service(service: &Value, gateways: Option<&[Value]>) -> Vec<Gateway> {
    let (metadata, spec) = (&service["metadata"], &service["spec"]);
    let labels = &metadata["labels"];
    let Some(network) = text(&labels[NETWORK]) else {
        return vec![];
    };
    let port = gateway_port(labels);
    let mut addresses: Vec<_> = addresses(service).map(Some).collect();
    if addresses.is_empty() {
        addresses.push(None);
    }
    let exposes = gateways.map(|of| exposed(spec["selector"].as_object(), port, of));
    let gateway = |address| Gateway {
        network: network.clone(),
        address,
        port,
        announced_by: named("Service", metadata),
        exposes: exposes.clone(),
    };
    addresses.into_iter().map(gateway).collect()
}

/// Returns the hosts that the Istio gateways on the Service's pods pass through. A Service without a selector may
/// route to any of them.
fn exposed(selector: Option<&Map<String, Value>>, port: u16, gateways: &[Value]) -> Vec<String> {
    let on_its_pods = |gateway: &&Value| {
        let wanted = gateway["spec"]["selector"].as_object();
        selector.is_none_or(|selector| {
            let mut wanted = wanted.into_iter().flatten();
            wanted.all(|(key, value)| selector.get(key) == Some(value))
        })
    };
    let servers = gateways.iter().filter(on_its_pods);
    let servers = servers.flat_map(|gateway| listed(&gateway["spec"]["servers"]));
    let passing = servers.filter(|server| {
        server["tls"]["mode"] == "AUTO_PASSTHROUGH" && server["port"]["number"] == port
    });
    let mut hosts: Vec<String> = passing
        .flat_map(|server| listed(&server["hosts"]).filter_map(text))
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Returns the external addresses of a Service.
fn addresses(service: &Value) -> impl Iterator<Item = String> {
    let balanced = listed(&service["status"]["loadBalancer"]["ingress"])
        .filter_map(|ingress| text(&ingress["ip"]).or_else(|| text(&ingress["hostname"])));
    balanced.chain(listed(&service["spec"]["externalIPs"]).filter_map(text))
}

/// Reads a gateway of `meshNetworks`: it has its own address or refers to a Service.
fn from_mesh_networks(network: &str, gateway: &Value, services: &[Value]) -> Vec<Gateway> {
    let registered = text(&gateway["registryServiceName"]).unwrap_or_default();
    let is_it = |service: &&Value| {
        let metadata = &service["metadata"];
        let name = [&metadata["name"], &metadata["namespace"]]
            .map(|part| part.as_str().unwrap_or_default());
        registered.starts_with(&format!("{}.{}.svc.", name[0], name[1]))
    };
    let found = services.iter().filter(is_it).flat_map(addresses);
    let all = text(&gateway["address"]).into_iter().chain(found);
    let gateway = |address| Gateway {
        network: network.to_owned(),
        address: Some(address),
        port: number(&gateway["port"]).unwrap_or(PORT),
        announced_by: "meshNetworks".into(),
        exposes: None,
    };
    all.map(gateway).collect()
}

/// Reads a Gateway API gateway. It counts only if it has a TLS listener on the gateway port.
fn from_gateway_api(gateway: &Value) -> Vec<Gateway> {
    let labels = &gateway["metadata"]["labels"];
    let port = gateway_port(labels);
    let passes =
        |listener: &Value| number(&listener["port"]) == Some(port) && listener["tls"].is_object();
    let Some(network) =
        text(&labels[NETWORK]).filter(|_| listed(&gateway["spec"]["listeners"]).any(passes))
    else {
        return vec![];
    };
    let status = listed(&gateway["status"]["addresses"]);
    let requested = listed(&gateway["spec"]["addresses"]);
    let mut addresses: Vec<String> = status
        .chain(requested)
        .filter_map(|one| text(&one["value"]))
        .collect();
    addresses.dedup();
    let gateway = |address| Gateway {
        network: network.clone(),
        address: Some(address),
        port,
        announced_by: named("Gateway", &gateway["metadata"]),
        exposes: None,
    };
    addresses.into_iter().map(gateway).collect()
}

fn gateway_port(labels: &Value) -> u16 {
    let port = labels[GATEWAY_PORT]
        .as_str()
        .and_then(|port| port.parse().ok());
    port.unwrap_or(PORT)
}

fn named(kind: &str, metadata: &Value) -> String {
    let part = |key: &str| metadata[key].as_str().unwrap_or_default();
    format!("{kind} {}/{}", part("namespace"), part("name"))
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| number.try_into().ok())
}
