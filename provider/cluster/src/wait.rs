//! Waits until istiod itself reports the proxy.

use std::time::Duration;

use mesh::bounded;
use mesh::desired::Kind;
use mesh::names::Id;
use mesh::observed::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::apply::finalizers;
use crate::body::{self, Lines, most_parsed};
use crate::call::{Call, ENTRY_STATUS, Resource, Verb};
use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::refusal::unanswered;
use crate::retry::{Backoff, requested_wait};
use crate::send::unsendable;

/// How long one watch may last; the request makes the server end it then.
const WATCH: Duration = Duration::from_mins(1);
/// Additional time for the server to end it.
const GRACE: Duration = Duration::from_secs(5);
/// Between the end of one watch and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The condition of a wait.
type Awaited<'a> = &'a (dyn Fn(&Connection) -> bool + Sync);

/// How a watch ended.
enum Watched {
    /// With what was awaited.
    Found(Connection),
    /// By itself, or with its connection.
    Closed,
    /// By the server, which may request a wait: it is overloaded, or no longer has the version.
    Refused(Duration),
}

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
        let is_new = |now: &Connection| is_new(now, before);
        timeout_at(deadline, self.follow(id, &is_new, &mut last))
            .await
            .unwrap_or_else(|_| {
                Err(ClusterError::NotConnected {
                    id: id.clone(),
                    last: last.into(),
                })
            })
    }

    /// Waits until istiod reports that the workload's application answers its health check.
    pub async fn healthy(&self, id: &Id, deadline: Instant) -> Result<Connection, ClusterError> {
        let mut last = Connection::default();
        let healthy = |now: &Connection| now.healthy == Some(true);
        timeout_at(deadline, self.follow(id, &healthy, &mut last))
            .await
            .unwrap_or_else(|_| {
                let unprobed = || "no probe has been reported yet".to_owned();
                Err(ClusterError::NotHealthy {
                    id: id.clone(),
                    why: last.unhealthy.unwrap_or_else(unprobed),
                })
            })
    }

    /// Writes the status conditions of an entry, which istiod owns. A concurrent write of istiod may get lost.
    pub async fn set_conditions(&self, id: &Id, conditions: &[Value]) -> Result<(), ClusterError> {
        let call = Call::new(
            Verb::Patch,
            ENTRY_STATUS,
            id.namespace.as_str(),
            id.name.as_str(),
        );
        let body = json!({ "status": { "conditions": conditions } });
        let request = call.request_with("", "application/merge-patch+json", &body);
        let request = request.map_err(|error| unsendable(&call, &error))?;
        self.send(&call, request).await.map(drop)
    }

    /// Waits until the object of a deletion is gone: the API server keeps one that has finalizers.
    pub(crate) async fn gone(
        &self,
        deletion: &Call,
        uid: &str,
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let get = Call {
            verb: Verb::Get,
            ..deletion.clone()
        };
        let mut backoff = Backoff::new();
        loop {
            let mut pause = PAUSE;
            match self.get(&get).await {
                Ok(None) => return Ok(()),
                // Another object of that name was created in the meantime.
                Ok(Some(object)) if object["metadata"]["uid"] != uid => return Ok(()),
                Ok(Some(object)) if Instant::now() >= deadline => {
                    return Err(ClusterError::Terminating {
                        call: deletion.clone(),
                        finalizers: finalizers(&object),
                    });
                }
                Ok(Some(_)) => {}
                Err(error) if error.passes() && Instant::now() < deadline => {
                    pause = backoff.next(error.requested_wait());
                }
                Err(error) => return Err(error),
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn follow(
        &self,
        id: &Id,
        awaited: Awaited<'_>,
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
        let mut backoff = Backoff::new();
        loop {
            let entry = match self.get(&call(Verb::Get)).await {
                Err(error) if error.passes() => {
                    sleep(backoff.next(error.requested_wait())).await;
                    continue;
                }
                entry => entry?.ok_or_else(|| gone(call(Verb::Get)))?,
            };
            *last = Connection::from_entry(&entry);
            if awaited(last) {
                return Ok(last.clone());
            }
            let watch = self.watch(call(Verb::Watch), &entry, awaited, last);
            // The server ends a watch in time; only a dead connection outlasts it.
            let watched = timeout(WATCH + GRACE, watch).await;
            let pause = match watched.unwrap_or(Ok(Watched::Closed)) {
                Ok(Watched::Found(connection)) => return Ok(connection),
                Ok(Watched::Closed) => {
                    backoff = Backoff::new();
                    PAUSE
                }
                Ok(Watched::Refused(wait)) => backoff.next(wait),
                Err(error) if error.passes() => backoff.next(error.requested_wait()),
                Err(error) => return Err(error),
            };
            sleep(pause).await;
        }
    }

    /// Follows the entry from the version given.
    async fn watch(
        &self,
        call: Call,
        entry: &Value,
        awaited: Awaited<'_>,
        last: &mut Connection,
    ) -> Result<Watched, ClusterError> {
        let version = entry["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let query = format!(
            "watch=true&fieldSelector=metadata.name%3D{}&resourceVersion={version}&timeoutSeconds={}",
            call.name,
            WATCH.as_secs()
        );
        let request = call
            .request(&query)
            .map_err(|error| unsendable(&call, &error))?;
        let request = self.versioned(request);
        let (head, body) = self.ask(&call, request).await?.into_parts();
        if let Some(wait) = requested_wait(head.status, &head.headers) {
            return Ok(Watched::Refused(wait));
        }
        if !head.status.is_success() {
            let body = body::whole(&call, head.status, body).await;
            let body =
                body.map_err(|error| unanswered(self.named_server(), call.clone(), error))?;
            return Err(self.refused(&call, head.status, &body?));
        }
        let mut lines = Lines::new(body);
        // A stream that breaks ends the watch: the GET that follows shows whether the server responds.
        while let Some(line) = lines.next(&call).await? {
            let Ok(event) = bounded::json(&line, most_parsed(&call)) else {
                return Ok(Watched::Closed);
            };
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => *last = Connection::from_entry(&event["object"]),
                Some("DELETED") => return Err(gone(call)),
                Some("BOOKMARK") => continue,
                // Most often the version is too old: read again and go on from there.
                Some("ERROR") => {
                    let wait = event["object"]["details"]["retryAfterSeconds"].as_u64();
                    let wait = Duration::from_secs(wait.unwrap_or_default());
                    return Ok(Watched::Refused(wait));
                }
                _ => return Ok(Watched::Closed),
            }
            if awaited(last) {
                return Ok(Watched::Found(last.clone()));
            }
        }
        Ok(Watched::Closed)
    }
}

fn gone(call: Call) -> ClusterError {
    ClusterError::NotFound {
        call,
        message: "the entry was deleted during the wait for istiod's report".into(),
    }
}

fn is_new(now: &Connection, before: &Connection) -> bool {
    now.connected_at.is_some()
        && now.connected_at != before.connected_at
        && now.disconnected_at.is_none()
}
