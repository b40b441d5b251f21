//! A program that prints credentials: what it is given, and what it says.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::ExecConfig;
use mesh::bounded;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::select;
use tokio::time::timeout;

use crate::error::ClusterError;
use crate::origin::Origin;

/// How long credentials may take to come: a plugin may have to call its cloud's API.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long output is read after a plugin has ended. What it printed is in the pipes by then.
const DRAIN: Duration = Duration::from_millis(500);
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

/// What a plugin has printed so far.
#[derive(Default)]
struct Printed {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs a plugin. It is stopped where it prints or takes too much.
///
/// # Errors
/// [`ClusterError::NoPlugin`], and [`ClusterError::Plugin`] without what it printed on stdout or was given in its environment: both may hold a token.
pub(crate) async fn run(exec: &ExecConfig, origin: &Origin) -> Result<Credential, ClusterError> {
    let name = exec.command.as_deref().unwrap_or_default();
    let mut printed = Printed::default();
    let plugin = match command(name, exec).spawn() {
        Ok(plugin) => plugin,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ClusterError::NoPlugin {
                command: name.into(),
                origin: origin.to_string(),
                install_hint: exec.install_hint.clone(),
            });
        }
        Err(error) => return Err(failed(exec, origin, format!("cannot be run: {error}"), &[])),
    };
    let ended = timeout(PATIENCE, follow(plugin, &mut printed)).await;
    let ended = ended.unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(format!("did not end within {seconds} s and was stopped"))
    });
    let read = ended.and_then(|()| read(&printed.stdout));
    read.map_err(|reason| failed(exec, origin, reason, &printed.stderr))
}

/// Returns the error for a credential that cannot be used.
pub(crate) fn useless(exec: &ExecConfig, origin: &Origin, reason: &str) -> ClusterError {
    let reason = format!("printed a credential that cannot be used: {reason}");
    failed(exec, origin, reason, &[])
}

fn failed(exec: &ExecConfig, origin: &Origin, reason: String, stderr: &[u8]) -> ClusterError {
    let stderr = String::from_utf8_lossy(stderr);
    let lines = stderr.lines().filter(|line| !line.trim().is_empty());
    ClusterError::Plugin {
        command: exec.command.clone().unwrap_or_default(),
        origin: origin.to_string(),
        reason,
        printed: lines.map(str::to_owned).collect(),
    }
}

/// Reads what a plugin prints until it ends. A process that it leaves behind may hold its streams open for longer.
async fn follow(mut plugin: Child, printed: &mut Printed) -> Result<(), String> {
    let lost = |error: std::io::Error| format!("was lost: {error}");
    let (out, err) = (plugin.stdout.take(), plugin.stderr.take());
    let status = {
        let reading = async {
            tokio::try_join!(
                collect("stdout", out, &mut printed.stdout),
                collect("stderr", err, &mut printed.stderr)
            )
        };
        tokio::pin!(reading);
        select! {
            status = plugin.wait() => {
                if let Ok(read) = timeout(DRAIN, reading).await {
                    read?;
                }
                status
            }
            read = &mut reading => {
                read?;
                plugin.wait().await
            }
        }
    };
    let status = status.map_err(lost)?;
    if status.success() {
        return Ok(());
    }
    Err(format!("ended with {status}"))
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

async fn collect(
    stream: &str,
    from: Option<impl AsyncRead + Unpin>,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    if let Some(from) = from {
        let mut from = from.take(LONGEST as u64 + 1);
        let read = from.read_to_end(bytes).await;
        read.map_err(|error| format!("was lost: {error}"))?;
    }
    if bytes.len() > LONGEST {
        bytes.clear();
        return Err(format!(
            "printed more than {} MiB on {stream} and was stopped; see by hand what it prints",
            LONGEST / MIB
        ));
    }
    Ok(())
}

/// Reads an `ExecCredential`, which is JSON or, from some plugins, YAML.
///
/// # Errors
/// What it lacks, without a part of it.
fn read(printed: &[u8]) -> Result<Credential, String> {
    let answer = bounded::json(printed, MOST).or_else(|_| bounded::yaml(printed));
    let mut answer = answer.map_err(|_| {
        let length = printed.len();
        format!("printed {length} bytes on stdout that are no ExecCredential, neither as JSON nor as YAML")
    })?;
    let status = answer.get_mut("status").map(Value::take);
    let status = status.filter(Value::is_object);
    let status = status.ok_or("printed no ExecCredential: it has no status")?;
    let text = |name: &str| {
        let text = status[name].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let until = match &status["expirationTimestamp"] {
        Value::Null => None,
        at => {
            let at = at.as_str().and_then(|at| at.parse().ok());
            Some(at.ok_or("printed an expirationTimestamp that is no RFC 3339 time")?)
        }
    };
    let certificate = match (text("clientCertificateData"), text("clientKeyData")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, SecretString::from(key))),
        _ => {
            return Err(
                "printed a certificate without its key, or a key without its certificate".into(),
            );
        }
    };
    let token = text("token").map(SecretString::from);
    if token.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate".into());
    }
    Ok(Credential {
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
    }

    /// Some plugins start an agent that outlives them.
    #[tokio::test]
    async fn a_process_that_outlives_the_plugin_is_not_awaited() {
        let script = "sleep 1000 & echo $! >&2; echo '{\"status\":{\"token\":\"t\"}}'; exit \"$0\"";
        for status in ["0", "3"] {
            let exec = ExecConfig {
                command: Some("sh".into()),
                args: Some(["-c", script, status].map(str::to_owned).to_vec()),
                ..ExecConfig::default()
            };
            let mut printed = Printed::default();
            let plugin = command("sh", &exec).spawn().unwrap();
            let ended = timeout(PATIENCE, follow(plugin, &mut printed)).await;
            let left = String::from_utf8(printed.stderr).unwrap();
            let killed = std::process::Command::new("kill").arg(left.trim()).status();
            assert!(killed.unwrap().success(), "the process is gone");
            let ended = ended.expect("the plugin has ended long ago");
            assert_eq!(ended.is_ok(), status == "0", "{ended:?}");
            assert!(read(&printed.stdout).is_ok());
        }
    }

    #[test]
    fn what_is_no_credential_says_what_it_lacks_and_nothing_of_it() {
        for (printed, lacks) in [
            ("", "no status"),
            ("secret: {", "9 bytes"),
            ("{}", "no status"),
            (r#"{"status":"secret"}"#, "no status"),
            (r#"{"status":{}}"#, "neither a token nor a certificate"),
            (
                r#"{"status":{"token":""}}"#,
                "neither a token nor a certificate",
            ),
            (
                r#"{"status":{"token":"secret","expirationTimestamp":"soon"}}"#,
                "RFC 3339",
            ),
            (
                r#"{"status":{"token":"secret","clientKeyData":"secret"}}"#,
                "without its certificate",
            ),
        ] {
            let error = read(printed.as_bytes()).err().unwrap();
            assert!(
                error.contains(lacks) && !error.contains("secret"),
                "{printed}: {error}"
            );
        }
    }
}
