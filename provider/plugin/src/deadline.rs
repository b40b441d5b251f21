//! Until when work may go on.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The deadline of work. The time of a pause does not count.
#[derive(Debug)]
pub struct Deadline {
    /// `None` during a pause.
    until: watch::Sender<Option<Instant>>,
}

impl Deadline {
    pub(crate) fn new(until: Instant) -> Self {
        Self {
            until: watch::Sender::new(Some(until)),
        }
    }

    /// Returns when the work should end by itself. During a pause, that is now.
    pub fn at(&self) -> Instant {
        self.until.borrow().unwrap_or_else(Instant::now)
    }

    /// Waits for something that others are busy with. Afterwards, as much time is left as before.
    pub async fn paused<T>(&self, wait: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let until = self.until.send_replace(None);
        let done = wait.await;
        let later = until.map(|until| until + since.elapsed());
        self.until.send_replace(later);
        done
    }

    /// Waits until the deadline has passed for that long.
    pub(crate) async fn passed(&self, grace: Duration) {
        let mut seen = self.until.subscribe();
        loop {
            let until = *seen.borrow_and_update();
            let passes = async {
                match until {
                    Some(until) => sleep_until(until + grace).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passes => return,
                // It cannot fail: the sender is `self`.
                _ = seen.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_any_length_does_not_count() {
        let begin = Instant::now();
        let minute = Duration::from_mins(1);
        let deadline = Deadline::new(begin + minute);
        let work = async {
            tokio::time::sleep(minute / 2).await;
            let wait = tokio::time::sleep(Duration::from_hours(9));
            deadline.paused(wait).await;
            assert_eq!(deadline.at(), Instant::now() + minute / 2);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            () = deadline.passed(GRACE) => {}
        }
        assert_eq!(begin.elapsed(), Duration::from_hours(9) + minute + GRACE);
    }
}
