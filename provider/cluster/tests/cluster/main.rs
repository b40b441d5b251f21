//! The crate against the real kube-apiserver, with faults put in between where one is needed.

mod bed;
mod faults;
mod knowledge;
mod objects;
mod rights;
