//! Routes of traffic between pods and a VM on another network.
//!
//! istiod decides for each endpoint whether callers connect directly or through the gateways of the endpoint's network.
//! The rules are those of `EndpointsByNetworkFilter` in istio/istio (`pilot/pkg/xds/ep_filters.go`).

mod read;

use serde_json::Value;

pub use read::Announced;

/// Networks of the mesh and the gateways into them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Networks {
    /// Network of the cluster's pods; `None`: it has no name.
    pub cluster: Option<String>,
    /// All gateways.
    pub gateways: Vec<Gateway>,
    /// Objects that could not be read, each as a sentence. The actual route may differ because of them.
    pub unseen: Vec<String>,
}

/// A gateway into a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Network behind the gateway.
    pub network: String,
    /// IP address or host name that clients connect to; `None`: it has no address yet.
    pub address: Option<String>,
    /// Port that clients connect to, 15443 by default.
    pub port: u16,
    /// Object that announces the gateway, e.g. `Service istio-system/istio-eastwestgateway`.
    pub announced_by: String,
    /// Hosts that it passes through (`AUTO_PASSTHROUGH`); `None`: unknown.
    pub exposes: Option<Vec<String>>,
}

/// A VM as an endpoint of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Address that callers connect to.
    pub address: String,
    /// Network of the VM.
    pub network: Option<String>,
    /// Whether istiod treats it as an endpoint with mutual TLS.
    pub mutual_tls: bool,
    /// Host names of its services.
    pub hosts: Vec<String>,
}

/// The route of traffic in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRoute {
    /// Whether the route passes through a gateway.
    pub through_gateway: bool,
    /// Hops from the caller to the target, e.g. `a pod`, `gateway 203.0.113.9:15443 (…)`, `VM 10.1.0.5`. Only the caller if
    /// istiod drops the target.
    pub hops: Vec<String>,
    /// Problems that break the route, each with a fix.
    pub missing: Vec<String>,
}

/// One end of a route.
struct RouteEnd<'a> {
    name: String,
    network: Option<&'a str>,
    mutual_tls: bool,
    hosts: Vec<String>,
}

impl Endpoint {
    /// Reads the endpoint from an entry and the service entries of its namespace.
    pub fn from_objects(entry: &Value, services: &[Value]) -> Self {
        let spec = &entry["spec"];
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let mode = spec["labels"]["security.istio.io/tlsMode"].as_str();
        let selecting = services.iter().filter(|service| selects(service, spec));
        let hosts = selecting.filter_map(|service| service["spec"]["hosts"].as_array());
        Self {
            address: text(&spec["address"]).unwrap_or_default(),
            network: text(&spec["network"]),
            mutual_tls: mode.map_or(text(&spec["serviceAccount"]).is_some(), |mode| {
                mode == "istio"
            }),
            hosts: hosts.flatten().filter_map(text).collect(),
        }
    }
}

fn selects(service: &Value, entry: &Value) -> bool {
    let wanted = service["spec"]["workloadSelector"]["labels"].as_object();
    wanted.is_some_and(|wanted| {
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| entry["labels"][key] == *value)
    })
}

impl Networks {
    /// Returns the route from a pod to the VM.
    pub fn route_to_vm(&self, vm: &Endpoint) -> NetworkRoute {
        self.route(&self.pods(), &Self::vm(vm))
    }

    /// Returns the route from the VM to a pod.
    pub fn route_to_pod(&self, vm: &Endpoint) -> NetworkRoute {
        self.route(&Self::vm(vm), &self.pods())
    }

