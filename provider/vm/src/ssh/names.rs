//! The name under which a host must prove itself is the one of the Terraform configuration.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Credentials, Hop, Trust};
use crate::VmError;

/// How long OpenSSH may read its configuration, `Match exec` included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Refuses a configuration file whose `HostKeyAlias` names the key, or the certificate, of another host.
///
/// No option of the command line unsets an alias, so OpenSSH prints which one it would use. A pinned key needs
/// no name, and [`Trust::UserConfig`] is the file's own word.
pub(super) async fn check_names(
    hop: &Hop,
    credentials: &Credentials,
    args: &[String],
) -> Result<(), VmError> {
    let by_name = matches!(
        hop.trust,
        Trust::KnownHosts(_) | Trust::CertificateAuthority(_)
    );
    let Some(file) = credentials.config_file.as_ref().filter(|_| by_name) else {
        return Ok(());
    };
    let settings = settings(args).await?;
    let alias = settings
        .lines()
        .find_map(|line| line.strip_prefix("hostkeyalias "));
    match alias {
        Some(alias) if !alias.eq_ignore_ascii_case(&hop.host) => Err(VmError::Configuration {
            cause: format!(
                "{} sets HostKeyAlias {alias} for {}, which would accept the key of another host; remove it for this host, \
                 or use that name as the host",
                file.display(),
                hop.host
            ),
        }),
        _ => Ok(()),
    }
}

/// Returns the settings that `ssh` would use with these arguments, one a line, the names in lower case.
async fn settings(args: &[String]) -> Result<String, VmError> {
    let ssh = Command::new("ssh")
        .arg("-G")
        .args(args)
        .env("LC_ALL", "C")
        .process_group(0)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, ssh).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => {
            return Err(VmError::OpenSsh {
                program: "ssh",
                source,
            });
        }
        Err(_) => {
            return Err(VmError::Configuration {
                cause: format!("it is not read within {} seconds", PATIENCE.as_secs()),
            });
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words
        .lines()
        .rfind(|line| !line.starts_with("debug") && !line.is_empty());
    Err(VmError::Configuration {
        cause: last.unwrap_or("no reason given").into(),
    })
}
