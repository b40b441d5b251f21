//! One bootstrap of a VM: the run, its result after a lost connection, its verdict.

use std::time::Duration;

use cluster::Cluster;
use jiff::Timestamp;
use mesh::desired::Bundle;
use plugin::Diagnostics;
use secrecy::SecretString;
use tokio::time::Instant;
use vm::program::{self, Patience, Payload, Report, RunId};
use vm::{Session, VmError, Wait};

use crate::context::Context;
use crate::declared::ssh::VmAddress;
use crate::messages::report::{busy, foreign, halfway, lost, reverted, unexpected};
use crate::messages::{self, Code, Message};

/// The program is heard from each second: after this silence the connection counts as lost.
pub(super) const IDLE: Duration = Duration::from_secs(15);

/// How long the VM's answer may take to come.
const ANSWER: Duration = Duration::from_secs(10);

/// Istio's shortest token that outlives a slow installation.
const TOKEN: Duration = Duration::from_hours(1);

/// What a VM runs on after a bootstrap.
pub(super) struct Bootstrapped {
    pub(super) machine_id: String,
    pub(super) version: Option<String>,
    /// The VM's sudo keeps what is sent to it.
    pub(super) recorded: bool,
    /// An address of the VM whose traffic no rule intercepts.
    pub(super) bypass: Option<String>,
    /// Ports of the VM whose traffic something else takes first.
    pub(super) published: Option<String>,
    /// What the VM says in a form that it cannot have.
    pub(super) strange: Vec<&'static str>,
}

/// Why a VM does not run on the bundle.
pub(super) struct Failure {
    pub(super) vm: Left,
    pub(super) error: Diagnostics,
}

/// How a failed bootstrap left the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing was changed.
    Untouched,
    /// We changed nothing, since another run is at it.
    Occupied,
    /// It was changed, and changed back.
    Reverted,
    /// It is not known.
    Unknown,
}

/// A VM and what is needed to make it a member.
pub(super) struct Bootstrap<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: &'a Cluster,
    pub(super) way: &'a VmAddress,
    pub(super) bundle: &'a Bundle,
    pub(super) deadline: Instant,
}

