//! User and port of each hop: what the Terraform configuration says, else the user's ssh configuration, else the defaults.

use std::path::Path;

use super::arguments::ignored;
use super::configuration::{setting, settings};
use super::lifeline::private_dir;
use super::{Credentials, Hop, SSH_PORT, Target};
use crate::VmError;

/// User of a VM that nothing names.
const DEFAULT_USER: &str = "root";
/// A user that nobody has: OpenSSH prints it where the file names none.
const NOBODY: &str = "mesh-vm-no-user";

/// Returns the target with the user and the port of each hop. A bastion's user is the VM's, if nothing names another.
pub(super) async fn complete(
    target: &Target,
    credentials: &Credentials,
) -> Result<Target, VmError> {
    let vm = completed(&target.vm, credentials, DEFAULT_USER).await?;
    let user = vm.user.clone().unwrap_or_default();
    let mut bastions = Vec::new();
    for hop in &target.bastions {
        bastions.push(completed(hop, credentials, &user).await?);
    }
    Ok(Target {
        vm,
        bastions,
        connect_timeout: target.connect_timeout,
    })
}

async fn completed(hop: &Hop, credentials: &Credentials, user: &str) -> Result<Hop, VmError> {
    let said = match &credentials.config_file {
        Some(file) if hop.user.is_none() || hop.port.is_none() => said(hop, file).await?,
        _ => Said::default(),
    };
    let mut hop = hop.clone();
    hop.user = hop.user.or(said.user).or_else(|| Some(user.to_owned()));
    hop.port = hop.port.or(said.port).or(Some(SSH_PORT));
    Ok(hop)
}

/// What a configuration file says of a host.
#[derive(Default)]
struct Said {
    user: Option<String>,
    port: Option<u16>,
}

/// Asks OpenSSH. It always prints a user and a port: the local user's name and 22 if the file sets none. The first value of
/// an option counts, so a copy of the file that ends in a placeholder user shows whether the file sets one.
async fn said(hop: &Hop, file: &Path) -> Result<Said, VmError> {
    // A file that cannot be read is reported by the connection, in OpenSSH's words.
    let Ok(mut text) = tokio::fs::read(file).await else {
        return Ok(Said::default());
    };
    text.extend(format!("\nHost *\n User {NOBODY}\n").into_bytes());
    let dir = private_dir()?;
    let copy = dir.path().join("config");
    let written = tokio::fs::write(&copy, text).await;
    written.map_err(|source| VmError::Local {
        doing: "copy the ssh configuration",
        source,
    })?;
    let settings = settings(&arguments(hop, file, &copy)).await;
    let settings = settings.map_err(|error| of_original(error, &copy, file))?;
    let user = setting(&settings, "user").filter(|user| *user != NOBODY);
    Ok(Said {
        user: user.map(ToOwned::to_owned),
        port: setting(&settings, "port").and_then(|port| port.parse().ok()),
    })
}

/// What is set counts for `Match` in the file, and so do the options by which the connection reads it.
fn arguments(hop: &Hop, file: &Path, copy: &Path) -> Vec<String> {
    let mut args = vec!["-F".to_owned(), copy.display().to_string()];
    for option in [ignored(Some(file)), "CanonicalizeHostname=no".into()] {
        args.extend(["-o".into(), option]);
    }
    args.extend(hop.user.iter().flat_map(|user| ["-l".into(), user.clone()]));
    let port = hop.port.iter();
    args.extend(port.flat_map(|port| ["-p".into(), port.to_string()]));
    args.extend(["--".into(), hop.host.clone()]);
    args
}

fn of_original(error: VmError, copy: &Path, file: &Path) -> VmError {
    let (copy, file) = (copy.display().to_string(), file.display().to_string());
    match error {
        VmError::Configuration { cause } => VmError::Configuration {
            cause: cause.replace(&copy, &file),
        },
        other => other,
    }
}
