//! What the API server has of a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh::desired::Kind;
use mesh::facts::OtherEntry;
use mesh::mark::Mark;
use mesh::mark::{FLEET_LABEL, is_labelled};
use mesh::names::{Id, Name, Namespace};
use mesh::observed::ObservedObjects;
use serde_json::Value;

use crate::call::{Call, Resource, Verb};
use crate::connect::{Cluster, Listing};
use crate::error::ClusterError;
use crate::send::unsendable;

impl Cluster {
    /// Reads the objects of a workload: the entry, the `wanted`, and all others that carry the
    /// workload's mark.
    ///
    /// Workloads that are read at about the same time share one LIST per kind and namespace, at
    /// most 2 s old; an object that is not in it is read on its own before it counts as absent.
    pub async fn observe(
        &self,
        id: &Id,
        wanted: &[(Kind, Id)],
    ) -> Result<ObservedObjects, ClusterError> {
        let mark = Mark::Workload(id.name.clone());
        let (entry, services, sidecars) = tokio::try_join!(
            self.object(Kind::WorkloadEntry, id),
            self.objects_of(Kind::ServiceEntry, id, &mark, wanted),
            self.objects_of(Kind::Sidecar, id, &mark, wanted),
        )?;
        Ok(ObservedObjects {
            entry,
            group: None,
            lease: None,
            services,
            sidecars,
        })
    }

    /// Reads the objects of a fleet, likewise: the group of its name, the `wanted`, and all others
    /// that carry the fleet's mark.
    pub async fn observe_fleet(
        &self,
        id: &Id,
        wanted: &[(Kind, Id)],
    ) -> Result<ObservedObjects, ClusterError> {
        let mark = Mark::Fleet(id.name.clone());
        let lease = wanted.iter().find(|(kind, _)| *kind == Kind::Lease);
        let (group, lease, services, sidecars) = tokio::try_join!(
            self.object(Kind::WorkloadGroup, id),
            self.wanted_lease(lease.map(|(_, id)| id)),
            self.objects_of(Kind::ServiceEntry, id, &mark, wanted),
            self.objects_of(Kind::Sidecar, id, &mark, wanted),
        )?;
        Ok(ObservedObjects {
            entry: None,
            group,
            lease,
            services,
            sidecars,
        })
    }

    /// Reads one Lease: a list would have those of every election in the namespace.
    async fn wanted_lease(&self, id: Option<&Id>) -> Result<Option<Value>, ClusterError> {
        match id {
            Some(id) => self.lease(id).await,
            None => Ok(None),
        }
    }

    /// Reads the objects of a kind by name: those that are wanted and those that carry the mark.
    async fn objects_of(
        &self,
        kind: Kind,
        id: &Id,
        mark: &Mark,
        wanted: &[(Kind, Id)],
    ) -> Result<BTreeMap<Name, Value>, ClusterError> {
        let ids = wanted
            .iter()
            .filter(|(of, _)| *of == kind)
            .map(|(_, id)| id);
        let found = futures::future::try_join_all(ids.map(|id| async {
            Ok::<_, ClusterError>((id.name.clone(), self.object(kind, id).await?))
        }));
        let (found, all) = tokio::try_join!(found, self.listing(kind, &id.namespace))?;
        let marked = all
            .iter()
            .filter(|(_, object)| Mark::of(object).as_ref() == Some(mark))
            .filter_map(|(name, object)| Some((name.parse().ok()?, object.clone())));
        let found = found
            .into_iter()
            .filter_map(|(name, object)| Some((name, object?)));
        Ok(marked.chain(found).collect())
    }

    /// Reads the other entries of a namespace, for `mesh::conflicts::conflicts`.
    pub async fn others(&self, namespace: &Namespace) -> Result<Vec<OtherEntry>, ClusterError> {
        let entries = self.listing(Kind::WorkloadEntry, namespace).await?;
        Ok(entries
            .iter()
            .filter_map(|(name, entry)| other(namespace, name, entry))
            .collect())
    }

    /// Reads what the members of a fleet have of it: its services and Sidecars, or, where it has none, its
    /// group. Nothing: there is no such fleet.
    pub async fn objects_of_fleet(&self, fleet: Option<&Id>) -> Result<Vec<Value>, ClusterError> {
        let Some(fleet) = fleet else {
            return Ok(vec![]);
        };
        let mark = Mark::Fleet(fleet.name.clone());
        let is_its = |of: &&Value| Mark::of(of).as_ref() == Some(&mark);
        let mut found = vec![];
        // Most fleets have services: then many members need only shared responses.
        for kind in [Kind::ServiceEntry, Kind::Sidecar] {
            let all = self.listing(kind, &fleet.namespace).await?;
            found.extend(all.values().filter(is_its).cloned());
        }
        if found.is_empty() {
            let group = self.object(Kind::WorkloadGroup, fleet).await?;
            found.extend(group.iter().filter(is_its).cloned());
        }
        Ok(found)
    }

