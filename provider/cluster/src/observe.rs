//! What the API server has of a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::objects::{MANAGED_BY_LABEL, MANAGER};
use mesh::{Id, Kind, Mark, Name, Namespace, ObservedObjects, Other};
use serde_json::Value;

use crate::call::{Call, Resource, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;

/// Objects of one kind and namespace by name.
pub(crate) type Listing = BTreeMap<String, Value>;

impl Cluster {
    /// Reads the objects of a workload: the entry, the sidecar of the same name, the
    /// `ServiceEntry` objects `services`, and all others that carry the workload's mark.
    ///
    /// Workloads that are read at about the same time share one LIST per kind and namespace, at
    /// most 2 s old; what is not in it is asked for by itself before it counts as absent.
    pub async fn observe(
        &self,
        id: &Id,
        services: &[Name],
    ) -> Result<ObservedObjects, ClusterError> {
        let of = |name: &Name| Id {
            namespace: id.namespace.clone(),
            name: name.clone(),
        };
        let found = futures::future::try_join_all(services.iter().map(|name| async {
            Ok::<_, ClusterError>((
                name.clone(),
                self.object(Kind::ServiceEntry, &of(name)).await?,
            ))
        }));
        let (entry, sidecar, found, all) = tokio::try_join!(
            self.object(Kind::WorkloadEntry, id),
            self.object(Kind::Sidecar, id),
            found,
            self.listing(Kind::ServiceEntry, &id.namespace)
        )?;
        let marked = all
            .iter()
            .filter(|(_, object)| Mark::of(object) == Some(Mark::Workload(id.name.clone())))
            .filter_map(|(name, object)| Some((name.parse().ok()?, object.clone())));
        let found = found
            .into_iter()
            .filter_map(|(name, object)| Some((name, object?)));
        let services = marked.chain(found).collect();
        Ok(ObservedObjects {
            entry,
            services,
            sidecar,
        })
    }

    /// Reads the other entries of a namespace, for `mesh::conflicts`.
    pub async fn others(&self, namespace: &Namespace) -> Result<Vec<Other>, ClusterError> {
        let entries = self.listing(Kind::WorkloadEntry, namespace).await?;
        Ok(entries
            .iter()
            .filter_map(|(name, entry)| other(namespace, name, entry))
            .collect())
    }

    /// Returns the names of all `ServiceEntry` objects in the workload's namespace, for an import.
    pub async fn service_entries(&self, id: &Id) -> Result<Vec<Name>, ClusterError> {
        let services = self.listing(Kind::ServiceEntry, &id.namespace).await?;
        Ok(services
            .keys()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// Reads one object by way of the shared LIST.
    pub(crate) async fn object(&self, kind: Kind, id: &Id) -> Result<Option<Value>, ClusterError> {
        if let Some(object) = self
            .listing(kind, &id.namespace)
            .await?
            .get(id.name.as_str())
        {
            return Ok(Some(object.clone()));
        }
        self.get(&Call::new(
            Verb::Get,
            Resource::of(kind),
            id.namespace.as_str(),
            id.name.as_str(),
        ))
        .await
    }

    async fn listing(
        &self,
        kind: Kind,
        namespace: &Namespace,
    ) -> Result<Arc<Listing>, ClusterError> {
        self.listings()
            .get((kind, namespace.clone()), self.list(kind, namespace))
            .await
    }

    async fn list(&self, kind: Kind, namespace: &Namespace) -> Result<Listing, ClusterError> {
        let call = Call::new(Verb::List, Resource::of(kind), namespace.as_str(), "");
        let request = call
            .request("")
            .map_err(|error| unsendable(&call, &error))?;
        let mut answer = self.send(&call, request).await?;
        let Value::Array(items) = answer["items"].take() else {
            return Err(ClusterError::Answer {
                call,
                reason: "the answer is no list".into(),
            });
        };
        Ok(items.into_iter().filter_map(named).collect())
    }
}

fn named(object: Value) -> Option<(String, Value)> {
    let name = object["metadata"]["name"].as_str()?.to_owned();
    Some((name, object))
}

/// Names and addresses come from the API server, which has checked them; an entry without an
/// address (a network alone) cannot be in anybody's way.
fn other(namespace: &Namespace, name: &str, entry: &Value) -> Option<Other> {
    Some(Other {
        id: Id {
            namespace: namespace.clone(),
            name: name.parse().ok()?,
        },
        address: entry["spec"]["address"].as_str()?.parse().ok()?,
        network: entry["spec"]["network"]
            .as_str()
            .and_then(|network| network.parse().ok()),
        ours: entry["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER,
    })
}
