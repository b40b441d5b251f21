//! Writes the mesh objects.

use mesh::desired::{Kind, Manifest};
use mesh::keyed_list::KeyedList;
use mesh::mark::Mark;
use mesh::names::{Id, Namespace};
use serde_json::Value;

use crate::call::{Call, Resource, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::send::unsendable;
use mesh::mark::{CLAIM, CREATOR, MANAGER, is_ours};

/// How often a write or a deletion starts over because of concurrent writes.
pub(crate) const ATTEMPTS: usize = 5;

/// Which fields an apply may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// None: another owner of a field, or a foreign object of the same name, is an error.
    Never,
    /// Fields of other owners (`field_manager.force_conflicts`); a foreign object is an error.
    Fields,
}

/// An object as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its kind.
    pub kind: Kind,
    /// Namespace and name.
    pub id: Id,
    /// The UID of this very object.
    pub uid: String,
}

impl Cluster {
    /// Applies manifests in their order (server-side apply). What an earlier apply of ours set and
    /// the manifest no longer has is removed; fields of others stay.
    ///
    /// Stops at the first error: objects before it are written.
    pub async fn apply(
        &self,
        manifests: &[Manifest],
        force: Force,
    ) -> Result<Vec<Applied>, ClusterError> {
        let mut applied = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            applied.push(self.apply_one(manifest, force).await?);
        }
        Ok(applied)
    }

    async fn apply_one(&self, manifest: &Manifest, force: Force) -> Result<Applied, ClusterError> {
        let call = call(Verb::Patch, manifest.kind, &manifest.id);
        let mut seen = self.refuse_foreign(&call, manifest).await?;
        if seen.is_none() {
            seen = Some(self.create(manifest).await?);
        }
        let left = |written: &Value| mesh::leftover::leftover(manifest, written);
        self.take(manifest, force, seen, left).await
    }

    /// Creates an object that must be absent: of two who have not seen it, one succeeds. An apply would not tell them
    /// apart. The fields belong to an owner of their own until the first apply.
    ///
    /// If the answer is lost, the object is recognized by its claim.
    pub async fn create(&self, manifest: &Manifest) -> Result<Value, ClusterError> {
        let call = call(Verb::Create, manifest.kind, &manifest.id);
        let query = format!("fieldManager={CREATOR}&fieldValidation=Strict");
        let mut object = whole(manifest);
        object["metadata"]["annotations"][CLAIM] = self.claim().into();
        let request = call.request_with(&query, "application/json", &object);
        let request = request.map_err(|error| unsendable(&call, &error))?;
        let created = self.send(&call, request).await;
        self.forget(manifest);
        let error = match created {
            // Also a 409: a request that was repeated finds what it has created.
            Err(error) if error.passes() => error,
            done => return done,
        };
        match self.seen(manifest).await {
            Ok(Some(object)) if self.has_claimed(&object) => Ok(object),
            _ if matches!(error, ClusterError::Server { status: 409, .. }) => {
                self.refuse_foreign(&call, manifest).await?;
                Err(ClusterError::Taken { call })
            }
            _ => Err(error),
        }
    }

    /// Returns whether an observed object was created here, and not applied since.
    pub fn has_claimed(&self, object: &Value) -> bool {
        object["metadata"]["annotations"][CLAIM] == *self.claim()
    }

    /// Takes an imported object over: applies the manifest with force, removes what `prior`, the
    /// object as the import declared it, has and the manifest has not, and ends the ownership that
    /// others share in fields of ours. Fields that are not ours stay with their owners.
    pub async fn adopt(
        &self,
        manifest: &Manifest,
        prior: Option<&Manifest>,
    ) -> Result<Applied, ClusterError> {
        let merges = KeyedList::of(manifest.kind).next().is_some();
        let seen = if merges {
            self.seen(manifest).await?
        } else {
            None
        };
        let left = |written: &Value| mesh::leftover::adoption(manifest, prior, written);
        self.take(manifest, Force::Fields, seen, left).await
    }

    /// Writes an object and removes what an apply leaves. `seen` is the object before.
    async fn take(
        &self,
        manifest: &Manifest,
        force: Force,
        mut seen: Option<Value>,
        left: impl Fn(&Value) -> Option<Value>,
    ) -> Result<Applied, ClusterError> {
        let call = call(Verb::Patch, manifest.kind, &manifest.id);
        let claim = |seen: Option<&Value>| mesh::leftover::claim(manifest, seen?);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let done = async {
                self.clear(&call, manifest, claim(seen.as_ref())).await?;
                let written = self.write(&call, manifest, force).await?;
                self.clear(&call, manifest, left(&written)).await?;
                Ok(written)
            };
            match done.await {
                // Somebody, such as istiod, wrote in between: retry with the current object.
                Err(ClusterError::Server { status: 409, .. }) if attempts < ATTEMPTS => {
                    seen = self.seen(manifest).await?;
                }
                done => return done.and_then(|written| applied(call, manifest, &written)),
            }
        }
    }

    async fn seen(&self, manifest: &Manifest) -> Result<Option<Value>, ClusterError> {
        self.get(&call(Verb::Get, manifest.kind, &manifest.id))
            .await
    }

    pub(crate) async fn write(
        &self,
        call: &Call,
        manifest: &Manifest,
        force: Force,
    ) -> Result<Value, ClusterError> {
        let forced = match force {
            Force::Never => "",
            Force::Fields => "&force=true",
        };
        let query = format!("fieldManager={MANAGER}&fieldValidation=Strict{forced}");
        let request = call.request_with(&query, "application/apply-patch+yaml", &whole(manifest));
        let written = self
            .send(call, request.map_err(|error| unsendable(call, &error))?)
            .await;
        self.forget(manifest);
        written
    }

    /// Sends a merge patch, if there is one.
    async fn clear(
        &self,
        call: &Call,
        manifest: &Manifest,
        patch: Option<Value>,
    ) -> Result<(), ClusterError> {
        let Some(patch) = patch else {
            return Ok(());
        };
        let query = format!("fieldManager={MANAGER}");
        let request = call.request_with(&query, "application/merge-patch+json", &patch);
        let done = self
            .send(call, request.map_err(|error| unsendable(call, &error))?)
            .await;
        self.forget(manifest);
        done.map(drop)
    }

    fn forget(&self, manifest: &Manifest) {
        self.forget_list(manifest.kind, &manifest.id.namespace);
    }

    /// Forgets the shared list of a kind: whoever waited for a change must see it.
    pub fn forget_list(&self, kind: Kind, namespace: &Namespace) {
        self.listings().forget(&(kind, namespace.clone()));
    }

    /// Returns the object as it is; an error if it belongs to others.
    async fn refuse_foreign(
        &self,
        apply: &Call,
        manifest: &Manifest,
    ) -> Result<Option<Value>, ClusterError> {
        let Manifest { id, body, .. } = manifest;
        let other = |object: &Value| match (Mark::of(object), Mark::of(body)) {
            (Some(is), Some(shall)) => is != shall,
            _ => !is_ours(object),
        };
        match self.seen(manifest).await? {
            Some(object) if other(&object) => {
                Err(terminating(apply, &object).unwrap_or_else(|| foreign(apply.clone(), id)))
            }
            seen => Ok(seen),
        }
    }
}

