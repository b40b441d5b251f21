//! Pods of the bed: machines with a sidecar, and their objects in the cluster.

use std::net::Ipv4Addr;
use std::ops::Deref;

use serde_json::{Value, json};

use crate::Result;
use crate::command::{PATIENCE, wait_for};
use crate::istiod::{self, CLUSTER};
use crate::kubectl::Kubectl;
use crate::machine::Machine;

/// Namespace of the pods.
pub(crate) const NAMESPACE: &str = "bookinfo";
/// Service account in their certificates.
pub(crate) const ACCOUNT: &str = "bookinfo-productpage";
const PORT: u16 = 9080;
const MESH: &str = "/var/lib/istio/config/mesh";

/// A member of the mesh that is not a VM. Its application echoes requests on port 9080. A Service with the pod's name
/// selects it.
#[derive(Clone, Debug)]
pub struct Pod {
    pub(crate) machine: Machine,
    /// Namespace of its objects.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
}

impl Deref for Pod {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Pod {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            namespace: NAMESPACE.into(),
            service_account: ACCOUNT.into(),
        }
    }

    /// Returns its SPIFFE ID.
    pub fn spiffe_id(&self) -> String {
        format!(
            "spiffe://cluster.local/ns/{}/sa/{}",
            self.namespace, self.service_account
        )
    }

    /// Creates its objects, starts sidecar and application, and waits until the sidecar is ready.
    pub(crate) fn join(&self, kubectl: &Kubectl) -> Result<()> {
        kubectl.apply(&self.object())?;
        kubectl.patch(
            &self.namespace,
            &format!("pod/{}", self.name),
            &self.status(),
            &["--subresource=status"],
        )?;
        // Created after the pod, because istiod reads the pod's labels only once, when it sees the slice.
        kubectl.apply(&json!([self.service(), self.slice()]))?;
        self.write(
            "/var/lib/istio/envoy/cluster.env",
            self.environment().as_bytes(),
        )?;
        self.write(MESH, self.mesh().to_string().as_bytes())?;
        self.write(
            "/etc/certs/root-cert.pem",
            istiod::root_certificate(kubectl, &self.namespace)?.as_bytes(),
        )?;
        self.write(
            "/etc/default/ratings",
            format!("LISTEN=0.0.0.0:{PORT}\n").as_bytes(),
        )?;
        let token = kubectl.token(&self.namespace, &self.service_account, Some("istio-ca"))?;
        self.shell("install -d -o istio-proxy /run/secrets/tokens; install -m 600 -o istio-proxy /dev/null /run/secrets/tokens/istio-token")?;
        self.write("/run/secrets/tokens/istio-token", token.as_bytes())?;
        self.shell(&format!("echo {} istiod.istio-system.svc >>/etc/hosts; systemctl enable --quiet --now ratings istio", self.subnet.gateway()))?;
        self.wait_until_ready()
    }

    /// Waits until its sidecar accepts traffic.
    pub fn wait_until_ready(&self) -> Result<()> {
        wait_until_ready(self)
    }

    /// Sets the network that its sidecar reports.
    pub(crate) fn set_network(&self, network: &str) -> Result<()> {
        let mut mesh = self.mesh();
        mesh["defaultConfig"]["proxyMetadata"]["ISTIO_META_NETWORK"] = json!(network);
        self.write(MESH, mesh.to_string().as_bytes())?;
        self.shell("systemctl restart istio")?;
        self.wait_until_ready()
    }

    fn labels(&self) -> Value {
        // The injector adds these labels. Without them, istiod treats an endpoint as plain text.
        json!({"app": self.name, "version": "v1", "security.istio.io/tlsMode": "istio"})
    }

    fn object(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": self.namespace, "name": self.name, "labels": self.labels()},
            "spec": {"serviceAccountName": self.service_account, "containers": [{"name": "app", "image": "none", "ports": [{"containerPort": PORT}]}]}})
    }

    fn status(&self) -> Value {
        let address = self.address.to_string();
        json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn service(&self) -> Value {
        // Without a selector, because no controller would evaluate it.
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": self.namespace, "name": self.name},
            "spec": {"ports": [{"name": "http", "port": PORT, "targetPort": PORT}]}})
    }

    fn slice(&self) -> Value {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"namespace": self.namespace, "name": self.name, "labels": {"kubernetes.io/service-name": self.name}},
            "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
            "endpoints": [{"addresses": [self.address.to_string()], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "namespace": self.namespace, "name": self.name}}]})
    }

    fn environment(&self) -> String {
        environment(
            &self.name,
            &self.namespace,
            &self.service_account,
            self.address,
        )
    }

    fn mesh(&self) -> Value {
        json!({"defaultConfig": {"discoveryAddress": "istiod.istio-system.svc:15012", "proxyMetadata": {
            "ISTIO_META_CLUSTER_ID": CLUSTER, "ISTIO_META_WORKLOAD_NAME": self.name, "ISTIO_META_DNS_CAPTURE": "true", "ISTIO_METAJSON_LABELS": self.labels().to_string(),
            "CANONICAL_SERVICE": self.name, "CANONICAL_REVISION": "v1", "POD_NAMESPACE": self.namespace, "SERVICE_ACCOUNT": self.service_account, "TRUST_DOMAIN": "cluster.local"}}})
    }
}

/// Waits until the proxy of a machine accepts traffic.
pub(crate) fn wait_until_ready(machine: &Machine) -> Result<()> {
    let what = format!("the proxy of {} is ready", machine.name);
    wait_for(&what, PATIENCE, || {
        let answer = machine
            .curl("http://127.0.0.1:15021/healthz/ready", &[])
            .map_err(|error| error.to_string())?;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(format!("{} {}", answer.status, answer.body))
        }
    })
}

fn environment(name: &str, namespace: &str, account: &str, address: Ipv4Addr) -> String {
    format!(
        "ISTIO_INBOUND_PORTS='*'\nISTIO_LOCAL_EXCLUDE_PORTS='22,15090,15021,15020'\nISTIO_META_DNS_CAPTURE='true'\nISTIO_NAMESPACE='{namespace}'\n\
         ISTIO_SERVICE='{name}.{namespace}'\nISTIO_SERVICE_CIDR='*'\nISTIO_SVC_IP='{address}'\nPOD_NAME='{name}'\nSERVICE_ACCOUNT='{account}'\n"
    )
}
