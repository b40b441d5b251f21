//! The test bed: a real control plane and real VMs on one Linux machine.
//!
//! Everything runs for real: etcd, kube-apiserver, istiod, systemd, sshd, iptables, Envoy. What is slow to
//! make is kept in `$XDG_CACHE_HOME/terraform-provider-mesh`.

mod api_server;
mod cache;
mod command;
mod error;
mod kubectl;
mod pki;
mod process;
mod progress;
mod servers;

pub use api_server::ApiServer;
pub use command::Output;
pub use error::{Error, Result};
pub use kubectl::Kubectl;
