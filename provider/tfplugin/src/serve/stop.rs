//! `StopProvider` as cancellation of the calls that run.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Stops running calls, and lets later calls run.
///
/// Terraform sends `StopProvider` on Ctrl-C and goes on using the process afterwards: for calls
/// that save state, close ephemeral resources, and for the shutdown itself.
///
/// Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Mutex<CancellationToken>>);

impl Stop {
    /// Returns the token of a call that starts now: cancelled by the next [`Stop::stop`].
    pub(crate) fn token(&self) -> CancellationToken {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Cancels the token of every call that has started before.
    pub(crate) fn stop(&self) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *current).cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_running_calls_and_not_later_ones() {
        let stop = Stop::default();
        let running = stop.token();
        stop.clone().stop();
        let later = stop.token();
        assert!(running.is_cancelled());
        assert!(!later.is_cancelled());
    }
}
