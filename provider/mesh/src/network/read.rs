//! Networks and gateways, read from what announces them.

use serde_json::{Map, Value};

use super::{Gateway, Networks};

/// Port of a gateway that names none (istio/istio, `pilot/pkg/serviceregistry/kube/controller/network.go`).
const PORT: u16 = 15443;
const NETWORK: &str = "topology.istio.io/network";
const GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";

/// Objects that may say something of networks, as the API server has them.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// Name of the cluster as istiod knows it, which is also that of its registry.
    pub cluster_id: String,
    /// The control plane's namespace.
    pub namespace: Value,
    /// `meshNetworks` of the mesh's `ConfigMap`.
    pub mesh_networks: Value,
    /// Every `Service` with the label `topology.istio.io/network`.
    pub services: Vec<Value>,
    /// Every `Gateway` of Istio's.
    pub gateways: Vec<Value>,
    /// Every `Gateway` of the Gateway API with that label.
    pub gateway_api: Vec<Value>,
}

impl Networks {
    /// Reads what the objects say.
    pub fn of(announced: &Announced) -> Self {
        let configured = announced.mesh_networks["networks"].as_object();
        let configured: Vec<_> = configured.into_iter().flatten().collect();
        let labelled = text(&announced.namespace["metadata"]["labels"][NETWORK]);
        let registry = configured
            .iter()
            .find(|(_, network)| from_registry(network, &announced.cluster_id));
        let mut gateways: Vec<Gateway> = vec![];
        for service in &announced.services {
            gateways.extend(of_service(service, &announced.gateways));
        }
        for (network, of) in &configured {
            let listed = of["gateways"].as_array().into_iter().flatten();
            gateways.extend(listed.filter_map(|listed| of_mesh_networks(network, listed)));
        }
        gateways.extend(announced.gateway_api.iter().filter_map(of_gateway_api));
        Self {
            cluster: labelled.or_else(|| registry.map(|(name, _)| (*name).clone())),
            gateways,
        }
    }
}

fn from_registry(network: &Value, cluster: &str) -> bool {
    listed(&network["endpoints"]).any(|endpoint| endpoint["fromRegistry"] == cluster)
}

fn of_service(service: &Value, gateways: &[Value]) -> Vec<Gateway> {
    let (metadata, spec) = (&service["metadata"], &service["spec"]);
    let labels = &metadata["labels"];
    let Some(network) = text(&labels[NETWORK]) else {
        return vec![];
    };
    let port = labels[GATEWAY_PORT]
        .as_str()
        .and_then(|port| port.parse().ok());
    let port = port.unwrap_or(PORT);
    let mut addresses: Vec<_> = listed(&service["status"]["loadBalancer"]["ingress"])
        .filter_map(|ingress| text(&ingress["ip"]).or_else(|| text(&ingress["hostname"])))
        .map(Some)
        .collect();
    addresses.extend(listed(&spec["externalIPs"]).map(text));
    if addresses.is_empty() {
        addresses.push(None);
    }
    let exposes = exposed(spec["selector"].as_object(), port, gateways);
    let gateway = |address| Gateway {
        network: network.clone(),
        address,
        port,
        announced_by: named("Service", metadata),
        exposes: Some(exposes.clone()),
    };
    addresses.into_iter().map(gateway).collect()
}

/// Returns the hosts that pass, by the servers of the gateways on the Service's pods. A Service without selector
/// may lead to any of them.
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

/// A gateway that is named by its service, and not by an address, is that of another object.
fn of_mesh_networks(network: &str, gateway: &Value) -> Option<Gateway> {
    Some(Gateway {
        network: network.to_owned(),
        address: Some(text(&gateway["address"])?),
        port: number(&gateway["port"]).unwrap_or(PORT),
        announced_by: "meshNetworks".into(),
        exposes: None,
    })
}

fn of_gateway_api(gateway: &Value) -> Option<Gateway> {
    let labels = &gateway["metadata"]["labels"];
    let mut ports =
        listed(&gateway["spec"]["listeners"]).filter_map(|listener| number(&listener["port"]));
    let status = listed(&gateway["status"]["addresses"]);
    let mut addresses = status.chain(listed(&gateway["spec"]["addresses"]));
    Some(Gateway {
        network: text(&labels[NETWORK])?,
        address: addresses.find_map(|address| text(&address["value"])),
        port: ports
            .find(|port| *port == PORT)
            .or_else(|| ports.next())
            .unwrap_or(PORT),
        announced_by: named("Gateway", &gateway["metadata"]),
        exposes: None,
    })
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
