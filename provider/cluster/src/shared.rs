//! One response for all callers that need it at about the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How old a shared answer may be.
const FRESH: Duration = Duration::from_secs(2);

type Slot<T> = Arc<tokio::sync::Mutex<Option<(Instant, Arc<T>)>>>;

/// Responses by key. A caller that arrives during a request waits for its response. A failure goes to the caller that
/// sent the request, and the next caller sends another one.
pub(crate) struct Shared<K, T> {
    slots: Mutex<BTreeMap<K, Slot<T>>>,
}

impl<K: Ord, T> Shared<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns the response for `key`: a recent one, or that of `request`.
    pub(crate) async fn get<E>(
        &self,
        key: K,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let slot = Arc::clone(self.lock().entry(key).or_default());
        let mut held = slot.lock().await;
        if let Some((since, answer)) = &*held
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(answer));
        }
        // The age counts from before the request: the server may have read at its begin.
        let since = Instant::now();
        let answer = Arc::new(request.await?);
        *held = Some((since, Arc::clone(&answer)));
        Ok(answer)
    }

    /// Forgets the response for `key`. A pending one reaches only the callers that already wait for it.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<K, Slot<T>>> {
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

    #[tokio::test]
    async fn a_failure_is_not_kept() {
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
