//! Sessions against real sshds on loopback, as whoever runs the tests.

#![expect(
    clippy::unwrap_used,
    reason = "what a test stands on fails it by a panic"
)]

mod agents;
mod bastions;
mod bed;
mod identities;
mod life;
mod logins;
mod refusals;
mod runs;
mod trust;
mod weakened;
