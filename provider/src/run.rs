//! One run of an apply or a destroy: what it has withdrawn, with its mark on the entries.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster::{Cluster, ClusterError, Edited, Force, Lock};
use mesh::names::Id;
use mesh::withdrawal::{Operation, RENEWAL, Withdrawal};
use plugin::{Diagnostic, Diagnostics};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use vm::program::RunId;

use crate::messages;
use crate::traffic::insist;

/// For how long giving a fleet's lock back is tried. Others forget the lock after [`mesh::withdrawal::DEAD`].
const RELEASE: Duration = Duration::from_secs(5);

/// A run, and the entries whose traffic it has withdrawn.
pub(crate) struct Run<'a> {
    cluster: &'a Cluster,
    mark: Withdrawal,
    /// How conflicts with other owners of a field are handled.
    force: Force,
    /// Until when traffic is restored, while the API server fails.
    deadline: Mutex<Instant>,
    withdrawn: Mutex<Vec<Entry>>,
    /// The entries whose marks are renewed.
    held: Mutex<BTreeSet<Id>>,
    /// The locks of the fleets whose member loses its traffic now.
    locks: Mutex<Vec<Arc<Lock<'a>>>>,
}

/// A `WorkloadEntry` as it was before the run withdrew its traffic.
#[derive(Clone)]
struct Entry {
    id: Id,
    before: Value,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        by: Operation,
        force: Force,
        deadline: Instant,
    ) -> Self {
        let mark = Withdrawal {
            by: Some(by),
            run: RunId::generate().to_string(),
            renewal: 0,
            leaves: None,
        };
        Self {
            cluster,
            mark,
            force,
            deadline: Mutex::new(deadline),
            locks: Mutex::default(),
            withdrawn: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Returns the mark of the entries that the run withdraws.
    pub(crate) fn mark(&self) -> &Withdrawal {
        &self.mark
    }

    /// Takes up what a dead create left: of two creates that have waited for it, one gets it.
    pub(crate) async fn take_up(&self, id: &Id, left: &Value) -> Result<(), Diagnostic> {
        let mark = Withdrawal::of(left);
        let edit = |seen: &Value| {
            let same = seen["metadata"]["uid"] == left["metadata"]["uid"];
            let is_left = same && Withdrawal::of(seen) == mark;
            let observed = || mesh::objects::as_observed(id, seen);
            is_left.then(|| mesh::objects::withdrawn(&observed(), &self.mark))
        };
        let edited = self.cluster.edit_entry(id, self.force, edit).await;
        match edited.map_err(|error| messages::cluster(&error))? {
            Some(_) => Ok(()),
            None => Err(messages::taken(id)),
        }
    }

    /// Sets until when traffic is restored: the time of a wait for others does not count.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lock of a fleet, and renews it.
    pub(crate) fn keep_lock(&self, lock: Lock<'a>) {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.push(Arc::new(lock));
    }

    /// Returns whether nobody else can have taken one of the locks.
    pub(crate) fn is_sure_of_locks(&self) -> bool {
        self.locks().iter().all(|lock| lock.is_sure())
    }

    /// Gives the locks back.
    pub(crate) async fn release_locks(&self) {
        for lock in self.locks() {
            let until = Instant::now() + RELEASE;
            if let Err(error) = insist(until, || lock.release()).await {
                tracing::warn!("a fleet's lock is still held: {error}");
            }
        }
        self.locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn locks(&self) -> Vec<Arc<Lock<'a>>> {
        self.locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Renews the mark of an entry from now on.
    pub(crate) fn hold(&self, id: &Id) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(id.clone());
    }

    /// Carries out work, and renews the marks meanwhile: others see that the run lives.
    pub(crate) async fn alive<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.renew() => match never {},
        }
    }

    async fn renew(&self) -> Infallible {
        loop {
            sleep(RENEWAL).await;
            let held = self
                .held
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            for lock in self.locks() {
                match timeout(RENEWAL, lock.renew()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!("a fleet's lock was not renewed: {error}"),
                    Err(_) => tracing::warn!("a fleet's lock was not renewed: no answer"),
                }
            }
            for id in &held {
                // The next renewal may succeed, and the run does not depend on it.
                match timeout(RENEWAL, self.renew_one(id)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!("the mark of {id} was not renewed: {error}"),
                    Err(_) => tracing::warn!("the mark of {id} was not renewed: no answer"),
                }
            }
        }
    }

    async fn renew_one(&self, id: &Id) -> Result<(), ClusterError> {
        let edit = |seen: &Value| {
            let mark = Withdrawal::of(seen).filter(|_| self.mark.is_on(seen))?;
            let observed = mesh::objects::as_observed(id, seen);
            Some(mesh::objects::withdrawn(&observed, &mark.renewed()))
        };
        let edited = self.cluster.edit_entry(id, Force::Never, edit).await;
        edited.map(drop)
    }

    /// Withdraws the traffic of an entry if it is still `wanted`, and keeps its other fields: first by the annotation,
    /// then by its reported health, so that istiod sends no traffic until a new proxy has probed the application.
    pub(crate) async fn withdraw(
        &self,
        id: &Id,
        wanted: impl Fn(&Value) -> bool + Send + Sync,
    ) -> Result<(), Diagnostic> {
        // A create that takes a VM over has not created this entry.
        let by = match self.mark.by {
            Some(Operation::Destroy) => Operation::Destroy,
            _ => Operation::Bootstrap,
        };
        let mark = Withdrawal {
            by: Some(by),
            ..self.mark.clone()
        };
        let before = Mutex::new(None);
        let edit = |seen: &Value| {
            // An attempt whose answer was lost has written it.
            if mark.is_on(seen) {
                return None;
            }
            let is_wanted = wanted(seen);
            *before.lock().unwrap_or_else(PoisonError::into_inner) =
                is_wanted.then(|| seen.clone());
            let observed = || mesh::objects::as_observed(id, seen);
            is_wanted.then(|| mesh::objects::withdrawn(&observed(), &mark))
        };
        let edited = self.cluster.edit_entry(id, self.force, edit).await;
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Also where the write failed: it may have arrived, and only an entry with the mark is restored.
        if let Some(before) = &before {
            self.lock().push(Entry {
                id: id.clone(),
                before: before.clone(),
            });
            self.hold(id);
        }
        let edited = edited.map_err(|error| messages::cluster(&error))?;
        match edited.map(|Edited { after, .. }| after).or(before) {
            Some(entry) => self.clear_health(id, &entry).await,
            None => Ok(()),
        }
    }

    /// Clears the reported health of an entry, so that istiod sends no traffic until the new proxy has probed.
    pub(crate) async fn clear_health(&self, id: &Id, entry: &Value) -> Result<(), Diagnostic> {
        let Some(others) = mesh::observed::without_health(entry) else {
            return Ok(());
        };
        let set = self.cluster.set_conditions(id, &others).await;
        set.map_err(|error| messages::cluster(&error))
    }

    /// Restores the reported health that an entry had `before`, if the entry still carries the mark.
    pub(crate) async fn restore_health(&self, id: &Id, before: &Value) -> Result<(), Diagnostic> {
        let restored = insist(self.deadline(), || self.return_health(id, before)).await;
        restored.map_err(|error| messages::cluster(&error))
    }

    async fn return_health(&self, id: &Id, before: &Value) -> Result<(), ClusterError> {
        match self.cluster.entry(id).await? {
            Some(seen) if self.is_held(&seen, before) => self.set_health(id, &seen, before).await,
            _ => Ok(()),
        }
    }

    /// Returns whether an entry still carries the mark.
    pub(crate) async fn holds(&self, id: &Id) -> Result<bool, Diagnostic> {
        let entry = insist(self.deadline(), || self.cluster.entry(id)).await;
        let entry = entry.map_err(|error| messages::cluster(&error))?;
        Ok(entry.is_some_and(|entry| self.mark.is_on(&entry)))
    }

    /// Returns whether there is an entry that does not carry the mark.
    pub(crate) async fn is_replaced(&self, id: &Id) -> Result<bool, Diagnostic> {
        let entry = insist(self.deadline(), || self.cluster.entry(id)).await;
        let entry = entry.map_err(|error| messages::cluster(&error))?;
        Ok(entry.is_some_and(|entry| !self.mark.is_on(&entry)))
    }

    /// Returns whether an entry is the one of `before` and carries the mark.
    fn is_held(&self, entry: &Value, before: &Value) -> bool {
        entry["metadata"]["uid"] == before["metadata"]["uid"] && self.mark.is_on(entry)
    }

    async fn set_health(&self, id: &Id, seen: &Value, before: &Value) -> Result<(), ClusterError> {
        match mesh::observed::with_health_of(seen, before) {
            Some(conditions) => self.cluster.set_conditions(id, &conditions).await,
            None => Ok(()),
        }
    }

    /// Restores the traffic of the entries that the run has withdrawn, and returns what prevented that.
    pub(crate) async fn restore(&self) -> Diagnostics {
        let withdrawn = self.lock().clone();
        let mut problems = Diagnostics::none();
        for entry in &withdrawn {
            let restored = insist(self.deadline(), || self.restore_one(entry)).await;
            problems.extend(restored.err().map(|error| messages::cluster(&error)));
        }
        problems
    }

    /// Takes the mark back. An entry that was replaced, or that another run has marked or finished, belongs to others
    /// by now and stays as it is.
    async fn restore_one(&self, Entry { id, before }: &Entry) -> Result<(), ClusterError> {
        // The mark goes last: an attempt that is repeated goes by it.
        self.return_health(id, before).await?;
        let edit = |seen: &Value| {
            let is_held = self.is_held(seen, before);
            is_held.then(|| mesh::objects::restored(id, seen, before))
        };
        self.cluster
            .edit_entry(id, self.force, edit)
            .await
            .map(drop)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
