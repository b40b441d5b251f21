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

mod apply;
mod bearer;
mod body;
mod call;
mod connect;
mod edit;
mod error;
mod facts;
mod files;
#[cfg(test)]
mod hostile;
mod kubeconfig;
mod networks;
mod observe;
mod plugin;
mod proxy;
mod refusal;
mod send;
mod settings;
mod shared;
mod token;
mod version;
mod wait;

pub use apply::{Applied, Deletion, Force, being_deleted};
pub use call::{Call, Resource, Verb};
pub use connect::Cluster;
pub use edit::Edited;
pub use error::{Cause, ClusterError, FieldCause, FieldConflict, SettingProblem};
pub use kubeconfig::check;
pub use settings::{Environment, Exec, IstioSettings, Settings};
pub use token::Token;
