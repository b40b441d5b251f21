//! The mesh settings that only the cluster knows.

use std::net::IpAddr;
use std::sync::Arc;

use mesh::bounded;
use mesh::desired::Kind;
use mesh::facts::{ControlPlane, DiscoveryAddress, Facts, Pem};
use mesh::identity::SeenNamespace;
use mesh::names::{Address, Id, IstioVersion, Name, Namespace};
use serde_json::Value;

use crate::call::{
    CLUSTER_TRUST_BUNDLE, CONFIG_MAP, Call, NAMESPACE, SERVICE, SERVICE_ACCOUNT, Verb,
};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::settings::IstioSettings;

/// Service whose address istioctl, too, uses to reach istiod from outside.
const GATEWAY: &str = "istio-eastwestgateway";
/// istiod's port for discovery and certificates.
const PORT: u16 = 15012;
/// istiod's defaults where neither mesh config nor chart name one.
const TRUST_DOMAIN: &str = "cluster.local";
const CLUSTER_ID: &str = "Kubernetes";
const TRUST_BUNDLE: &str = "istio-ca-root-cert";
/// Bytes that the chart's values may take once they are parsed.
const MOST_OF_VALUES: usize = 64 << 20;
/// Characters of a name of the mesh: as many as DNS has.
const LONGEST_NAME: usize = 253;

impl Cluster {
    /// Reads what `mesh::render::render` needs to know of the cluster, for the workload `id`.
    ///
    /// Read are the `ConfigMap`s that `istioctl x workload entry configure` reads, the gateway's
    /// Service unless `istio.control_plane_address` is set, the service account and the entry.
    /// Workloads that need them at about the same time share each response.
    pub async fn facts(&self, id: &Id, service_account: &Name) -> Result<Facts, ClusterError> {
        let namespace = id.namespace.as_str();
        let istio = self.resolved().await?;
        let (mesh_config, values, gateway, entry) = tokio::try_join!(
            self.mesh_config(istio),
            self.injector_values(istio),
            self.gateway(),
            self.object(Kind::WorkloadEntry, id),
        )?;
        let global = &values["global"];
        let set = |own: &Option<String>, found: &Value| own.clone().or_else(|| text(found));
        let bundle = set(&istio.trust_bundle_name, &global["trustBundleName"]);
        let root = if has_cluster_trust_bundle(&values) {
            self.cluster_trust_bundle(bundle.as_deref()).await?
        } else {
            let bundle = bundle.as_deref().unwrap_or(TRUST_BUNDLE);
            self.root(id, bundle, &mesh_config).await?
        };
        let account = self.service_account_exists(namespace, service_account);
        let service_account_exists = account.await?;
        let facts = Facts {
            revision: istio.revision().unwrap_or("default").to_owned(),
            cluster_id: cluster_id(istio, global),
            trust_domain: set(&istio.trust_domain, &mesh_config["trustDomain"])
                .unwrap_or_else(|| TRUST_DOMAIN.into()),
            mesh_id: mesh_id(&mesh_config, global),
            control_plane: control_plane(istio, &mesh_config, gateway),
            ca_address: ca_address(istio, &mesh_config, global),
            version: global["tag"].as_str().and_then(IstioVersion::of_tag),
            releases: istio.releases.clone(),
            mesh_config,
            root: Pem(root),
            service_account_exists,
            entry_uid: entry.and_then(|entry| text(&entry["metadata"]["uid"])),
        };
        check(&facts).map_err(|reason| {
            let name = suffixed("istio", istio);
            let call = Call::new(Verb::Get, CONFIG_MAP, &istio.namespace, &name);
            ClusterError::Answer { call, reason }
        })?;
        Ok(facts)
    }

    async fn mesh_config(&self, istio: &IstioSettings) -> Result<Value, ClusterError> {
        let name = suffixed("istio", istio);
        let yaml = self.entry_of(&istio.namespace, &name, "mesh").await?;
        bounded::istio_yaml(yaml.as_bytes()).map_err(|error| {
            let call = Call::new(Verb::Get, CONFIG_MAP, &istio.namespace, &name);
            ClusterError::Answer {
                call,
                reason: format!("its key mesh {error}"),
            }
        })
    }

