//! Whether a failed attempt to connect is repeated, and when.

use std::time::{Duration, Instant};

use super::Wait;
use super::refusal::is_passing;
use crate::VmError;

/// Decides whether a failed attempt is repeated. Nothing of ours was sent to the VM by then.
pub(super) struct Patience {
    wait: Wait,
    pause: Duration,
    /// How many attempts failed.
    failed: u32,
    /// The end of repeating refused logins, once there was one.
    login: Option<Instant>,
}

/// A fresh VM accepts its user seconds after it accepts connections; a wrong key stays wrong.
const LOGIN_PATIENCE: Duration = Duration::from_mins(1);
/// Six refused logins a minute stay below what usual guards against guessing count as an attack.
const LOGIN_PAUSE: Duration = Duration::from_secs(12);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Attempts on a VM that is not expected to boot: sshd refuses connections while many log in.
const BRIEF_ATTEMPTS: u32 = 3;

impl Patience {
    pub(super) fn new(wait: Wait) -> Self {
        let pause = match wait {
            Wait::Briefly(_) => Duration::from_secs(1),
            Wait::Until(_) => Duration::from_millis(200),
        };
        Self {
            wait,
            pause,
            failed: 0,
            login: None,
        }
    }

    /// Waits for the next attempt and gives the error back, as an error if there is none.
    pub(super) async fn pause(&mut self, error: VmError) -> Result<VmError, VmError> {
        self.failed += 1;
        let now = Instant::now();
        let (pause, end) = match (self.wait, error.root()) {
            (Wait::Briefly(end), root) if self.failed < BRIEF_ATTEMPTS && is_passing(root) => {
                (self.pause, end)
            }
            (Wait::Until(end), VmError::Connect { .. }) => (self.pause, end),
            (Wait::Until(end), VmError::Auth { .. }) => (
                LOGIN_PAUSE,
                end.min(*self.login.get_or_insert(now + LOGIN_PATIENCE)),
            ),
            _ => return Err(error),
        };
        if now + pause >= end {
            return Err(error);
        }
        tracing::debug!(%error, "connecting again in {pause:?}");
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(error)
    }
}
