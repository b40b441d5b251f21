//! A session on a VM: connect, then one exec per call of the remote program.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssh::{ChildStdin, Stdio};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::agent::Agent;
use super::master::{Login, Master};
use super::{Bastions, Credentials, Hop, Target, Wait};
use crate::VmError;
use crate::program::{Event, Payload, Privilege, Reader, Report, command, token_line};

/// An open connection to a VM. Several calls may run on it, also at once. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    ssh: openssh::Session,
    master: Arc<Master>,
    host: String,
}

impl Session {
    /// Connects through the bastions to the VM and logs in, which sends no secret to a host that is
    /// not trusted.
    pub async fn connect(
        target: &Target,
        credentials: &Credentials,
        bastions: &Bastions,
        wait: Wait,
    ) -> Result<Self, VmError> {
        target
            .bastions
            .iter()
            .chain([&target.vm])
            .try_for_each(check)?;
        let agent = match &credentials.identity {
            Some(identity) => Some(Agent::start(identity).await?),
            None => None,
        };
        let login = Login {
            credentials,
            agent: agent.as_ref(),
            connect_timeout: target.connect_timeout,
        };
        let mut patience = Patience::new(wait);
        loop {
            match attempt(target, login, bastions).await {
                Ok(session) => return Ok(session),
                Err(error) => patience.pause(error).await?,
            }
        }
    }

    /// Runs one call of the remote program in one exec and returns its answer.
    ///
    /// `mint` is called at most once, when the program asks for the token. If nothing is heard for
    /// `idle` the error is [`VmError::Silent`], if the connection breaks [`VmError::Dropped`]: a
    /// writing run then goes on alone, and its result can be asked for on a new connection.
    pub async fn run<M, F, E>(
        &self,
        payload: &Payload,
        mint: M,
        idle: Duration,
    ) -> Result<Report, VmError>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<SecretString, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut call = Call::start(self, payload).await?;
        let mut mint = Some(mint);
        loop {
            let Some(line) = tokio::time::timeout(idle, call.next_line())
                .await
                .map_err(|_| VmError::Silent {
                    host: self.host.clone(),
                    idle,
                })?
            else {
                return Err(call.ended(self, idle).await);
            };
            match call.reader.feed(&line) {
                Event::Finished(report) => return Ok(report),
                Event::Malformed(why) => return Err(self.remote(None, vec![why])),
                Event::WantsToken => {
                    let Some(mint) = mint.take() else {
                        return Err(self.remote(None, vec!["it asked for the token twice".into()]));
                    };
                    let token = mint().await.map_err(|error| VmError::Token(error.into()))?;
                    call.say(token_line(&token)).await;
                }
                Event::Begun => call.begun = true,
                Event::Ignored if !call.begun => call.noise.push(&line),
                Event::Ignored | Event::Heartbeat | Event::Step(_) => {}
            }
        }
    }

    /// Ends the connection and waits until it is gone; bastions stay open for others.
    pub async fn close(self) {
        if let Some(master) = Arc::into_inner(self.master) {
            master.close().await;
        }
    }

    /// Whether the connection still stands, as far as this side knows: without asking the VM.
    pub fn is_alive(&self) -> bool {
        self.master.is_alive()
    }

    /// A broken connection first looks like a program that was killed: its channel closes, without
    /// a status. Gives ssh a second to end.
    async fn outlives_a_channel(&self) -> bool {
        for _ in 0..20 {
            if !self.is_alive() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    fn privilege(&self) -> Privilege {
        if self.master.user() == Some("root") {
            Privilege::Root
        } else {
            Privilege::Sudo
        }
    }

    fn remote(&self, status: Option<i32>, lines: Vec<String>) -> VmError {
        VmError::Remote {
            host: self.host.clone(),
            status,
            lines,
        }
    }

    fn dropped(&self) -> VmError {
        VmError::Dropped {
            host: self.host.clone(),
        }
    }
}

async fn attempt(
    target: &Target,
    login: Login<'_>,
    bastions: &Bastions,
) -> Result<Session, VmError> {
    let via = bastions.pass(&target.bastions, login).await?;
    let master = Arc::new(Master::open(&target.vm, login, via).await?);
    let ssh = openssh::Session::resume_mux(master.socket().into(), None);
    Ok(Session {
        ssh,
        master,
        host: target.vm.host.clone(),
    })
}

/// Refuses what ssh or a shell in between could take for something else than a name.
fn check(hop: &Hop) -> Result<(), VmError> {
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || more.contains(sign))
    };
    let refuse = |what, found: &str, rule| {
        Err(VmError::Coordinate {
            what,
            found: found.into(),
            rule,
        })
    };
    if !plain(&hop.host, "._-:") {
        return refuse(
            "host",
            &hop.host,
            "give a DNS name or an IP address, without user, port or brackets",
        );
    }
    match &hop.user {
        Some(user) if !plain(user, "._-+@") => refuse(
            "user",
            user,
            "give letters, digits and any of . _ - + @, not beginning with -",
        ),
        _ => Ok(()),
    }
}

/// Decides whether a failed attempt is repeated.
struct Patience {
    wait: Wait,
    pause: Duration,
    /// The end of repeating refused logins, once there was one.
    login: Option<Instant>,
}