    /// Only the cluster's id is needed of it: where that is set, the `ConfigMap` may be missing,
    /// as with a control plane that runs elsewhere.
    pub(crate) async fn injector_values(
        &self,
        istio: &IstioSettings,
    ) -> Result<Value, ClusterError> {
        let name = suffixed("istio-sidecar-injector", istio);
        let json = match self.entry_of(&istio.namespace, &name, "values").await {
            Err(error) if error.is_not_found() && istio.cluster_id.is_some() => {
                return Ok(Value::Null);
            }
            other => other?,
        };
        bounded::json(json.as_bytes(), MOST_OF_VALUES).map_err(|error| {
            let call = Call::new(Verb::Get, CONFIG_MAP, &istio.namespace, &name);
            ClusterError::Answer {
                call,
                reason: format!("its key values {error}"),
            }
        })
    }

    /// Returns one entry of a `ConfigMap`; its absence is an error that names both.
    async fn entry_of(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<String, ClusterError> {
        let call = Call::new(Verb::Get, CONFIG_MAP, namespace, name);
        let missing = |message| ClusterError::NotFound {
            call: call.clone(),
            message,
        };
        let map = self.shared_get(&call).await?;
        let map = (*map)
            .as_ref()
            .ok_or_else(|| missing("it does not exist".to_owned()))?;
        text(&map["data"][key]).ok_or_else(|| missing(format!("it has no key {key}")))
    }

    /// Returns the root certificate where istiod writes no `ConfigMap` with it: pods mount it under this name.
    async fn cluster_trust_bundle(&self, name: Option<&str>) -> Result<String, ClusterError> {
        let name = format!("istio.io:istiod-ca:{}", name.unwrap_or("root-cert"));
        let call = Call::new(Verb::Get, CLUSTER_TRUST_BUNDLE, "", &name);
        let bundle = self.shared_get(&call).await?;
        let found = (*bundle)
            .as_ref()
            .and_then(|bundle| text(&bundle["spec"]["trustBundle"]));
        found.ok_or_else(|| ClusterError::NotFound {
            call,
            message: "it does not exist".into(),
        })
    }

    async fn gateway(&self) -> Result<Option<IpAddr>, ClusterError> {
        if self.istio().control_plane_address.is_some() {
            return Ok(None);
        }
        let call = Call::new(Verb::Get, SERVICE, &self.istio().namespace, GATEWAY);
        Ok(self
            .shared_get(&call)
            .await?
            .as_ref()
            .as_ref()
            .and_then(gateway_address))
    }

    /// Reads the UID of a namespace, which identifies the cluster.
    pub async fn namespace(&self, namespace: &Namespace) -> Result<SeenNamespace, ClusterError> {
        let call = Call::new(Verb::Get, NAMESPACE, "", namespace.as_str());
        match self.shared_get(&call).await {
            Ok(found) => Ok((*found).as_ref().map_or(SeenNamespace::Absent, |of| {
                let uid = text(&of["metadata"]["uid"]);
                uid.map_or(SeenNamespace::Hidden, SeenNamespace::Uid)
            })),
            Err(error) if error.is_forbidden() => Ok(SeenNamespace::Hidden),
            Err(error) => Err(error),
        }
    }

    async fn service_account_exists(
        &self,
        namespace: &str,
        name: &Name,
    ) -> Result<Option<bool>, ClusterError> {
        let call = Call::new(Verb::Get, SERVICE_ACCOUNT, namespace, name.as_str());
        // Its controller creates this one in each namespace.
        let account = if name.as_str() == "default" {
            self.arrival(&call).await.map(|account| account.is_some())
        } else {
            let account = self.shared_get(&call).await;
            account.map(|account| account.is_some())
        };
        match account {
            Ok(exists) => Ok(Some(exists)),
            Err(error) if error.is_forbidden() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn shared_get(&self, call: &Call) -> Result<Arc<Option<Value>>, ClusterError> {
        let key = (
            call.resource.plural,
            call.namespace.clone(),
            call.name.clone(),
        );
        self.answers().get(key, self.get(call)).await
    }
}

/// Returns the address of the certificate authority: as the block says, else as a pod of the mesh has it.
fn ca_address(istio: &IstioSettings, mesh_config: &Value, global: &Value) -> Option<String> {
    let own = istio.ca_address.as_ref().map(ToString::to_string);
    own.or_else(|| mesh::facts::ca_address(mesh_config))
        .or_else(|| text(&global["caAddress"]))
}

/// Refuses names that no mesh has: they reach the state, the VM's environment, and every plan.
fn check(facts: &Facts) -> Result<(), String> {
    let none = String::new();
    let names = [
        ("revision", &facts.revision),
        ("cluster ID", &facts.cluster_id),
        ("trust domain", &facts.trust_domain),
        ("mesh ID", &facts.mesh_id),
        (
            "address of the CA",
            facts.ca_address.as_ref().unwrap_or(&none),
        ),
    ];
    let strange = names
        .into_iter()
        .find(|(_, value)| !plain::is_plain(value, LONGEST_NAME));
    match strange {
        Some((what, value)) => Err(format!(
            "the {what} of the mesh, {}, cannot be one",
            plain::line(value, 80)
        )),
        None => Ok(()),
    }
}

pub(crate) fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns how istiod is called: as the block says, else as the mesh config says for all proxies, else through the
/// gateway. A VM reaches a Service of the cluster through the gateway as well.
fn control_plane(
    istio: &IstioSettings,
    mesh_config: &Value,
    gateway: Option<IpAddr>,
) -> ControlPlane {
    let of_mesh = || mesh::facts::discovery_address(mesh_config, &istio.namespace);
    let (name, address) = match &istio.control_plane_address {
        Some(Address::Fqdn(name)) => (Some((name.clone(), PORT)), None),
        Some(address) => (None, address.ip()),
        None => match of_mesh() {
            Some(found) if found.service.is_none() => (Some((found.host, found.port)), None),
            Some(found) if !is_istiod(istio, &found) => (Some((found.host, found.port)), gateway),
            _ => (None, gateway),
        },
    };
    let own = || format!("{}.{}.svc", suffixed("istiod", istio), istio.namespace);
    let (host, port) = name.map_or_else(|| (own(), PORT), |(name, port)| (name.to_string(), port));
    ControlPlane {
        san: istio.control_plane_san.clone().filter(|san| *san != host),
        host,
        port,
        address,
    }
}

/// Whether an address is that of istiod's own Service, in whichever form: the name in its certificate is one of them.
/// Others are those of a primary cluster, such as `istiod-remote`, or of an operator.
fn is_istiod(istio: &IstioSettings, found: &DiscoveryAddress) -> bool {
    let own = (suffixed("istiod", istio), istio.namespace.clone());
    found.port == PORT && found.service.as_ref() == Some(&own)
}

/// Whether istiod publishes its root certificate as a `ClusterTrustBundle`, by the value that the templates of pods
/// look at too.
fn has_cluster_trust_bundle(values: &Value) -> bool {
    let value = &values["pilot"]["env"]["ENABLE_CLUSTER_TRUST_BUNDLE_API"];
    *value == Value::Bool(true) || value == "true"
}

/// Names of a control plane with a revision end with it.
pub(crate) fn suffixed(name: &str, istio: &IstioSettings) -> String {
    istio
        .revision()
        .map_or_else(|| name.to_owned(), |revision| format!("{name}-{revision}"))
}

pub(crate) fn cluster_id(istio: &IstioSettings, global: &Value) -> String {
    let chart = || text(&global["multiCluster"]["clusterName"]);
    istio
        .cluster_id
        .clone()
        .or_else(chart)
        .unwrap_or_else(|| CLUSTER_ID.into())
}

/// istioctl takes the mesh config's; the chart's is what that was rendered from.
fn mesh_id(mesh_config: &Value, global: &Value) -> String {
    let config = text(&mesh_config["defaultConfig"]["meshId"]);
    config
        .or_else(|| text(&global["meshID"]))
        .unwrap_or_default()
}

/// The order is istioctl's. A load balancer that has a host name only gives no address.
fn gateway_address(service: &Value) -> Option<IpAddr> {
    let balancer = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
    let external = &service["spec"]["externalIPs"][0];
    text(balancer).or_else(|| text(external))?.parse().ok()
}

#[cfg(test)]
mod tests;