fn applied(call: Call, manifest: &Manifest, written: &Value) -> Result<Applied, ClusterError> {
    let uid = uid(written).ok_or_else(|| ClusterError::Answer {
        call,
        reason: "the response has no uid".into(),
    })?;
    Ok(Applied {
        kind: manifest.kind,
        id: manifest.id.clone(),
        uid: uid.to_owned(),
    })
}

pub(crate) fn call(verb: Verb, kind: Kind, id: &Id) -> Call {
    Call::new(
        verb,
        Resource::of(kind),
        id.namespace.as_str(),
        id.name.as_str(),
    )
}

/// Returns the error for an object whose deletion has begun: anything written to it would be deleted with it.
pub fn being_deleted(kind: Kind, id: &Id, object: &Value) -> Option<ClusterError> {
    terminating(&call(Verb::Patch, kind, id), object)
}

fn terminating(call: &Call, object: &Value) -> Option<ClusterError> {
    let begun = object["metadata"]["deletionTimestamp"].is_string();
    begun.then(|| ClusterError::Terminating {
        call: call.clone(),
        finalizers: finalizers(object),
    })
}

/// Returns the finalizers that must be removed before the API server deletes an object.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    let names = object["metadata"]["finalizers"].as_array();
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Returns the error for an object that is not ours.
pub(crate) fn foreign(call: Call, id: &Id) -> ClusterError {
    ClusterError::Exists {
        call,
        import_id: id.to_string(),
    }
}

/// Returns the manifest as a complete object for the API server, with our fields only.
fn whole(manifest: &Manifest) -> Value {
    let Manifest { kind, id, body } = manifest;
    let resource = Resource::of(*kind);
    let mut object = body.clone();
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.into();
    object["metadata"]["name"] = id.name.as_str().into();
    object["metadata"]["namespace"] = id.namespace.as_str().into();
    object
}

pub(crate) fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}