    /// Returns the entries that are members of a fleet, whoever made them.
    pub async fn members(&self, fleet: &Id) -> Result<Vec<(Id, Value)>, ClusterError> {
        let mut members = self.entries(&fleet.namespace).await?;
        let is_member = |entry: &Value| entry["spec"]["labels"][FLEET_LABEL] == fleet.name.as_str();
        members.retain(|(_, entry)| is_member(entry));
        Ok(members)
    }

    /// Returns all entries of a namespace, whoever made them.
    pub async fn entries(&self, namespace: &Namespace) -> Result<Vec<(Id, Value)>, ClusterError> {
        let entries = self.listing(Kind::WorkloadEntry, namespace).await?;
        let id = |name: &String| {
            let (namespace, name) = (namespace.clone(), name.parse().ok()?);
            Some(Id { namespace, name })
        };
        let entries = entries.iter();
        Ok(entries
            .filter_map(|(name, entry)| Some((id(name)?, entry.clone())))
            .collect())
    }

    /// Reads the entries of all other namespaces, for `mesh::conflicts::conflicts`; `None` where that is not
    /// allowed. Workloads that need it at about the same time share one LIST.
    pub async fn others_elsewhere(
        &self,
        namespace: &Namespace,
    ) -> Result<Option<Vec<OtherEntry>>, ClusterError> {
        let call = Call::new(Verb::List, Resource::of(Kind::WorkloadEntry), "", "");
        let ask = async {
            let request = call.request("");
            let request = request.map_err(|error| unsendable(&call, &error))?;
            self.send(&call, request).await.map(Some)
        };
        let key = (call.resource.plural, String::new(), String::new());
        let list = match self.answers().get(key, ask).await {
            Err(error) if error.is_forbidden() => return Ok(None),
            answer => answer?,
        };
        let entries = list.iter().filter_map(|list| list["items"].as_array());
        let others = entries.flatten().filter_map(|entry| {
            let of: Namespace = entry["metadata"]["namespace"].as_str()?.parse().ok()?;
            let name = entry["metadata"]["name"].as_str()?;
            other(&of, name, entry).filter(|_| of != *namespace)
        });
        Ok(Some(others.collect()))
    }

    /// Returns all objects in the workload's namespace that may select it, for an import.
    pub async fn selecting(&self, id: &Id) -> Result<Vec<(Kind, Id)>, ClusterError> {
        let (services, sidecars) = tokio::try_join!(
            self.listing(Kind::ServiceEntry, &id.namespace),
            self.listing(Kind::Sidecar, &id.namespace),
        )?;
        let of = |kind| {
            move |name: &String| {
                let namespace = id.namespace.clone();
                let name = name.parse().ok()?;
                Some((kind, Id { namespace, name }))
            }
        };
        let services = services.keys().filter_map(of(Kind::ServiceEntry));
        let sidecars = sidecars.keys().filter_map(of(Kind::Sidecar));
        Ok(services.chain(sidecars).collect())
    }

    /// Returns the objects of a kind in a namespace that `wanted` picks, whoever made them.
    pub async fn matching(
        &self,
        kind: Kind,
        namespace: &Namespace,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<(Kind, Value)>, ClusterError> {
        let all = self.listing(kind, namespace).await?;
        let found = all.values().filter(|object| wanted(object));
        Ok(found.map(|object| (kind, object.clone())).collect())
    }

    /// Reads one object from the shared LIST.
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

    pub(crate) async fn listing(
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
                reason: "the answer is not a list".into(),
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
/// address (a network alone) cannot conflict with anybody's.
fn other(namespace: &Namespace, name: &str, entry: &Value) -> Option<OtherEntry> {
    Some(OtherEntry {
        id: Id {
            namespace: namespace.clone(),
            name: name.parse().ok()?,
        },
        address: entry["spec"]["address"].as_str()?.parse().ok()?,
        network: entry["spec"]["network"]
            .as_str()
            .and_then(|network| network.parse().ok()),
        ours: is_labelled(entry),
    })
}
