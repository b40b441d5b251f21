//! SSH sessions: OpenSSH's own client on a master connection of ours.
//!
//! ```text
//! Credentials ── Identity ──> Agent (ssh-agent, ends after login) ─┐
//! Target ── Trust (known_hosts of ours per hop) ───────────────────┼─> Master (ssh -M) ─> Session::run
//!        └─ bastions ──> Bastions: one shared Master per hop ──────┘     dies with us
//! ```
//!
//! **Invariant**: a host's key is verified on every hop before anything secret is offered, private
//! keys live in memory only, and no process of ours outlives us.

mod agent;
mod arguments;
mod bastions;
mod call;
mod configuration;
mod identity;
mod lifeline;
mod logins;
mod master;
mod names;
mod patience;
mod refusal;
mod sealed;
mod session;
mod trust;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use bastions::Bastions;
pub use identity::Identity;
pub use session::Session;
pub use trust::{HostKey, Trust};

/// Where a VM is: coordinates only, no secret; may be kept in state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The VM's own sshd.
    pub vm: Hop,
    /// What lies before it, in the order of passing.
    pub bastions: Vec<Hop>,
    /// How long one hop may take for TCP and for the key exchange, each.
    pub connect_timeout: Duration,
}

/// One sshd between us and the VM, or that of the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// DNS name or IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port; `None`: what the ssh configuration says, else 22.
    pub port: Option<u16>,
    /// The user there; `None`: what the ssh configuration says, else root for the VM, and the VM's user for a bastion.
    pub user: Option<String>,
    /// How the host proves that it is the right one.
    pub trust: Trust,
}

/// Port of sshd, if nothing names another.
const SSH_PORT: u16 = 22;

impl Hop {
    /// Returns the port that is used.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(SSH_PORT)
    }

    /// Returns host and port, for an error.
    pub(crate) fn address(&self) -> String {
        format!("{} port {}", self.host, self.port())
    }

    /// Returns user, host and port, for an error.
    pub(crate) fn login(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@"));
        format!("{}{}", user.unwrap_or_default(), self.address())
    }
}

/// What we prove ourselves with, on every hop. Never in state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// A key given by the user; goes before the user's agent.
    pub identity: Option<Identity>,
    /// Whether the user's running agent may be used.
    pub agent: AgentUse,
    /// An ssh configuration file to obey. Without it none is read, except with [`Trust::UserConfig`].
    pub config_file: Option<PathBuf>,
}

/// Whether the user's running agent may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentUse {
    /// No.
    #[default]
    Never,
    /// The one at `SSH_AUTH_SOCK`, if no identity is given.
    User,
}

/// How long to go on trying to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nobody expects the VM to boot: only an attempt that was closed, reset or timed out before the login is
    /// repeated, twice at most and until then.
    Briefly(Instant),
    /// A VM may still be booting: attempts that were refused, timed out or hung up on are repeated
    /// until then; a refused login for a minute only. A wrong host key is never tried again.
    Until(Instant),
}
