//! OpenSSH's own agent, holding one key for as long as a login takes.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Identity;
use super::lifeline::{Lifeline, private_dir};
use crate::{KeyError, VmError};

/// How long the agent and its tool may take; they do not use the network.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent with the identity's key. The key goes there through a pipe: it is in no file,
/// argument or environment.
#[derive(Debug)]
pub(super) struct Agent {
    lifeline: Lifeline,
    certificate: bool,
}

impl Agent {
    pub(super) async fn start(identity: &Identity) -> Result<Self, VmError> {
        let dir = private_dir()?;
        let socket = dir.path().join(SOCKET);
        let args = ["-D".as_ref(), "-a".as_ref(), socket.as_os_str()];
        let lifeline = Lifeline::spawn("ssh-agent", args, dir)?;
        let mut agent = Self {
            lifeline,
            certificate: identity.certificate().is_some(),
        };
        let ready = tokio::time::timeout(PATIENCE, agent.lifeline.answers(&socket)).await;
        if ready != Ok(true) {
            return Err(local("start ssh-agent")(
                std::io::ErrorKind::TimedOut.into(),
            ));
        }
        agent.add(identity.key()).await?;
        agent
            .write(PUBLIC, &agent.tool("-L", None).await?.stdout)
            .await?;
        if let Some(certificate) = identity.certificate() {
            agent.write(CERTIFICATE, certificate.as_bytes()).await?;
        }
        Ok(agent)
    }

    /// Returns ssh's options: this key, by this agent, and no other.
    pub(super) fn options(&self) -> Vec<String> {
        let mut options = vec![
            "IdentitiesOnly=yes".into(),
            format!("IdentityAgent={}", self.path(SOCKET).display()),
            format!("IdentityFile={}", self.path(PUBLIC).display()),
        ];
        if self.certificate {
            options.push(format!(
                "CertificateFile={}",
                self.path(CERTIFICATE).display()
            ));
        }
        options
    }

    async fn add(&self, key: &SecretString) -> Result<(), VmError> {
        let output = self.tool("-", Some(key)).await?;
        if output.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(KeyError::Refused(words.lines().last().unwrap_or("no reason given").into()).into())
    }

    async fn tool(&self, arg: &str, input: Option<&SecretString>) -> Result<Output, VmError> {
        let mut child = Command::new("ssh-add")
            .arg(arg)
            .env("LC_ALL", "C")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("SSH_AUTH_SOCK", self.path(SOCKET))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| VmError::OpenSsh {
                program: "ssh-add",
                source,
            })?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A tool that hangs up early says why itself.
            let _ = stdin.write_all(input.expose_secret().as_bytes()).await;
        }
        let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        ended
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(local("ask ssh-add"))
    }

    async fn write(&self, name: &str, content: &[u8]) -> Result<(), VmError> {
        tokio::fs::write(self.path(name), content)
            .await
            .map_err(local("write the public half of the SSH key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.lifeline.dir(), name)
    }
}

const SOCKET: &str = "agent";
const PUBLIC: &str = "identity.pub";
const CERTIFICATE: &str = "identity-cert.pub";

fn local(doing: &'static str) -> impl FnOnce(std::io::Error) -> VmError {
    move |source| VmError::Local { doing, source }
}
