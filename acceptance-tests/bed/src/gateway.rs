//! Gateways between two networks: a machine with an interface in each, and Istio's proxy as router.

use std::net::Ipv4Addr;
use std::ops::Deref;

use serde_json::{Value, json};

use crate::Result;
use crate::bed::Bed;
use crate::istiod::{self, CLUSTER};
use crate::kubectl::Kubectl;
use crate::machine::Machine;
use crate::pod::wait_until_ready;

/// Name of the network of the bed's pods in the mesh.
pub const NEAR: &str = "near";
/// Name of the second network in the mesh.
pub const FAR: &str = "far";

const SYSTEM: &str = "istio-system";
const ACCOUNT: &str = "gateways";
/// Label that enables the access log.
const KIND: &str = "bed-gateway";
const LOG: &str = "/var/log/gateway.log";

/// The network behind a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// The bed's own network, with its pods and istiod.
    Near,
    /// The second network.
    Far,
}

/// A gateway into a network, for clients in the other one.
#[derive(Clone, Debug)]
pub struct Gateway {
    machine: Machine,
    site: Site,
    /// Its address in the bed's own network. The machine's address is in the second one.
    leg: Ipv4Addr,
}

impl Deref for Gateway {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Gateway {
    pub(crate) fn new(machine: Machine, site: Site, leg: Ipv4Addr) -> Self {
        Self { machine, site, leg }
    }

    /// Returns the address to which the other network connects.
    pub fn entrance(&self) -> Ipv4Addr {
        match self.site {
            Site::Near => self.address,
            Site::Far => self.leg,
        }
    }

    /// Announces the gateway to the mesh.
    pub fn announce(&self, kubectl: &Kubectl) -> Result<()> {
        let label = format!("topology.istio.io/network={}", self.network());
        self.label(kubectl, &label)
    }

    /// Withdraws the gateway, see [`Gateway::announce`].
    pub fn withdraw(&self, kubectl: &Kubectl) -> Result<()> {
        self.label(kubectl, "topology.istio.io/network-")
    }

    fn label(&self, kubectl: &Kubectl, label: &str) -> Result<()> {
        let service = format!("service/{}", self.service());
        let words = [
            "label",
            "--overwrite",
            "--namespace",
            SYSTEM,
            &service,
            label,
        ];
        kubectl.call(&words, b"").map(drop)
    }

    /// Returns the number of bytes received for istiod.
    pub fn received_for_istiod(&self) -> Result<u64> {
        let script = "iptables -L INPUT -v -n -x | awk '/dpt:15012/ { print $2 }'";
        Ok(self.shell(script)?.trim().parse().unwrap_or_default())
    }

    /// Returns its access log. It contains a connection once it is closed.
    pub fn access_log(&self) -> Result<String> {
        self.read(LOG)
    }

    fn network(&self) -> &'static str {
        match self.site {
            Site::Near => NEAR,
            Site::Far => FAR,
        }
    }

