//! What OpenSSH makes of its configuration, by its own word (`ssh -G`).

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::VmError;

/// How long OpenSSH may read its configuration, `Match exec` included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the settings that `ssh` would use with these arguments, one a line, the names in lower case.
pub(super) async fn settings(args: &[String]) -> Result<String, VmError> {
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

/// Returns the value of a setting.
pub(super) fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    settings
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}
