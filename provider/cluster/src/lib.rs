//! The cluster side: facts, mesh objects, tokens.
//!
//! ```text
//! Settings -> connect -> Cluster ─┬ facts    what render needs
//!                                 ├ others   what conflicts needs
//!                                 ├ observe  what compare needs
//!                                 ├ apply, delete
//!                                 ├ mint     the token, last
//!                                 └ connected: istiod itself reports the proxy
//! ```
//!
//! **Invariant**: nothing is decided here, and nothing absent is inferred: an object is absent
//! only if a GET for it says `NotFound`.

mod access;
mod apply;
mod arrival;
mod body;
mod call;
mod connect;
mod credentials;
mod delete;
mod edit;
mod environment;
mod error;
mod facts;
mod files;
mod forbidden;
mod forward;
#[cfg(test)]
mod hostile;
mod identity;
mod kubeconfig;
mod lease;
mod lock;
mod networks;
mod observe;
mod origin;
mod permission;
mod plugin;
mod proxy;
mod refusal;
mod retry;
mod revision;
mod send;
mod settings;
mod shared;
mod silence;
mod token;
mod transport;
mod trust;
mod version;
mod wait;

pub use apply::{Applied, Force, being_deleted};
pub use call::{Call, Resource, Verb};
pub use connect::Cluster;
pub use delete::Deletion;
pub use edit::Edited;
pub use environment::Environment;
pub use error::{Cause, ClusterError, FieldCause, FieldConflict, RootCause, SettingProblem};
pub use kubeconfig::check;
pub use lock::Lock;
pub use retry::retry;
pub use settings::{Exec, IstioSettings, Settings};
pub use silence::Silence;
pub use token::Token;
