//! The lock of a fleet: the spec of its Lease. It is held while a turn is decided and the entry is withdrawn, not for the
//! bootstrap.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mesh::desired::Manifest;
use mesh::names::Id;
use mesh::rollout::Rollout;
use mesh::withdrawal::DEAD;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use crate::connect::Cluster;
use crate::error::ClusterError;
use crate::silence::Silence;

/// Between one look at a lock that others hold and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long after a renewal the holder knows that nobody has forgotten it: well below what others wait for.
const SURE: Duration = Duration::from_secs(20);

/// How often giving the lock back starts over because of concurrent writes.
const ATTEMPTS: usize = 5;

/// A lock that is held. One that is dropped without being given back is forgotten by others after a while.
pub struct Lock<'a> {
    cluster: &'a Cluster,
    lease: Id,
    holder: String,
    held: Mutex<Held>,
    _gate: OwnedMutexGuard<()>,
}

/// The Lease as the holder knows it.
#[derive(Clone)]
struct Held {
    seen: Value,
    /// When it was renewed last; `None`: somebody else has taken it.
    renewed: Option<Instant>,
}

impl<'a> Lock<'a> {
    /// Waits for the lock of a fleet, after the `gate` of this process. `bare` is its Lease if there is none yet, and
    /// `holder` names the run.
    pub async fn take(
        cluster: &'a Cluster,
        gate: OwnedMutexGuard<()>,
        bare: &Manifest,
        holder: &str,
    ) -> Result<Self, ClusterError> {
        let lease = &bare.id;
        let mut silence = Silence::new(PAUSE + PAUSE);
        loop {
            let seen = match cluster.lease(lease).await? {
                Some(seen) => Some(seen),
                None => cluster.create_lease(bare).await?,
            };
            let Some(seen) = seen else {
                continue;
            };
            // The version changes with each renewal.
            let silent = silence.note(seen["metadata"]["resourceVersion"].clone());
            let by = seen["spec"]["holderIdentity"].as_str().unwrap_or_default();
            // Held by this run: the answer to its own write was lost.
            if by.is_empty() || by == holder || silent >= DEAD {
                let renewed = Instant::now();
                let spec = taken(holder, &seen);
                if let Some(seen) = cluster.edit_lease(lease, &seen, &spec).await? {
                    let renewed = Some(renewed);
                    return Ok(Self {
                        cluster,
                        lease: lease.clone(),
                        holder: holder.to_owned(),
                        held: Mutex::new(Held { seen, renewed }),
                        _gate: gate,
                    });
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns how the fleet rolls, as its Lease says.
    pub fn rollout(&self) -> Rollout {
        Rollout::of(Some(&self.held().seen))
    }

    /// Returns whether nobody else can have taken the lock yet.
    pub fn is_sure(&self) -> bool {
        let renewed = self.held().renewed;
        renewed.is_some_and(|renewed| renewed.elapsed() < SURE)
    }

    /// Renews the lock.
    pub async fn renew(&self) -> Result<(), ClusterError> {
        let Held { seen, renewed } = self.held();
        if renewed.is_none() {
            return Ok(());
        }
        let now = Instant::now();
        let spec = json!({ "renewTime": time() });
        let edited = self.cluster.edit_lease(&self.lease, &seen, &spec).await?;
        let held = match edited {
            Some(seen) => Held {
                seen,
                renewed: Some(now),
            },
            None => self.look_again().await?,
        };
        *self.lock() = held;
        Ok(())
    }

    /// Reads the Lease after somebody has written it: perhaps the fleet, which writes how it rolls.
    async fn look_again(&self) -> Result<Held, ClusterError> {
        let before = self.held();
        let seen = self.cluster.lease(&self.lease).await?;
        let is_ours = |seen: &Value| seen["spec"]["holderIdentity"] == *self.holder;
        Ok(match seen.filter(is_ours) {
            Some(seen) => Held { seen, ..before },
            None => Held {
                renewed: None,
                ..before
            },
        })
    }

    /// Gives the lock back. If that fails, others forget it after a while.
    pub async fn release(&self) -> Result<(), ClusterError> {
        let spec = json!({ "holderIdentity": null, "renewTime": null, "acquireTime": null });
        for _ in 0..ATTEMPTS {
            let Held { seen, renewed } = self.held();
            if renewed.is_none() {
                break;
            }
            match self.cluster.edit_lease(&self.lease, &seen, &spec).await? {
                Some(_) => break,
                None => *self.lock() = self.look_again().await?,
            }
        }
        Ok(())
    }

    fn held(&self) -> Held {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the spec of a Lease that a run takes. The times are for people only.
fn taken(holder: &str, seen: &Value) -> Value {
    let transitions = seen["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
    json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": DEAD.as_secs(),
        "acquireTime": time(),
        "renewTime": time(),
        "leaseTransitions": transitions.saturating_add(1) % i32::MAX as u64,
    })
}

/// Returns the time as a Lease has it.
fn time() -> String {
    Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}
