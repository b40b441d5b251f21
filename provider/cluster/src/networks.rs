//! What announces networks and their gateways.

use mesh::bounded;
use mesh::desired::Kind;
use mesh::names::Id;
use mesh::network::{Announced, Endpoint, Networks};
use serde_json::Value;

use crate::call::{
    CONFIG_MAP, Call, GATEWAY, KUBERNETES_GATEWAY, NAMESPACE, Resource, SERVICE, Verb,
};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::facts::{cluster_id, suffixed};
use crate::send::unsendable;

/// What announces the gateway of a network carries this label.
const LABELLED: &str = "labelSelector=topology.istio.io%2Fnetwork";

impl Cluster {
    /// Reads the mesh's networks and the gateways into them.
    ///
    /// Services and gateways may be in any namespace, so these lists want rights in the whole cluster. What may not be
    /// read counts as absent, and the result says so.
    pub async fn networks(&self) -> Result<Networks, ClusterError> {
        let istio = self.resolved().await?;
        let namespace = Call::new(Verb::Get, NAMESPACE, "", &istio.namespace);
        let config = Call::new(
            Verb::Get,
            CONFIG_MAP,
            &istio.namespace,
            &suffixed("istio", istio),
        );
        let (namespace, config_map, values, services, gateways, gateway_api) = tokio::join!(
            self.get(&namespace),
            self.get(&config),
            self.injector_values(istio),
            self.all(SERVICE, ""),
            self.all(GATEWAY, ""),
            self.optional(KUBERNETES_GATEWAY, LABELLED),
        );
        let mut unseen = vec![];
        let (config_map, values) = (config_map?, values?);
        let yaml = config_map
            .as_ref()
            .and_then(|map| map["data"]["meshNetworks"].as_str());
        let mesh_networks = bounded::istio_yaml(yaml.unwrap_or("{}").as_bytes());
        Ok(Networks::from_objects(&Announced {
            cluster_id: cluster_id(istio, &values["global"]),
            namespace: seen(namespace, &mut unseen)?.unwrap_or_default(),
            mesh_networks: mesh_networks.map_err(|error| ClusterError::Answer {
                call: config,
                reason: format!("its key meshNetworks {error}"),
            })?,
            services: seen(services, &mut unseen)?,
            gateways: seen(gateways.map(Some), &mut unseen)?,
            gateway_api: seen(gateway_api, &mut unseen)?,
            unseen,
        }))
    }

    /// Reads a VM as the mesh sees it; `None`: it has no entry.
    pub async fn endpoint(&self, id: &Id) -> Result<Option<Endpoint>, ClusterError> {
        let (entry, services) = tokio::try_join!(
            self.object(Kind::WorkloadEntry, id),
            self.listing(Kind::ServiceEntry, &id.namespace),
        )?;
        let services: Vec<Value> = services.values().cloned().collect();
        Ok(entry.map(|entry| Endpoint::from_objects(&entry, &services)))
    }

    /// Lists a kind in all namespaces.
    pub(crate) async fn all(
        &self,
        resource: &'static Resource,
        query: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let call = Call::new(Verb::List, resource, "", "");
        let request = call
            .request(query)
            .map_err(|error| unsendable(&call, &error))?;
        let mut answer = self.send(&call, request).await?;
        match answer["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(ClusterError::Answer {
                call,
                reason: "the answer is not a list".into(),
            }),
        }
    }

    /// Lists a kind that the API server may not serve.
    async fn optional(
        &self,
        resource: &'static Resource,
        query: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        match self.all(resource, query).await {
            Err(ClusterError::MissingCrd { .. }) => Ok(vec![]),
            answer => answer,
        }
    }
}

/// Returns nothing for what may not be read, and adds why to `unseen`.
fn seen<T: Default>(
    answer: Result<T, ClusterError>,
    unseen: &mut Vec<String>,
) -> Result<T, ClusterError> {
    match answer {
        Err(error) => {
            let rule = error.missing_rule();
            let (Some(rule), ClusterError::Forbidden { call, .. }) = (rule, &error) else {
                return Err(error);
            };
            unseen.push(format!(
                "The credential may not {call}, so the actual path may differ. Its ClusterRole lacks the rule \
                 {{ {} }}.",
                rule.trim_start_matches("- ").replace("\n  ", ", ")
            ));
            Ok(T::default())
        }
        found => found,
    }
}
