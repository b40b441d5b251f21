//! One answer for all who ask at about the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How old a shared answer may be.
const FRESH: Duration = Duration::from_secs(2);

type Slot<T> = Arc<tokio::sync::Mutex<Option<(Instant, Arc<T>)>>>;

/// Answers by key. Who asks while an answer is on its way waits for that one; a failure is told
/// to the one who caused it and the next one asks again.
pub(crate) struct Shared<K, T> {
    slots: Mutex<BTreeMap<K, Slot<T>>>,
}

impl<K: Ord, T> Shared<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(BTreeMap::new()),
        }
    }

    /// Returns the answer for `key`: a fresh one, or that of `ask`.
    pub(crate) async fn get<E>(
        &self,
        key: K,
        ask: impl Future<Output = Result<T, E>>,
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
        let answer = Arc::new(ask.await?);
        *held = Some((since, Arc::clone(&answer)));
        Ok(answer)
    }

    /// Forgets the answer for `key`; one on its way reaches only those who wait for it already.
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
    async fn an_old_or_forgotten_answer_is_asked_for_again() {
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
