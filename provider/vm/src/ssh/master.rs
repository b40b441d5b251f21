//! One authenticated connection to one sshd: `ssh -M`, through which all channels go.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::Hop;
use super::arguments::{KNOWN_HOSTS, Login, arguments};
use super::lifeline::{Lifeline, private_dir};
use super::names::check_names;
use super::refusal::{NO_LOGIN, refusal};
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
        let args = arguments(hop, login, via.as_deref().map(Self::socket), dir.path());
        check_names(hop, login.credentials, &args).await?;
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

    /// Returns the socket that opens further channels.
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

fn timed_out(hop: &Hop, limit: Duration) -> VmError {
    VmError::Connect {
        host: hop.login(),
        cause: format!("{NO_LOGIN} {} seconds", limit.as_secs()),
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
/// Bytes of a line: a host may send a banner of any length.
const LOG_LINE: u64 = 4096;
/// Bytes of all of them.
const LOG: usize = 256 << 10;

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
    let mut size = 0;
    // What is longer comes in pieces.
    while (&mut stderr)
        .take(LOG_LINE)
        .read_until(b'\n', &mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        tracing::trace!(target: "ssh", "{text}");
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        size += text.len();
        lines.push_back(text);
        while lines.len() > LOG_LINES || size > LOG {
            size -= lines.pop_front().map_or(size, |gone| gone.len());
        }
    }
}
