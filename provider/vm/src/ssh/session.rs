//! A session on a VM: connect, then one exec per call of the remote program.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::timeout_at;

use super::agent::Agent;
use super::arguments::Login;
use super::call::{Call, Ended, Exec, Status};
use super::logins::complete;
use super::master::Master;
use super::patience::Patience;
use super::{Bastions, Credentials, Hop, Target, Wait};
use crate::VmError;
use crate::program::{Event, Payload, Privilege, Report, command, command_at_hand, token_line};

/// An open connection to a VM. Several calls may run on it, also at once. Dropping it ends it.
#[derive(Debug)]
pub struct Session {
    ssh: openssh::Session,
    master: Arc<Master>,
    vm: Hop,
    /// Whether sudo was found to want a terminal.
    terminal: AtomicBool,
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
        hops(target).try_for_each(check)?;
        let target = &complete(target, credentials).await?;
        // What the user's file says comes to the same command line.
        hops(target).try_for_each(check)?;
        tracing::info!(to = %shown(target), "connecting over SSH");
        let agent = match &credentials.identity {
            Some(identity) => Some(Agent::start(identity).await?),
            None => None,
        };
        let login = Login {
            credentials,
            agent: agent.as_ref(),
            connect_timeout: target.connect_timeout,
        };
        let (Wait::Briefly(end) | Wait::Until(end)) = wait;
        let mut patience = Patience::new(wait);
        let mut last = None;
        loop {
            let tried = timeout_at(end.into(), attempt(target, login, bastions)).await;
            let Ok(tried) = tried else {
                return Err(last.unwrap_or_else(|| out_of_time(&target.vm)));
            };
            match tried {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(patience.pause(error).await?),
            }
        }
    }

    /// Runs one call of the remote program in one exec and returns its answer.
    ///
    /// `mint` is called at most once, when the program wants the token. If the VM sends nothing for
    /// `idle` the error is [`VmError::Silent`], if the connection breaks [`VmError::Dropped`]: a
    /// writing run then continues alone, and its result can be requested on a new connection.
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
        let mut mint = Some(mint);
        if let Some(command) = command_at_hand(self.privilege(), payload) {
            let exec = Exec {
                command,
                stdin: vec![],
                run: payload.run(),
            };
            match self.call(exec, &mut mint, idle).await {
                // The run's program is gone, or sudo allows the usual command only.
                Err(VmError::Remote { begun: false, .. } | VmError::NoSudo { .. }) => {}
                done => return done,
            }
        }
        match self.send(payload, &mut mint, idle).await {
            Err(VmError::NoSudo { line, .. }) if wants_terminal(&line) && self.gives_terminal() => {
                self.send(payload, &mut mint, idle).await
            }
            done => done,
        }
    }

    async fn send<M, F, E>(
        &self,
        payload: &Payload,
        mint: &mut Option<M>,
        idle: Duration,
    ) -> Result<Report, VmError>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<SecretString, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let exec = Exec {
            command: command(self.privilege()),
            stdin: payload.stdin(),
            run: payload.run(),
        };
        self.call(exec, mint, idle).await
    }

    async fn call<M, F, E>(
        &self,
        exec: Exec<'_>,
        mint: &mut Option<M>,
        idle: Duration,
    ) -> Result<Report, VmError>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<SecretString, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let call = Call::start(&self.ssh, exec).await;
        let mut call = call.ok_or_else(|| self.dropped())?;
        loop {
            let heard = tokio::time::timeout(idle, call.hear()).await;
            match heard.map_err(|_| self.silent(idle))? {
                Some(Event::Finished(report)) => return Ok(report),
                Some(Event::WantsToken) => {
                    let Some(mint) = mint.take() else {
                        let end = Ended {
                            status: Status::Cut,
                            begun: true,
                            lines: vec!["it wanted the token twice".into()],
                        };
                        return Err(self.remote(None, end));
                    };
                    let token = mint().await.map_err(|error| VmError::Token(error.into()))?;
                    call.say(token_line(&token)).await;
                }
                Some(Event::Excessive) => {
                    let host = self.vm.login();
                    return Err(VmError::Excess { host });
                }
                Some(Event::Malformed(_)) | None => {
                    return Err(self.failed(call.ended(idle).await).await);
                }
                Some(Event::Begun | Event::Ignored | Event::Heartbeat | Event::Step(_)) => {}
            }
        }
    }

    /// Ends the connection and waits until it is gone; bastions stay open for others.
    pub async fn close(self) {
        if let Some(master) = Arc::into_inner(self.master) {
            master.close().await;
        }
    }

    /// Whether the connection is still open, as far as this side knows, without a message to the VM.
    pub fn is_alive(&self) -> bool {
        self.master.is_alive()
    }

    /// A broken connection first looks like a program that was killed: its channel closes without a
    /// status. Waits a second for ssh to end.
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
        } else if self.terminal.load(Ordering::Relaxed) {
            Privilege::SudoWithTerminal
        } else {
            Privilege::Sudo
        }
    }

    /// Calls sudo with a terminal from now on; returns whether that is new.
    fn gives_terminal(&self) -> bool {
        !self.terminal.swap(true, Ordering::Relaxed)
    }

    async fn failed(&self, end: Ended) -> VmError {
        let status = match end.status {
            Status::Exited(status) => status,
            Status::Vanished if self.outlives_a_channel().await => None,
            Status::Vanished | Status::Cut => return self.dropped(),
        };
        let sudo = end.lines.iter().rev().find(|line| line.contains("sudo"));
        match sudo {
            Some(line) if !end.begun && self.privilege() != Privilege::Root => VmError::NoSudo {
                host: self.vm.address(),
                user: self.master.user().unwrap_or_default().into(),
                line: line.clone(),
            },
            _ => self.remote(status, end),
        }
    }

    fn silent(&self, idle: Duration) -> VmError {
        let host = self.vm.login();
        VmError::Silent { host, idle }
    }

    fn remote(&self, status: Option<i32>, end: Ended) -> VmError {
        VmError::Remote {
            host: self.vm.login(),
            status,
            begun: end.begun,
            lines: end.lines,
        }
    }

    fn dropped(&self) -> VmError {
        VmError::Dropped {
            host: self.vm.login(),
        }
    }
}

fn hops(target: &Target) -> impl Iterator<Item = &Hop> {
    target.bastions.iter().chain([&target.vm])
}

/// Returns the hops as the log shows them.
fn shown(target: &Target) -> String {
    let hops: Vec<String> = hops(target).map(Hop::login).collect();
    hops.join(", then ")
}

/// The caller has work left, so the wait ends in time.
fn out_of_time(vm: &Hop) -> VmError {
    VmError::Connect {
        host: vm.login(),
        cause: "no login before the time was over".into(),
    }
}

async fn attempt(
    target: &Target,
    login: Login<'_>,
    bastions: &Bastions,
) -> Result<Session, VmError> {
    let via = bastions.pass(&target.bastions, login).await?;
    let master = Arc::new(bastions.reach(&target.vm, login, via).await?);
    let ssh = openssh::Session::resume_mux(master.socket().into(), None);
    Ok(Session {
        ssh,
        master,
        vm: target.vm.clone(),
        terminal: AtomicBool::new(false),
    })
}

/// `sudo: sorry, you must have a tty to run sudo`
fn wants_terminal(line: &str) -> bool {
    line.contains("must have a tty")
}

/// Refuses what ssh or a shell in between could read as anything but a name.
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
