//! Terraform provider that makes virtual machines members of an Istio mesh.

mod bundle;
mod context;
mod declared;
mod fleet;
mod home;
mod identity;
mod machine;
mod messages;
mod network_path;
mod objects;
mod provider;
mod provider_config;
mod reservations;
mod rule;
mod run;
mod traffic;
mod workload;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;

/// The provider's source in a registry.
const ADDRESS: &str = "registry.terraform.io/vm-mesh/mesh";

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["program"]) {
        return program();
    }
    tfplugin::serve(provider::Mesh, ADDRESS)
}

/// Prints the program that runs on the VMs, for an operator's audit.
fn program() -> ExitCode {
    match std::io::stdout().write_all(vm::program::TEXT.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
