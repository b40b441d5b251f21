//! One authenticated connection to one sshd: `ssh -M`, through which all channels go.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::agent::Agent;
use super::lifeline::{Lifeline, private_dir};
use super::refusal::refusal;
use super::{AgentUse, Credentials, Hop, Trust};
use crate::VmError;

/// A connection that is open and logged in. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Master {
    lifeline: Mutex<Lifeline>,
    socket: PathBuf,
    user: Option<String>,
    /// The bastion's connection, which this one goes through, lives as long.
    _via: Option<Arc<Master>>,
}

/// What a login needs besides the hop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) agent: Option<&'a Agent>,
    pub(super) connect_timeout: Duration,
}

impl Master {
    /// Connects to `hop`, verifies it and logs in.
    pub(super) async fn open(
        hop: &Hop,
        login: Login<'_>,
        via: Option<Arc<Self>>,
    ) -> Result<Self, VmError> {
        let dir = private_dir()?;
        let socket = dir.path().join("master");
        if let Some(known) = hop.trust.known_hosts() {
            let write = tokio::fs::write(dir.path().join(KNOWN_HOSTS), known).await;
            write.map_err(|source| VmError::Local {
                doing: "write known_hosts",
                source,
            })?;
        }
        let args = arguments(hop, login, via.as_deref(), dir.path());
        let mut lifeline = Lifeline::spawn("ssh", args, dir)?;
        let log = Log::follow(lifeline.take_stderr());
        // TCP and the key exchange are limited by ssh itself; this also limits the login.
        let limit = login.connect_timeout * 3 + Duration::from_secs(2);
        match tokio::time::timeout(limit, lifeline.answers(&socket)).await {
            Ok(true) => {}
            Ok(false) => return Err(refusal(hop, &log.ended().await)),
            Err(_) => return Err(timed_out(hop, limit)),
        }
        let user = super::refusal::user(&log.lines()).or_else(|| hop.user.clone());
        Ok(Self {
            lifeline: Mutex::new(lifeline),
            socket,
            user,
            _via: via,
        })
    }

    /// Returns the socket that further channels are asked for at.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the name that was logged in with.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.lifeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_alive()
    }

    /// Ends the connection and waits until it is gone.
    pub(super) async fn close(self) {
        self.lifeline
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .close()
            .await;
    }
}

const KNOWN_HOSTS: &str = "known_hosts";

/// Whatever a configuration file says, these hold: nothing asks, nothing is forwarded, nothing is
/// started here or there, and nothing is written to the user's files.
const ALWAYS: [&str; 18] = [
    "ForkAfterAuthentication=no",
    "LogLevel=DEBUG1",
    "BatchMode=yes",
    "ControlPersist=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "CanonicalizeHostname=no",
    "UpdateHostKeys=no",
    "AddKeysToAgent=no",
    "ConnectionAttempts=1",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "EscapeChar=none",
];

/// Nor does a configuration file make a host another way to prove itself than the one that was asked for.
const PROVEN_BY_US: [&str; 3] = [
    "GlobalKnownHostsFile=/dev/null",
    "VerifyHostKeyDNS=no",
    "KnownHostsCommand=none",
];
/// Options of ours that clients before OpenSSH 8.5 and 8.7 do not know.
const RECENT: &str = "KnownHostsCommand,ForkAfterAuthentication";

/// OpenSSH goes by the first value that it meets, which is ours: what the user's file ignores, e.g. `UseKeychain`, is
/// ignored here, too.
fn ignored(config: Option<&Path>) -> String {
    let text = config.and_then(|path| fs::read_to_string(path).ok());
    let own = text
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            let (option, patterns) = line.trim().split_once([' ', '\t', '='])?;
            let patterns = patterns.trim_matches([' ', '\t', '=', '"']);
            option
                .eq_ignore_ascii_case("IgnoreUnknown")
                .then_some(patterns)
        });
    let all: Vec<&str> = std::iter::once(RECENT).chain(own).collect();
    format!("IgnoreUnknown={}", all.join(","))
}

