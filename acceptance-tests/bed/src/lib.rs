//! The test bed: a real control plane and real VMs on one Linux machine.
//!
//! Everything is real: etcd, kube-apiserver, istiod, systemd, sshd, iptables, Envoy. Artifacts that are slow to build
//! are cached in `$XDG_CACHE_HOME/terraform-provider-mesh`.

mod api_server;
mod bed;
mod cache;
mod cgroup;
mod cloud_init;
mod command;
mod disk;
mod engines;
mod error;
mod far;
mod firewalls;
mod foreign;
mod gateway;
mod go;
mod host;
mod image;
mod inside;
mod istioctl;
mod istiod;
mod kept;
mod kubectl;
mod layer;
mod layers;
mod machine;
mod network;
mod overlay;
mod package;
mod parallel;
mod pki;
mod place;
mod plan;
mod pod;
mod process;
mod progress;
mod request;
mod servers;
mod vm;

pub use api_server::ApiServer;
pub use bed::{Bed, Options};
pub use command::Output;
pub use error::{Error, Result};
pub use far::{Caller, Far};
pub use foreign::another_glibc;
pub use gateway::{FAR, Gateway, NEAR};
pub use inside::Answer;
pub use istioctl::Istioctl;
pub use istiod::{CANARY, CUSTOM_HOST};
pub use kubectl::Kubectl;
pub use machine::{HostKey, Machine};
pub use place::down;
pub use pod::Pod;
pub use vm::Vm;
