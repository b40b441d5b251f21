//! Faults that pass by themselves: which they are, how long to pause, and repeating what one prevented.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::ClusterError;

/// The first pause between two attempts.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest pause that the server does not request.
const LONGEST: Duration = Duration::from_secs(8);
/// What an attempt that begins at the deadline has. Whoever set the deadline drops the work a little later.
const LAST: Duration = Duration::from_secs(3);

/// Pauses between attempts: each twice as long as the one before, up to a limit, and never shorter than the server
/// requests.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(SHORTEST)
    }

    /// Returns the next pause. `requested` is the server's wait; it may be zero.
    pub(crate) fn next(&mut self, requested: Duration) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause.max(requested)
    }
}

/// Returns whether a request with this HTTP status may succeed later, unchanged.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 410 | 429) || status >= 500
}

/// Returns the wait that an answer requests; `None` if there is nothing to wait for. An overloaded server that names no
/// wait leaves it to us.
pub(crate) fn requested_wait(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let header = headers.get(http::header::RETRY_AFTER);
    let wait = header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| retry_after(text.trim(), Timestamp::now()));
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(wait.unwrap_or_default()),
        status if status.is_server_error() => wait,
        _ => None,
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?;
    let wait = date.timestamp().duration_since(now);
    // A date in the past requests no wait.
    Some(wait.try_into().unwrap_or_default())
}

impl ClusterError {
    /// Returns whether the fault passes by itself, so that the same request may succeed later.
    ///
    /// A conflict of field owners stays until one of them gives up the field.
    pub fn passes(&self) -> bool {
        match self {
            // A plugin asks a service of its own, which may fail for a moment as well.
            Self::Unreachable { .. } | Self::Busy { .. } | Self::Plugin { .. } => true,
            Self::Server { status, .. } | Self::Excess { status, .. } => is_passing(*status),
            _ => false,
        }
    }

    /// Returns how long the server wants us to wait.
    pub(crate) fn requested_wait(&self) -> Duration {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => Duration::ZERO,
        }
    }
}

/// Repeats an attempt until the deadline for each fault that passes. Every other error is returned at once, and at the
/// deadline the last one.
///
/// A first attempt after the deadline is made all the same.
pub async fn retry<T, F>(
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, ClusterError>>,
{
    let mut backoff = Backoff::new();
    let mut done = attempt().await;
    loop {
        match done {
            Err(error) if error.passes() && Instant::now() < deadline => {
                let pause = backoff.next(error.requested_wait());
                let left = deadline.saturating_duration_since(Instant::now());
                sleep_until(Instant::now() + pause.min(left)).await;
                let again = timeout_at(deadline + LAST, attempt()).await;
                done = again.unwrap_or(Err(error));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
