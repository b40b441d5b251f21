//! The VM side: the remote program and the SSH sessions that carry it.
//!
//! [`program`] is pure: it makes payloads and reads answers. [`ssh`] does the input and output and
//! decides nothing.

pub mod error;
pub mod program;
pub mod ssh;

pub use error::{KeyError, VmError};
pub use ssh::{
    AgentUse, Bastions, Credentials, Hop, HostKey, Identity, Session, Target, Trust, Wait,
};
