//! The turn of a fleet's member: its traffic is taken away only while fewer of the others than the fleet's limit are
//! without, and not after one of them has failed.

use std::time::Duration;

use cluster::{Lock, Silence};
use jiff::Timestamp;
use mesh::desired::Kind;
use mesh::names::Id;
use mesh::rollout::{OnFailure, Rollout, Turn, Waited, bare_lease, turn};
use plugin::{Diagnostics, Limits};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::work::Work;
use crate::machine::Failure;
use crate::messages::{self, turn as say};
use crate::traffic::insist;
use crate::turns::Failed;
use crate::workload::preflight::Preflight;

/// Between one look at the members and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The most that counts of the time between two looks.
const MOST: Duration = Duration::from_secs(5);

impl Work<'_> {
    /// Waits until the traffic may be taken away. From then on, the locks of the fleets are held until it was. The wait
    /// does not count against the apply's time limit.
    pub(super) async fn await_turn(&mut self) -> Result<(), Diagnostics> {
        let limit = self.limit;
        // Boxed: it would be most of the stack of an apply, which hardly ever waits.
        let done = limit.paused(Box::pin(self.take_turn())).await;
        self.deadline = limit.at();
        self.objects.set_deadline(self.deadline);
        self.run.set_deadline(self.deadline);
        done
    }

    async fn take_turn(&mut self) -> Result<(), Diagnostics> {
        let mut wait = Wait::new(self.patience());
        self.forget_entries();
        loop {
            let mut turn = self.look().await?;
            if turn == Turn::Granted {
                if wait.began() {
                    self.look_anew().await?;
                }
                turn = self.decide().await?;
            }
            match turn {
                Turn::Free | Turn::Granted => return Ok(()),
                Turn::Waits(waited) => wait.note(&self.preflight, waited)?,
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns what the members allow, by a picture that may be some seconds old.
    async fn look(&self) -> Result<Turn, Diagnostics> {
        let mut turns = vec![];
        for fleet in &self.preflight.fleets {
            let entries = self.entries(fleet).await?;
            // Who takes nothing away needs no right to read the Lease.
            let mut turn = self.turn(Rollout::default(), fleet, &entries);
            if turn != Turn::Free {
                let rollout = self.rollout(fleet).await?;
                self.refuse_after_failure(rollout, fleet)?;
                turn = self.turn(rollout, fleet, &entries);
            }
            turns.push(turn);
        }
        Ok(strictest(turns))
    }

    /// Decides by what the members are now, and keeps the locks if the traffic may be taken away.
    async fn decide(&self) -> Result<Turn, Diagnostics> {
        let mut turns = vec![];
        for fleet in &self.preflight.fleets {
            let Some(bare) = bare_lease(fleet) else {
                continue;
            };
            let holder = &self.run.mark().run;
            let take = || async {
                let gate = self.context.turns.gate(fleet).await;
                Lock::take(self.cluster, gate, &bare, holder).await
            };
            let lock = insist(self.until(), take).await;
            let lock = lock.map_err(|error| messages::cluster(&error))?;
            let rollout = lock.rollout();
            self.run.keep_lock(lock);
            self.refuse_after_failure(rollout, fleet)?;
            self.forget_entries();
            let entries = self.entries(fleet).await?;
            turns.push(self.turn(rollout, fleet, &entries));
        }
        let turn = strictest(turns);
        if turn != Turn::Granted {
            self.run.release_locks().await;
        }
        Ok(turn)
    }

    /// Reads the cluster again after a wait: it may have taken hours.
    async fn look_anew(&mut self) -> Result<(), Diagnostics> {
        let Self {
            cluster, target, ..
        } = self;
        self.preflight = Box::pin(Preflight::new(cluster, target.next, target.prior)).await?;
        if target.prior.is_none() {
            self.output = self.preflight.output(target.reasons());
        }
        Ok(())
    }

    fn turn(&self, rollout: Rollout, fleet: &Id, entries: &[(Id, Json)]) -> Turn {
        turn(rollout, fleet, &self.preflight.losing(), entries)
    }

    async fn rollout(&self, fleet: &Id) -> Result<Rollout, Diagnostics> {
        let Some(lease) = mesh::rollout::lease_id(fleet) else {
            return Ok(Rollout::default());
        };
        let lease = insist(self.until(), || self.cluster.lease(&lease)).await;
        let lease = lease.map_err(|error| messages::cluster(&error))?;
        Ok(Rollout::of(lease.as_ref()))
    }

    async fn entries(&self, fleet: &Id) -> Result<Vec<(Id, Json)>, Diagnostics> {
        let entries = insist(self.until(), || self.cluster.entries(&fleet.namespace)).await;
        entries.map_err(|error| messages::cluster(&error).into())
    }

    fn forget_entries(&self) {
        let namespace = &self.preflight.workload.id.namespace;
        self.cluster.forget_list(Kind::WorkloadEntry, namespace);
    }

    fn refuse_after_failure(&self, rollout: Rollout, fleet: &Id) -> Result<(), Diagnostics> {
        let failed = self.context.turns.failed(fleet);
        match failed.filter(|_| rollout.on_failure == OnFailure::Stop) {
            Some(failed) => Err(say::stopped(&self.preflight.workload.id, fleet, &failed).into()),
            None => Ok(()),
        }
    }

    /// Notes that the bootstrap has failed, for the other members of the fleets. A traffic that comes back must not make
    /// another member begin before.
    pub(super) fn note_failure(&self, failure: &Failure) {
        let prior = self.target.prior.and_then(|prior| prior.input.workload());
        let fleets = [
            self.preflight.workload.fleet.as_ref(),
            prior.as_ref().and_then(|prior| prior.fleet.as_ref()),
        ];
        for fleet in fleets.into_iter().flatten().chain(&self.preflight.fleets) {
            let failed = Failed {
                id: self.preflight.workload.id.clone(),
                cause: say::cause(&failure.diagnostics),
            };
            self.context.turns.note_failure(fleet, failed);
        }
    }

    /// Returns how long the members that are waited for may stay as they are: `timeouts.update`.
    fn patience(&self) -> Duration {
        let timeouts = self.target.next.timeouts.known();
        let update = timeouts.and_then(|of| of.update.known());
        update.map_or(Limits::DEFAULT.update, |update| update.0.0)
    }

    /// Returns until when an API server that fails is asked again.
    fn until(&self) -> Instant {
        Instant::now() + self.patience()
    }
}

/// Returns what several fleets allow together.
fn strictest(turns: Vec<Turn>) -> Turn {
    let granted = turns.contains(&Turn::Granted);
    let mut waits = turns
        .into_iter()
        .filter(|turn| matches!(turn, Turn::Waits(_)));
    match waits.next() {
        Some(waits) => waits,
        None if granted => Turn::Granted,
        None => Turn::Free,
    }
}

/// A wait for a turn.
struct Wait {
    since: Option<Timestamp>,
    silence: Silence<Vec<Waited>>,
    last: Vec<Waited>,
    patience: Duration,
}

impl Wait {
    fn new(patience: Duration) -> Self {
        Self {
            since: None,
            silence: Silence::new(MOST),
            last: vec![],
            patience,
        }
    }

    fn began(&self) -> bool {
        self.since.is_some()
    }

    /// Notes whom the member waits for.
    ///
    /// # Errors
    /// None of them has changed for too long.
    fn note(&mut self, of: &Preflight, waited: Vec<Waited>) -> Result<(), Diagnostics> {
        let since = *self.since.get_or_insert_with(Timestamp::now);
        let id = &of.workload.id;
        let names = say::names(&waited);
        let is_same = |last: &Waited, now: &Waited| last.id == now.id;
        let last = &self.last;
        if last.len() != waited.len() || !last.iter().zip(&waited).all(|(a, b)| is_same(a, b)) {
            tracing::info!("the bootstrap of {id} waits for its turn since {since:.0}: {names}");
        }
        self.last.clone_from(&waited);
        if self.silence.note(waited) < self.patience {
            return Ok(());
        }
        Err(say::late(id, &of.fleets, self.patience, &names).into())
    }
}