    fn pods(&self) -> RouteEnd<'_> {
        RouteEnd {
            name: "a pod".into(),
            network: self.cluster.as_deref(),
            mutual_tls: true,
            hosts: vec!["*.svc.cluster.local".into()],
        }
    }

    fn vm(vm: &Endpoint) -> RouteEnd<'_> {
        RouteEnd {
            name: format!("VM {}", vm.address),
            network: vm.network.as_deref(),
            mutual_tls: vm.mutual_tls,
            hosts: vm.hosts.clone(),
        }
    }

    fn route(&self, caller: &RouteEnd<'_>, target: &RouteEnd<'_>) -> NetworkRoute {
        let other = target
            .network
            .filter(|network| caller.network != Some(*network));
        let behind = |gateway: &&Gateway| Some(gateway.network.as_str()) == other;
        // istiod ignores a gateway without an address: callers connect directly.
        let (gateways, pending): (Vec<&Gateway>, Vec<&Gateway>) = self
            .gateways
            .iter()
            .filter(behind)
            .partition(|gateway| gateway.address.is_some());
        let mut missing = self.unseen.clone();
        if let (Some(network), true) = (other, gateways.is_empty()) {
            let of = caller.network.filter(|_| self.unseen.is_empty());
            missing.extend(of.map(|of| unrouted(of, network, &target.name)));
            let pending = pending.iter().map(|gateway| &gateway.announced_by);
            missing.extend(
                pending
                    .map(|by| format!("{by} has no address yet, so it is not used as a gateway.")),
            );
        }
        let mut hops = vec![caller.name.clone()];
        let named = caller.network.is_some() || !self.unseen.is_empty();
        missing.extend((!named && !gateways.is_empty()).then(|| nameless(&caller.name)));
        obstacles(target, &gateways, &mut missing);
        let dropped = !gateways.is_empty() && !target.mutual_tls;
        let first = gateways.first().filter(|_| !dropped);
        hops.extend(first.map(|gateway| gateway.hop()));
        hops.extend(Some(target.name.clone()).filter(|_| !dropped));
        NetworkRoute {
            through_gateway: first.is_some(),
            hops,
            missing,
        }
    }
}

impl Gateway {
    fn hop(&self) -> String {
        let address = self.address.as_deref().unwrap_or("without an address");
        let port = self.port;
        format!("gateway {address}:{port} ({})", self.announced_by)
    }

    fn passes(&self, host: &str) -> bool {
        let Some(exposed) = &self.exposes else {
            return true;
        };
        // Istio also accepts a server's host as `namespace/host`.
        let patterns = exposed
            .iter()
            .map(|text| text.rsplit('/').next().unwrap_or(text));
        let mut patterns = patterns.map(|pattern| pattern.strip_prefix('*').ok_or(pattern));
        patterns.any(|pattern| match pattern {
            Ok(suffix) => host.ends_with(suffix),
            Err(name) => host == name,
        })
    }
}

fn unrouted(caller: &str, network: &str, target: &str) -> String {
    format!(
        "The network {network} has no gateway, so callers on {caller} connect to {target} directly: there must be a route. \
         To use a gateway, label its Service topology.istio.io/network={network}."
    )
}

fn nameless(caller: &str) -> String {
    format!(
        "The network of {caller} has no name. With istiod before 1.30 it connects directly, with later versions through \
         the gateway. Set `network` of the workload, or the label topology.istio.io/network on the control plane's namespace."
    )
}

/// Adds the problems that stop traffic at the gateways.
fn obstacles(target: &RouteEnd<'_>, gateways: &[&Gateway], missing: &mut Vec<String>) {
    if gateways.is_empty() {
        return;
    }
    if !target.mutual_tls {
        missing.push(
            "Gateways forward only mutual TLS, and istiod treats the target as plain text, so it is dropped (503, no \
            healthy upstream). Give the workload a service account, and do not set the label security.istio.io/tlsMode."
                .into(),
        );
    }
    for gateway in gateways {
        let blocked: Vec<&String> = target
            .hosts
            .iter()
            .filter(|host| !gateway.passes(host))
            .collect();
        for host in blocked {
            let exposed = gateway.exposes.as_deref().unwrap_or_default();
            let exposed = if exposed.is_empty() {
                "nothing".to_owned()
            } else {
                exposed.join(", ")
            };
            missing.push(format!(
                "{host} does not pass through the gateway: {} exposes {exposed}. Add the host to a Gateway's server on \
                port {} with tls.mode AUTO_PASSTHROUGH.",
                gateway.announced_by, gateway.port
            ));
        }
    }
}
