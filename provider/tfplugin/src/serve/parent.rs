//! The process that started the plugin. A Terraform that is killed cannot ask its plugins to stop.

use std::time::Duration;

/// How often the parent is checked. No event reports its end on every Unix.
const PERIOD: Duration = Duration::from_secs(1);

/// The parent of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent(u32);

impl Parent {
    /// Returns the parent that the process has now.
    pub(super) fn now() -> Self {
        Self(id())
    }

    /// Waits until the process has another parent: the kernel gives the child of a process that ended to another one.
    pub(super) async fn ended(self) {
        let mut checks = tokio::time::interval(PERIOD);
        while id() == self.0 {
            checks.tick().await;
        }
    }
}

#[cfg(unix)]
fn id() -> u32 {
    std::os::unix::process::parent_id()
}

/// Elsewhere a process keeps its parent.
#[cfg(not(unix))]
fn id() -> u32 {
    0
}