impl Bootstrap<'_> {
    /// Bootstraps the VM over the session, which ends with it.
    pub(super) async fn run(&self, session: Session) -> Result<Bootstrapped, Failure> {
        let run = RunId::generate();
        let patience = Patience {
            // Who is there must be told within the time that is left.
            lock: self
                .left()
                .saturating_sub(ANSWER)
                .min(Patience::default().lock),
            fetch: (self.left() / 2).min(Patience::default().fetch),
            boot: (self.left() / 2).min(Patience::default().boot),
            ..Patience::default()
        };
        tracing::info!(%run, "bootstrapping the VM");
        let payload = program::bootstrap(self.bundle, run, patience, Timestamp::now());
        match self.carry(session, &payload).await? {
            Report::AwaitsVerdict(run) => self.confirm(&run).await,
            report => ended(report),
        }
    }

    /// Sends the payload; goes on by asking for its result where the connection was lost.
    async fn carry(&self, session: Session, payload: &Payload) -> Result<Report, Failure> {
        let mut outcome = self.send(session, payload).await;
        loop {
            let lost = match outcome {
                Ok(report) => return Ok(report),
                Err(error) if is_lost(&error) && !self.left().is_zero() => error,
                Err(error @ VmError::Token(_)) => {
                    return Err(self.without_token(payload.run(), &error).await);
                }
                Err(error) => {
                    return Err(Failure {
                        vm: left_by(&error),
                        error: messages::vm(&error).into(),
                    });
                }
            };
            tracing::warn!(error = %lost, run = %payload.run(), "the connection was lost; asking for the result");
            let result = program::result(payload.run().clone());
            outcome = match self
                .way
                .connect(self.context, Wait::Until(self.deadline.into_std()))
                .await
            {
                Ok(session) => self.ask(session, &result, payload).await,
                Err(error) => {
                    return Err(Failure {
                        vm: Left::Unknown,
                        error: messages::vm(&error).into(),
                    });
                }
            };
        }
    }

    /// Asks for the result of a run; one that the VM has not begun is sent again.
    async fn ask(
        &self,
        session: Session,
        result: &Payload,
        payload: &Payload,
    ) -> Result<Report, VmError> {
        match session.run(result, || self.token(), IDLE).await {
            Ok(Report::Lost) => self.send(session, payload).await,
            report => {
                session.close().await;
                report
            }
        }
    }

    async fn send(&self, session: Session, payload: &Payload) -> Result<Report, VmError> {
        let report = session.run(payload, || self.token(), IDLE).await;
        session.close().await;
        report
    }

    /// Mints the token: asked for by the VM when all else is ready.
    async fn token(&self) -> Result<SecretString, cluster::ClusterError> {
        let ttl = TOKEN.max(self.left());
        self.cluster
            .mint(&self.bundle.identity, ttl)
            .await
            .map(|token| token.secret)
    }

    /// Confirms over a new connection that the rules lock nobody out; without that the VM reverts.
    async fn confirm(&self, run: &RunId) -> Result<Bootstrapped, Failure> {
        tracing::info!(%run, "confirming over a new connection that SSH still works with the new rules");
        let until = self
            .deadline
            .min(Instant::now() + Patience::default().verdict);
        match self
            .way
            .connect(self.context, Wait::Until(until.into_std()))
            .await
        {
            Ok(session) => match self.carry(session, &program::commit(run.clone())).await? {
                // The connection was lost before the VM had read it.
                Report::AwaitsVerdict(run) if Instant::now() < until => {
                    Box::pin(self.confirm(&run)).await
                }
                report => ended(report),
            },
            Err(error) => {
                let text = "A new SSH connection failed after traffic was redirected to the proxy, so the VM removes \
                            its rules itself. If sshd listens on an unusual port, add it to \
                            proxy.exclude_inbound_ports.";
                let mut told =
                    Diagnostics::from(Message::new(Code::VmLockedOut).text(text).error());
                told.push(messages::vm(&error));
                Err(Failure {
                    vm: Left::Reverted,
                    error: told,
                })
            }
        }
    }

    /// Tells the VM that no token comes, and waits until it has taken back what it did so far.
    async fn without_token(&self, run: &RunId, error: &VmError) -> Failure {
        let error = messages::vm(error).into();
        let wait = Wait::Briefly(self.deadline.into_std());
        let Ok(session) = self.way.connect(self.context, wait).await else {
            return Failure {
                vm: Left::Unknown,
                error,
            };
        };
        let vm = match self.send(session, &program::revert(run.clone())).await {
            Ok(Report::Reverted { .. }) => Left::Reverted,
            Ok(Report::Untouched { .. } | Report::Lost) => Left::Untouched,
            _ => Left::Unknown,
        };
        Failure { vm, error }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn is_lost(error: &VmError) -> bool {
    matches!(
        error,
        VmError::Silent { .. } | VmError::Dropped { .. } | VmError::Remote { status: None, .. }
    )
}

fn left_by(error: &VmError) -> Left {
    let begun = matches!(
        error,
        VmError::Remote { begun: true, .. } | VmError::Excess { .. }
    );
    if is_lost(error) || begun {
        Left::Unknown
    } else {
        Left::Untouched
    }
}

fn ended(report: Report) -> Result<Bootstrapped, Failure> {
    let (vm, error) = match report {
        Report::Committed {
            version,
            machine_id,
            recorded,
            bypass,
            published,
            strange,
            ..
        } => {
            return Ok(Bootstrapped {
                machine_id,
                version,
                recorded,
                bypass,
                published,
                strange,
            });
        }
        Report::Untouched { step, hop, lines } => {
            (Left::Untouched, reverted(&step, hop.as_deref(), &lines))
        }
        Report::Reverted { step, hop, lines } => {
            (Left::Reverted, reverted(&step, hop.as_deref(), &lines))
        }
        Report::Foreign(owner) => (Left::Untouched, foreign(&owner)),
        Report::Busy { run, verb } => (Left::Occupied, busy(&run, &verb)),
        Report::Lost => (Left::Untouched, lost()),
        Report::Halfway { step, lines } => (Left::Unknown, halfway(&step, &lines)),
        other => (Left::Unknown, unexpected(&other)),
    };
    Err(Failure {
        vm,
        error: error.into(),
    })
}
