//! Sessions against real sshds on loopback, as whoever runs the tests.

mod bastions;
mod bed;
mod identities;
mod life;
mod runs;
mod trust;
