//! One response for all callers that need it at about the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ClusterError;

/// How old a shared answer may be.
const FRESH: Duration = Duration::from_secs(2);
/// How long a failure is kept, at most.
const LONGEST: Duration = Duration::from_secs(5);

/// A failure, for all who need the same at about the same time.
///
/// It is kept for as long as it took, up to 5 s: whoever waited for it gets it as well instead of waiting as long once
/// more, and so does whoever comes a moment later. A failure that came at once is hardly kept.
pub(crate) struct Failure<E> {
    error: E,
    until: Instant,
}

impl<E: Clone> Failure<E> {
    /// Keeps a failure of an attempt that began at `since`.
    pub(crate) fn new(error: E, since: Instant) -> Self {
        Self {
            error,
            until: Instant::now() + since.elapsed().min(LONGEST),
        }
    }

    /// Returns the failure while it is kept.
    pub(crate) fn kept(&self) -> Option<E> {
        (Instant::now() < self.until).then(|| self.error.clone())
    }
}

enum Answer<T, E> {
    Came(Instant, Arc<T>),
    Failed(Failure<E>),
}

type Slot<T, E> = Arc<tokio::sync::Mutex<Option<Answer<T, E>>>>;

/// Responses by key. A caller that arrives during a request waits for its response, or for its failure.
pub(crate) struct Shared<K, T, E = ClusterError> {
    slots: Mutex<BTreeMap<K, Slot<T, E>>>,
}

impl<K: Ord, T, E: Clone> Shared<K, T, E> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns the response for `key`: a recent one, or that of `request`.
    pub(crate) async fn get(
        &self,
        key: K,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let slot = Arc::clone(self.lock().entry(key).or_default());
        let mut held = slot.lock().await;
        match &*held {
            Some(Answer::Came(since, answer)) if since.elapsed() < FRESH => {
                return Ok(Arc::clone(answer));
            }
            Some(Answer::Failed(failure)) => {
                if let Some(error) = failure.kept() {
                    return Err(error);
                }
            }
            _ => {}
        }
        // The age counts from before the request: the server may have read at its begin.
        let since = Instant::now();
        match request.await {
            Ok(answer) => {
                let answer = Arc::new(answer);
                *held = Some(Answer::Came(since, Arc::clone(&answer)));
                Ok(answer)
            }
            Err(error) => {
                *held = Some(Answer::Failed(Failure::new(error.clone(), since)));
                Err(error)
            }
        }
    }

    /// Forgets the response for `key`. A pending one reaches only the callers that already wait for it.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<K, Slot<T, E>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_cause_one_request() {
        let (shared, asked) = (Shared::new(), Cell::new(0));
        let ask = || async {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok::<_, ()>(asked.get())
        };
        let answers = futures::future::join_all((0..100).map(|_| shared.get("key", ask()))).await;
        assert!(answers.into_iter().all(|answer| *answer.unwrap() == 1));
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_or_forgotten_answer_is_requested_again() {
        let (shared, asked) = (Shared::new(), Cell::new(0));
        let ask = || async {
            asked.set(asked.get() + 1);
            Ok::<_, ()>(asked.get())
        };
        assert_eq!(*shared.get("key", ask()).await.unwrap(), 1);
        shared.forget(&"key");
        assert_eq!(*shared.get("key", ask()).await.unwrap(), 2);
        tokio::time::advance(FRESH).await;
        assert_eq!(*shared.get("key", ask()).await.unwrap(), 3);
    }

    /// Twenty workloads, ten of which Terraform starts at once.
    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_failure_gets_it_and_whoever_comes_soon_after() {
        let (shared, asked) = (Shared::<_, (), _>::new(), Cell::new(0));
        let ask = || async {
            asked.set(asked.get() + 1);
            tokio::time::sleep(Duration::from_mins(1)).await;
            Err::<(), _>(asked.get())
        };
        let begin = Instant::now();
        for _ in 0..2 {
            let waiters = (0..10).map(|_| shared.get("key", ask()));
            let answers = futures::future::join_all(waiters).await;
            assert!(answers.into_iter().all(|answer| answer == Err(1)));
        }
        assert_eq!(begin.elapsed(), Duration::from_mins(1));
        tokio::time::advance(LONGEST).await;
        assert_eq!(shared.get("key", ask()).await, Err(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_came_at_once_is_not_kept() {
        let shared = Shared::new();
        assert_eq!(
            shared.get("key", async { Err::<u8, _>("no") }).await,
            Err("no")
        );
        assert_eq!(
            shared.get("key", async { Ok::<_, &str>(7) }).await,
            Ok(Arc::new(7))
        );
    }
}
