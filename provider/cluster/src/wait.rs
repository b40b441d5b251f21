//! Waits until istiod itself reports the proxy.

use futures::{TryStreamExt, pin_mut};
use kube::core::WatchEvent;
use mesh::{Connection, Id, Kind};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::call::{Call, Resource, Verb};
use crate::connect::Cluster;
use crate::error::{ClusterError, refused, unanswered};
use crate::observe::connection;
use crate::send::unsendable;

/// API servers end a watch after 5 to 10 minutes; a shorter one bounds what a dead connection
/// can cost.
const WATCH_SECONDS: u64 = 60;

impl Cluster {
    /// Waits until istiod reports a connection of the workload's proxy other than `before`.
    ///
    /// istiod writes `connectedAt` when a stream starts and removes it at a disconnect, so a new
    /// one without `disconnectedAt` is the proxy that was just started.
    pub async fn connected(
        &self,
        id: &Id,
        before: &Connection,
        deadline: Instant,
    ) -> Result<Connection, ClusterError> {
        let mut last = Connection::default();
        timeout_at(deadline, self.follow(id, before, &mut last))
            .await
            .unwrap_or_else(|_| {
                Err(ClusterError::NotConnected {
                    id: id.clone(),
                    last,
                })
            })
    }

    async fn follow(
        &self,
        id: &Id,
        before: &Connection,
        last: &mut Connection,
    ) -> Result<Connection, ClusterError> {
        let call = |verb| {
            Call::new(
                verb,
                Resource::of(Kind::WorkloadEntry),
                id.namespace.as_str(),
                id.name.as_str(),
            )
        };
        loop {
            let entry = self
                .get(&call(Verb::Get))
                .await?
                .ok_or_else(|| gone(call(Verb::Get)))?;
            *last = connection(&entry);
            if is_new(last, before) {
                return Ok(last.clone());
            }
            if let Some(found) = self.watch(call(Verb::Watch), &entry, before, last).await? {
                return Ok(found);
            }
        }
    }

    /// Follows the entry from the version given; `None` when the server ended the watch.
    async fn watch(
        &self,
        call: Call,
        entry: &Value,
        before: &Connection,
        last: &mut Connection,
    ) -> Result<Option<Connection>, ClusterError> {
        let version = entry["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let query = format!(
            "watch=true&fieldSelector=metadata.name%3D{}&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}",
            call.name
        );
        let request = call
            .request(&query)
            .map_err(|error| unsendable(&call, &error))?;
        let failed = |error| self.watch_failed(&call, error);
        let events = self
            .client()
            .request_events::<Value>(request)
            .await
            .map_err(failed)?;
        pin_mut!(events);
        while let Some(event) = events.try_next().await.map_err(failed)? {
            match event {
                WatchEvent::Added(entry) | WatchEvent::Modified(entry) => {
                    *last = connection(&entry);
                }
                WatchEvent::Deleted(_) => return Err(gone(call)),
                WatchEvent::Bookmark(_) => continue,
                // The version is too old: read again and go on from there.
                WatchEvent::Error(_) => return Ok(None),
            }
            if is_new(last, before) {
                return Ok(Some(last.clone()));
            }
        }
        Ok(None)
    }

    fn watch_failed(&self, call: &Call, error: kube::Error) -> ClusterError {
        match error {
            kube::Error::Api(status) => refused(self.server(), call.clone(), status.code, *status),
            other => unanswered(self.server(), call.clone(), other),
        }
    }
}

fn gone(call: Call) -> ClusterError {
    ClusterError::NotFound {
        call,
        message: "the entry was deleted while istiod's report was waited for".into(),
    }
}

fn is_new(now: &Connection, before: &Connection) -> bool {
    now.connected_at.is_some()
        && now.connected_at != before.connected_at
        && now.disconnected_at.is_none()
}
