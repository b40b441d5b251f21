//! Terraform provider that makes virtual machines members of an Istio mesh.

mod block;
mod context;
mod diagnose;
mod provider;
mod ssh;
mod workload;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    tfplugin::serve(provider::Mesh)
}
