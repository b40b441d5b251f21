//! Which way traffic takes between pods and a VM on another network.
//!
//! istiod decides for each endpoint: directly, or through the gateways of the endpoint's network. The rules are
//! those of `EndpointsByNetworkFilter` in istio/istio (`pilot/pkg/xds/ep_filters.go`).

mod read;

use serde_json::Value;

pub use read::Announced;

/// What the mesh knows of its networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Networks {
    /// The network of the cluster's pods; `None`: it has no name.
    pub cluster: Option<String>,
    /// Every gateway into a network.
    pub gateways: Vec<Gateway>,
    /// What could not be looked at, each as a sentence: the way may be another one.
    pub unseen: Vec<String>,
}

/// A gateway into a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The network behind it.
    pub network: String,
    /// Where it is dialled: an IP address or a name; `None`: it has no address yet.
    pub address: Option<String>,
    /// Port that it is dialled at, 15443 unless it says otherwise.
    pub port: u16,
    /// What announces it, e.g. `Service istio-system/istio-eastwestgateway`.
    pub announced_by: String,
    /// Hosts that it lets through (`AUTO_PASSTHROUGH`); `None`: that is not seen.
    pub exposes: Option<Vec<String>>,
}

/// A VM as the mesh sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// What is dialled.
    pub address: String,
    /// The network it is on.
    pub network: Option<String>,
    /// Whether istiod takes it for a member that speaks mutual TLS.
    pub mutual_tls: bool,
    /// Hosts of its services.
    pub hosts: Vec<String>,
}

/// The way of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whether it leads through a gateway.
    pub through_gateway: bool,
    /// From the caller to the target, e.g. `pod`, `gateway 203.0.113.9:15443 (…)`, `VM 10.1.0.5`; the caller alone where
    /// istiod drops the target.
    pub hops: Vec<String>,
    /// What stands against it, each with the way out.
    pub missing: Vec<String>,
}

/// One end of a way.
struct End<'a> {
    name: String,
    network: Option<&'a str>,
    mutual_tls: bool,
    hosts: Vec<String>,
}

impl Endpoint {
    /// Reads an entry and the service entries of its namespace that select it.
    pub fn of(entry: &Value, services: &[Value]) -> Self {
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
    /// Returns the way of a pod's call to the VM.
    pub fn to_vm(&self, vm: &Endpoint) -> Way {
        self.way(&self.pods(), &Self::vm(vm))
    }

    /// Returns the way of the VM's call to a pod.
    pub fn to_pod(&self, vm: &Endpoint) -> Way {
        self.way(&Self::vm(vm), &self.pods())
    }

    fn pods(&self) -> End<'_> {
        End {
            name: "a pod".into(),
            network: self.cluster.as_deref(),
            mutual_tls: true,
            hosts: vec!["*.svc.cluster.local".into()],
        }
    }

    fn vm(vm: &Endpoint) -> End<'_> {
        End {
            name: format!("VM {}", vm.address),
            network: vm.network.as_deref(),
            mutual_tls: vm.mutual_tls,
            hosts: vm.hosts.clone(),
        }
    }

    fn way(&self, caller: &End<'_>, target: &End<'_>) -> Way {
        let other = target
            .network
            .filter(|network| caller.network != Some(*network));
        let behind = |gateway: &&Gateway| Some(gateway.network.as_str()) == other;
        // One without an address is none yet: istiod lets connections go directly.
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
            missing
                .extend(pending.map(|by| format!("{by} has no address yet, so it is no gateway.")));
        }
        let mut hops = vec![caller.name.clone()];
        let named = caller.network.is_some() || !self.unseen.is_empty();
        missing.extend((!named && !gateways.is_empty()).then(|| nameless(&caller.name)));
        obstacles(target, &gateways, &mut missing);
        let dropped = !gateways.is_empty() && !target.mutual_tls;
        let first = gateways.first().filter(|_| !dropped);
        hops.extend(first.map(|gateway| gateway.hop()));
        hops.extend(Some(target.name.clone()).filter(|_| !dropped));
        Way {
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

    fn lets_through(&self, host: &str) -> bool {
        let Some(exposed) = &self.exposes else {
            return true;
        };
        // Istio takes a server's host as `namespace/host`, too.
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
        "The network {network} has no gateway, so callers on {caller} dial {target} themselves: there must be a route. \
         For a gateway, label its Service topology.istio.io/network={network}."
    )
}

fn nameless(caller: &str) -> String {
    format!(
        "The network of {caller} has no name: istiod before 1.30 lets it call directly, later ones through the gateway. \
         Name it: `network` of the workload, or the label topology.istio.io/network of the control plane's namespace."
    )
}

/// Adds what keeps traffic from passing the gateways.
fn obstacles(target: &End<'_>, gateways: &[&Gateway], missing: &mut Vec<String>) {
    if gateways.is_empty() {
        return;
    }
    if !target.mutual_tls {
        missing.push(
            "Gateways carry mutual TLS only, and istiod takes the target for plain text: it is dropped (503, no \
             healthy upstream). Give the workload a service account, and do not set the label security.istio.io/tlsMode."
                .into(),
        );
    }
    for gateway in gateways {
        let kept: Vec<&String> = target
            .hosts
            .iter()
            .filter(|host| !gateway.lets_through(host))
            .collect();
        for host in kept {
            let exposed = gateway.exposes.as_deref().unwrap_or_default();
            let exposed = if exposed.is_empty() {
                "nothing".to_owned()
            } else {
                exposed.join(", ")
            };
            missing.push(format!(
                "{host} does not pass the gateway: {} lets through {exposed}. Add the host to a Gateway's server on port \
                 {} with tls.mode AUTO_PASSTHROUGH.",
                gateway.announced_by, gateway.port
            ));
        }
    }
}
