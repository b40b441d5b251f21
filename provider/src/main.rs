//! Terraform provider that makes virtual machines members of an Istio mesh.

mod bundle;
mod context;
mod declared;
mod fleet;
mod home;
mod identity;
mod imported;
mod lint;
mod machine;
mod messages;
mod network_path;
mod objects;
mod provider;
mod provider_config;
mod reservations;
mod rule;
mod run;
mod token;
mod traffic;
mod turns;
mod workload;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The provider's source in a registry.
const ADDRESS: &str = "registry.terraform.io/vm-mesh/mesh";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((verb, [])) if verb == "program" => return program(),
        Some((verb, files)) if verb == "lint" => {
            let outcome = lint::lint(files, &mut io::stdout(), &mut io::stderr());
            return ExitCode::from(outcome as u8);
        }
        _ => {}
    }
    tfplugin::serve(provider::Mesh, ADDRESS)
}

/// Prints the program that runs on the VMs, for an operator's audit.
fn program() -> ExitCode {
    match io::stdout().write_all(vm::program::TEXT.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
