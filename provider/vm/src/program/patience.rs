//! How long the program waits.

use std::time::Duration;

use super::protocol::Input;

/// How long a writing run waits for others; whole seconds are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For another run on the same VM to end.
    pub lock: Duration,
    /// For the machine's first boot to end, where cloud-init still works on it.
    pub boot: Duration,
    /// For a package or an image to arrive.
    pub fetch: Duration,
    /// For the token, once the program wants it.
    pub token: Duration,
    /// For open requests to end, before the proxy stops.
    pub drain: Duration,
    /// For the proxy to become ready.
    pub ready: Duration,
    /// For [`commit`], where rules are new.
    pub verdict: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            lock: seconds(120),
            boot: seconds(300),
            fetch: seconds(900),
            token: seconds(120),
            // As long as Kubernetes gives a pod.
            drain: seconds(30),
            ready: seconds(60),
            verdict: seconds(60),
        }
    }
}

impl Patience {
    /// Returns each wait with its key of input.
    pub(super) const fn waits(self) -> [(Input, Duration); 7] {
        [
            (Input::WaitLock, self.lock),
            (Input::WaitBoot, self.boot),
            (Input::WaitFetch, self.fetch),
            (Input::WaitToken, self.token),
            (Input::WaitDrain, self.drain),
            (Input::WaitReady, self.ready),
            (Input::WaitVerdict, self.verdict),
        ]
    }
}
