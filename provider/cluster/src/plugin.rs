//! A program that prints credentials: what it is given, and what it says.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use kube::config::ExecConfig;
use mesh::bounded;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::ClusterError;

/// How long credentials may take to come: a plugin may have to call its cloud's API.
const PATIENCE: Duration = Duration::from_mins(1);
const MIB: usize = 1 << 20;
/// Bytes that a plugin may print, on each of its streams.
const LONGEST: usize = MIB;
/// Bytes that this may take once it is parsed.
const MOST: usize = 8 * MIB;

/// What a plugin gives.
pub(crate) struct Credential {
    pub(crate) token: Option<SecretString>,
    /// A certificate and its key, as PEM.
    pub(crate) certificate: Option<(String, SecretString)>,
    /// When they end, if they do.
    pub(crate) until: Option<Timestamp>,
}

/// Runs a plugin. It is stopped where it prints or takes too much.
pub(crate) async fn run(exec: &ExecConfig) -> Result<Credential, ClusterError> {
    let printed = timeout(PATIENCE, printed(exec));
    let printed = printed.await.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(format!("the exec plugin did not end within {seconds} s"))
    });
    let read = printed.and_then(|printed| {
        read(&printed).ok_or_else(|| "the exec plugin did not print an ExecCredential".into())
    });
    read.map_err(|reason| ClusterError::Credentials { reason })
}

async fn printed(exec: &ExecConfig) -> Result<Vec<u8>, String> {
    let name = exec.command.as_deref();
    let name = name.ok_or("the exec plugin has no command")?;
    let mut plugin = command(name, exec).spawn();
    let plugin = plugin.as_mut();
    let plugin =
        plugin.map_err(|error| format!("the exec plugin {name} cannot be run: {error}"))?;
    let (stdout, stderr) = (plugin.stdout.take(), plugin.stderr.take());
    let (stdout, stderr) = tokio::try_join!(
        of_stream(name, "stdout", stdout),
        of_stream(name, "stderr", stderr)
    )?;
    let status = plugin.wait().await;
    let status = status.map_err(|error| format!("the exec plugin {name} was lost: {error}"))?;
    ended(status, &stderr).map(|()| stdout)
}

fn command(name: &str, exec: &ExecConfig) -> Command {
    let spec = json!({ "interactive": false, "cluster": exec.cluster });
    let info = json!({ "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec });
    let variables = exec.env.iter().flatten();
    let variables = variables.filter_map(|of| Some((of.get("name")?, of.get("value")?)));
    let mut command = Command::new(name);
    command
        .args(exec.args.iter().flatten())
        .envs(variables)
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in exec.drop_env.iter().flatten() {
        command.env_remove(name);
    }
    command
}

async fn of_stream(
    name: &str,
    stream: &str,
    from: Option<impl AsyncRead + Unpin>,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let mut from = from.take(LONGEST as u64 + 1);
        let read = from.read_to_end(&mut bytes).await;
        read.map_err(|error| format!("the exec plugin {name} was lost: {error}"))?;
    }
    if bytes.len() > LONGEST {
        return Err(format!(
            "the exec plugin {name} printed more than {} MiB on {stream} and was stopped; see by hand what it prints",
            LONGEST / MIB
        ));
    }
    Ok(bytes)
}

/// Says how a plugin failed, without what it printed on stdout or was given in its environment: both may hold a
/// token.
fn ended(status: ExitStatus, stderr: &[u8]) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().rev();
    let last = lines.find(|line| !line.trim().is_empty());
    let last: String = last.unwrap_or("no message").chars().take(300).collect();
    Err(format!("the exec plugin ended with {status}: {last}"))
}

/// Reads an `ExecCredential`, which is JSON or, from some plugins, YAML.
fn read(printed: &[u8]) -> Option<Credential> {
    let answer = bounded::json(printed, MOST).or_else(|_| bounded::yaml(printed));
    let status = answer.ok()?["status"].take();
    let text = |name: &str| status[name].as_str().map(str::to_owned);
    let until = match &status["expirationTimestamp"] {
        Value::Null => None,
        at => Some(at.as_str()?.parse().ok()?),
    };
    let certificate = text("clientCertificateData");
    let certificate = certificate.zip(text("clientKeyData").map(SecretString::from));
    let token = text("token").map(SecretString::from);
    (token.is_some() || certificate.is_some()).then_some(Credential {
        token,
        certificate,
        until,
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_credential_is_read_from_json_and_from_yaml() {
        let json = br#"{"status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}"#;
        let yaml = b"kind: ExecCredential\nstatus:\n  token: t\n  expirationTimestamp: \"2030-01-01T00:00:00Z\"\n";
        for printed in [json.as_slice(), yaml] {
            let read = read(printed).unwrap();
            assert_eq!(read.token.unwrap().expose_secret(), "t");
            assert_eq!(read.until.unwrap().to_string(), "2030-01-01T00:00:00Z");
        }
        let pair = br#"{"status":{"clientCertificateData":"c","clientKeyData":"k"}}"#;
        assert!(read(pair).unwrap().certificate.is_some());
        for none in [
            "",
            "{}",
            r#"{"status":{}}"#,
            r#"{"status":{"token":"t","expirationTimestamp":"soon"}}"#,
        ] {
            assert!(read(none.as_bytes()).is_none(), "{none}");
        }
    }
}