fn arguments(hop: &Hop, login: Login<'_>, via: Option<&Master>, dir: &Path) -> Vec<String> {
    let mut args = configuration(hop, login.credentials);
    args.extend(["-M", "-N", "-S"].map(String::from));
    args.push(dir.join("master").display().to_string());
    let mut options = vec![ignored(login.credentials.config_file.as_deref())];
    options.extend(ALWAYS.map(String::from));
    options.push(format!(
        "ConnectTimeout={}",
        login.connect_timeout.as_secs().max(1)
    ));
    options.extend(hop.trust.options());
    if hop.trust != Trust::UserConfig {
        options.extend(PROVEN_BY_US.map(String::from));
        options.push(format!(
            "UserKnownHostsFile={}",
            dir.join(KNOWN_HOSTS).display()
        ));
    }
    options.extend(identity(hop, login));
    options.extend(via.map(proxy_command));
    args.extend(options.into_iter().flat_map(|option| ["-o".into(), option]));
    args.extend(["-p".into(), hop.port.to_string()]);
    args.extend(hop.user.iter().flat_map(|user| ["-l".into(), user.clone()]));
    args.extend(["--".into(), hop.host.clone()]);
    args
}

fn reads_configuration(hop: &Hop, credentials: &Credentials) -> bool {
    credentials.config_file.is_some() || hop.trust == Trust::UserConfig
}

fn configuration(hop: &Hop, credentials: &Credentials) -> Vec<String> {
    match &credentials.config_file {
        Some(file) => vec!["-F".into(), file.display().to_string()],
        None if reads_configuration(hop, credentials) => Vec::new(),
        None => vec!["-F".into(), "none".into()],
    }
}

fn identity(hop: &Hop, login: Login<'_>) -> Vec<String> {
    let mut options = login.agent.map(Agent::options).unwrap_or_default();
    if login.agent.is_none() {
        let agent = if login.credentials.agent == AgentUse::User {
            "SSH_AUTH_SOCK"
        } else {
            "none"
        };
        options.push(format!("IdentityAgent={agent}"));
    }
    if !reads_configuration(hop, login.credentials) {
        options.push("PreferredAuthentications=publickey".into());
        // Keys in ~/.ssh are used only where the user's configuration is.
        options.extend(login.agent.is_none().then(|| "IdentityFile=none".into()));
    }
    options
}

/// Goes through a bastion's connection. Should that be gone, `ProxyCommand=false` keeps ssh from
/// dialling anything itself. The path is ours and plain; ssh fills in host and port.
fn proxy_command(via: &Master) -> String {
    let socket = via.socket.display();
    format!(
        "ProxyCommand=ssh -F none -S {socket} -o BatchMode=yes -o ProxyCommand=false -W '[%h]:%p' bastion"
    )
}

fn timed_out(hop: &Hop, limit: Duration) -> VmError {
    VmError::Connect {
        host: hop.host.clone(),
        port: hop.port,
        cause: format!("no login within {} seconds", limit.as_secs()),
    }
}

/// What ssh says on standard error, the last lines of it. Read to the end, so that ssh never
/// blocks on it.
struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    reading: JoinHandle<()>,
}

/// More than a login at level DEBUG1 has, so that its beginning is still there.
const LOG_LINES: usize = 500;

impl Log {
    fn follow(stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let reading = tokio::spawn(read_log(stderr, Arc::clone(&lines)));
        Self { lines, reading }
    }

    fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    async fn ended(self) -> Vec<String> {
        let lines = Arc::clone(&self.lines);
        // ssh has ended; only a child of the user's own ProxyCommand could keep the pipe open.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.reading).await;
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

async fn read_log(stderr: Option<ChildStderr>, lines: Arc<Mutex<VecDeque<String>>>) {
    let Some(stderr) = stderr else { return };
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while stderr
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        tracing::trace!(target: "ssh", "{text}");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}