/// A fresh VM accepts its user seconds after it accepts connections; a wrong key stays wrong.
const LOGIN_PATIENCE: Duration = Duration::from_mins(1);
/// Six refused logins a minute stay below what usual guards against guessing count as an attack.
const LOGIN_PAUSE: Duration = Duration::from_secs(12);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Patience {
    fn new(wait: Wait) -> Self {
        Self {
            wait,
            pause: Duration::from_millis(200),
            login: None,
        }
    }

    /// Waits for the next attempt, or gives the error back.
    async fn pause(&mut self, error: VmError) -> Result<(), VmError> {
        let Wait::Until(end) = self.wait else {
            return Err(error);
        };
        let now = Instant::now();
        let (pause, end) = match error.root() {
            VmError::Connect { .. } => (self.pause, end),
            VmError::Auth { .. } => (
                LOGIN_PAUSE,
                end.min(*self.login.get_or_insert(now + LOGIN_PATIENCE)),
            ),
            _ => return Err(error),
        };
        if now + pause >= end {
            return Err(error);
        }
        tracing::debug!(%error, "connecting again in {pause:?}");
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// One running exec.
struct Call<'a> {
    child: openssh::Child<&'a openssh::Session>,
    stdout: BufReader<openssh::ChildStdout>,
    input: mpsc::Sender<SecretString>,
    /// Writes to standard input and reads standard error; ends with the call.
    tasks: JoinSet<Tail>,
    reader: Reader,
    begun: bool,
    noise: Tail,
}

impl<'a> Call<'a> {
    async fn start(session: &'a Session, payload: &Payload) -> Result<Self, VmError> {
        let mut exec = session.ssh.raw_command(command(session.privilege()));
        let exec = exec
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = exec.spawn().await.map_err(|error| {
            tracing::debug!(%error, "cannot open a channel");
            session.dropped()
        })?;
        let streams = (
            child.stdin().take(),
            child.stdout().take(),
            child.stderr().take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(session.dropped());
        };
        let (input, said) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, payload.stdin(), said));
        tasks.spawn(listen(BufReader::new(stderr)));
        let reader = Reader::new(payload.run());
        let stdout = BufReader::new(stdout);
        Ok(Self {
            child,
            stdout,
            input,
            tasks,
            reader,
            begun: false,
            noise: Tail::default(),
        })
    }

    async fn next_line(&mut self) -> Option<String> {
        next_line(&mut self.stdout).await
    }

    async fn say(&self, line: SecretString) {
        // If nobody reads any more, the end of standard output tells.
        let _ = self.input.send(line).await;
    }

    /// Returns the error for an exec that ended before its answer.
    async fn ended(mut self, session: &Session, idle: Duration) -> VmError {
        drop(self.input);
        let status = tokio::time::timeout(idle, self.child.wait()).await;
        let heard = async {
            while let Some(tail) = self.tasks.join_next().await {
                self.noise.0.extend(tail.unwrap_or_default().0);
            }
        };
        // Whoever the program left behind may hold standard error open.
        let _ = tokio::time::timeout(Duration::from_secs(1), heard).await;
        let lines = Vec::from(self.noise.0);
        match status {
            Ok(Ok(status)) => failed(session, status.code(), lines),
            Ok(Err(openssh::Error::Remote(_))) => failed(session, Some(127), lines),
            Ok(Err(openssh::Error::RemoteProcessTerminated))
                if session.outlives_a_channel().await =>
            {
                session.remote(None, lines)
            }
            _ => session.dropped(),
        }
    }
}

fn failed(session: &Session, status: Option<i32>, lines: Vec<String>) -> VmError {
    let sudo = lines.iter().rev().find(|line| line.contains("sudo"));
    match sudo {
        Some(line) if session.privilege() == Privilege::Sudo => VmError::NoSudo {
            host: session.host.clone(),
            user: session.master.user().unwrap_or_default().into(),
            line: line.clone(),
        },
        _ => session.remote(status, lines),
    }
}

/// Writes what is said until nobody has anything to say, then closes standard input.
async fn write(
    mut stdin: ChildStdin,
    first: Vec<u8>,
    mut said: mpsc::Receiver<SecretString>,
) -> Tail {
    let mut open = stdin.write_all(&first).await.is_ok();
    while let Some(line) = said.recv().await {
        open = open
            && stdin
                .write_all(line.expose_secret().as_bytes())
                .await
                .is_ok();
    }
    Tail::default()
}

async fn listen(mut stderr: impl AsyncBufRead + Unpin) -> Tail {
    let mut tail = Tail::default();
    while let Some(line) = next_line(&mut stderr).await {
        tail.push(&line);
    }
    tail
}

/// Returns the next line; one of more than 4 MiB comes in pieces, which no reader understands.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    let read = stream.take(4 << 20).read_until(b'\n', &mut line).await;
    read.is_ok_and(|read| read > 0).then(|| {
        String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned()
    })
}

/// The last lines of what was said besides the answer.
#[derive(Debug, Default)]
struct Tail(VecDeque<String>);

impl Tail {
    fn push(&mut self, line: &str) {
        if self.0.len() == 20 {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(300).collect());
    }
}
