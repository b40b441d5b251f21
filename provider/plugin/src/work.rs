//! Work of a resource under its limit: it ends by itself, is stopped, runs out of time or crashes.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Bounds, Deadline, Diagnostic, Diagnostics, Fault, GoDuration};

/// How long after its deadline work is dropped: the time to end with an error of its own, which says more.
const GRACE: Duration = Duration::from_secs(5);

/// The bounds of one piece of work.
pub(crate) struct Work {
    name: &'static str,
    limit: Duration,
    /// When it should have ended by itself.
    pub(crate) deadline: Deadline,
    stop: CancellationToken,
}

impl Work {
    /// Returns work that starts now.
    pub(crate) fn new(name: &'static str, bounds: Bounds) -> Self {
        Self {
            name,
            limit: bounds.limit,
            deadline: Deadline::new(Instant::now() + bounds.limit),
            stop: bounds.stop,
        }
    }
}

/// Runs work to its end, or drops it.
///
/// **Invariant**: what the work has written through its borrows stays written.
pub(crate) async fn within<T>(
    work: &Work,
    future: impl Future<Output = Result<T, Diagnostics>>,
) -> Result<T, Diagnostics> {
    tokio::select! {
        biased;
        () = work.stop.cancelled() => Err(stopped(work.name).into()),
        done = AssertUnwindSafe(future).catch_unwind() => done.unwrap_or_else(|panic| Err(crashed(&*panic).into())),
        () = work.deadline.passed(GRACE) => Err(too_slow(work).into()),
    }
}

/// Returns the diagnostic for a panic in the provider.
pub fn crashed(panic: &(dyn Any + Send)) -> Diagnostic {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let detail = format!(
        "A fault in the provider ended this operation: {}. The state has what was reached before. Report it with the \
         log of the provider at the level TRACE.",
        text.unwrap_or("no message")
    );
    Diagnostic::fault(Fault::Crashed, detail)
}

fn stopped(name: &str) -> Diagnostic {
    let detail = format!(
        "The {name} was stopped before it ended. The state has what was reached; apply again to go on."
    );
    Diagnostic::fault(Fault::Interrupted, detail)
}

fn too_slow(work: &Work) -> Diagnostic {
    let detail = format!(
        "The {} did not end within {}. The state has what was reached; apply again to go on, or raise `timeouts`.",
        work.name,
        GoDuration(work.limit)
    );
    Diagnostic::fault(Fault::Timeout, detail)
}