    /// Returns the Service name that istioctl and the provider use to find istiod's address.
    fn service(&self) -> &'static str {
        match self.site {
            Site::Near => "istio-eastwestgateway",
            Site::Far => "far-gateway",
        }
    }

    /// Returns its address in its own network, like a pod's.
    fn pod_address(&self) -> Ipv4Addr {
        match self.site {
            Site::Near => self.leg,
            Site::Far => self.address,
        }
    }

    /// Connects it to the bed's own network, creates its objects, starts its proxy and waits until it is ready.
    pub(crate) fn join(&self, bed: &Bed) -> Result<()> {
        let namespace = self.subnet.link(&self.name);
        bed.subnet.cable(&self.name, &namespace, "eth1", self.leg)?;
        self.shell("iptables -A INPUT -p tcp --dport 15012")?;
        let kubectl = &bed.kubectl;
        kubectl.create_namespace(SYSTEM, &[ACCOUNT])?;
        kubectl.apply(&self.pod())?;
        let status = json!({"status": {"phase": "Running", "podIP": self.pod_address().to_string(),
            "podIPs": [{"ip": self.pod_address().to_string()}], "conditions": [{"type": "Ready", "status": "True"}]}});
        let pod = format!("pod/{}", self.name);
        kubectl.patch(SYSTEM, &pod, &status, &["--subresource=status"])?;
        kubectl.apply(&self.objects())?;
        let status =
            json!({"status": {"loadBalancer": {"ingress": [{"ip": self.entrance().to_string()}]}}});
        let service = format!("service/{}", self.service());
        kubectl.patch(SYSTEM, &service, &status, &["--subresource=status"])?;
        self.start_proxy(bed)
    }

    fn start_proxy(&self, bed: &Bed) -> Result<()> {
        let root = istiod::root_certificate(&bed.kubectl, SYSTEM)?;
        let token = bed.kubectl.token(SYSTEM, ACCOUNT, Some("istio-ca"))?;
        self.shell("install -d -o istio-proxy /etc/istio/proxy /run/secrets/istio /run/secrets/tokens /var/run/secrets/workload-spiffe-uds; install -m 600 /dev/null /run/secrets/tokens/istio-token")?;
        self.write("/run/secrets/istio/root-cert.pem", root.as_bytes())?;
        self.write("/run/secrets/tokens/istio-token", token.as_bytes())?;
        let hosts = format!(
            "echo {} istiod.istio-system.svc >>/etc/hosts",
            bed.subnet.gateway()
        );
        self.shell(&hosts)?;
        let lines = self.environment();
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        self.write("/etc/gateway.env", lines.collect::<String>().as_bytes())?;
        self.shell(&format!(
            "systemd-run --quiet --unit=gateway --working-directory=/ --property=EnvironmentFile=/etc/gateway.env \
             --property=StandardOutput=append:{LOG} --property=StandardError=append:/var/log/gateway.err.log \
             /usr/local/bin/pilot-agent proxy router --domain istio-system.svc.cluster.local"
        ))?;
        wait_until_ready(self)
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let labels = json!({"app": self.name, KIND: "yes", "gateway": self.name});
        let config = json!({"discoveryAddress": "istiod.istio-system.svc:15012"});
        vec![
            ("INSTANCE_IP", self.pod_address().to_string()),
            ("POD_NAME", self.name.clone()),
            ("POD_NAMESPACE", SYSTEM.into()),
            ("SERVICE_ACCOUNT", ACCOUNT.into()),
            ("TRUST_DOMAIN", "cluster.local".into()),
            ("CA_ADDR", "istiod.istio-system.svc:15012".into()),
            ("PROXY_CONFIG", format!("'{config}'")),
            ("ISTIO_META_CLUSTER_ID", CLUSTER.into()),
            ("ISTIO_META_NETWORK", self.network().into()),
            ("ISTIO_META_REQUESTED_NETWORK_VIEW", self.network().into()),
            ("ISTIO_META_UNPRIVILEGED_POD", "true".into()),
            ("ISTIO_METAJSON_LABELS", format!("'{labels}'")),
        ]
    }

    fn pod(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": SYSTEM, "name": self.name,
                "labels": {"app": self.name, KIND: "yes", "gateway": self.name, "topology.istio.io/network": self.network()}},
            "spec": {"serviceAccountName": ACCOUNT, "containers": [{"name": "istio-proxy", "image": "none"}]}})
    }

    /// Returns the Service that announces it, and the hosts that it passes through: every service by name, and istiod.
    fn objects(&self) -> Value {
        let ports = [("tls", 15443), ("tls-istiod", 15012)];
        let of_service =
            ports.map(|(name, port)| json!({"name": name, "port": port, "targetPort": port}));
        let of_slice =
            ports.map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP"}));
        let object = |api: &str, kind: &str, name: &str, spec: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"namespace": SYSTEM, "name": name}, "spec": spec});
        let networking = "networking.istio.io/v1";
        let server = |port: u16, mode: &str| json!({"port": {"number": port, "name": format!("tls-{port}"), "protocol": "TLS"}, "tls": {"mode": mode}, "hosts": ["*"]});
        let selector = json!({"gateway": self.name});
        let mut objects = vec![
            object(
                "v1",
                "Service",
                self.service(),
                json!({"type": "LoadBalancer", "ports": of_service}),
            ),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"namespace": SYSTEM, "name": self.service(), "labels": {"kubernetes.io/service-name": self.service()}},
                "ports": of_slice, "endpoints": [{"addresses": [self.pod_address().to_string()], "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "namespace": SYSTEM, "name": self.name}}]}),
            object(
                "telemetry.istio.io/v1",
                "Telemetry",
                "gateways",
                json!({"selector": {"matchLabels": {KIND: "yes"}}, "accessLogging": [{"providers": [{"name": "envoy"}]}]}),
            ),
            object(
                networking,
                "Gateway",
                &self.name,
                json!({"selector": selector, "servers": [server(15443, "AUTO_PASSTHROUGH")]}),
            ),
        ];
        if self.site == Site::Near {
            let istiod = "istiod.istio-system.svc";
            let to = json!({"destination": {"host": format!("{istiod}.cluster.local"), "port": {"number": 15012}}});
            objects.push(object(
                networking,
                "Gateway",
                "istiod",
                json!({"selector": selector, "servers": [server(15012, "PASSTHROUGH")]}),
            ));
            objects.push(object(
                networking,
                "VirtualService",
                "istiod",
                json!({"hosts": ["*"], "gateways": ["istiod"],
                "tls": [{"match": [{"port": 15012, "sniHosts": [istiod]}], "route": [to]}]}),
            ));
        }
        objects.into()
    }
}
