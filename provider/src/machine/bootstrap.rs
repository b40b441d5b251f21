//! The bootstrap of a VM: the run, its result after a lost connection, and its verdict.

use std::time::Duration;

use cluster::Cluster;
use jiff::Timestamp;
use mesh::desired::Bundle;
use plugin::Diagnostics;
use secrecy::SecretString;
use tokio::time::Instant;
use vm::program::{self, Patience, Payload, Report, RunId};
use vm::{Session, VmError, Wait};

use super::{Failure, IDLE, Machine, VmAfterFailure};
use crate::messages::report::{self, busy, foreign, halfway, lost, reverted, unexpected};
use crate::messages::{self, Code, Message};
use crate::token;

/// How long the VM's answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Istio's shortest token that outlives a slow installation.
const TOKEN: Duration = Duration::from_hours(1);

/// What a VM runs on after a bootstrap.
pub(crate) struct Bootstrapped {
    pub(crate) machine_id: String,
    pub(crate) version: Option<String>,
    /// The VM's sudo records what is sent to it.
    pub(crate) recorded: bool,
    /// An address of the VM whose traffic no rule intercepts.
    pub(crate) bypass: Option<String>,
    /// Ports of the VM whose traffic something else forwards before the rules apply.
    pub(crate) published: Option<String>,
    /// Ports of the proxy that the VM's own firewall keeps pods from, each with the rule.
    pub(crate) blocked: Vec<String>,
    /// What the VM reports in an invalid form.
    pub(crate) invalid: Vec<&'static str>,
}

impl Bootstrapped {
    /// Returns what the user should know about the VM.
    pub(crate) fn warnings(&self) -> Diagnostics {
        let recorded = self.recorded.then(report::recorded);
        let bypassed = self.bypass.as_deref().map(report::bypassed);
        let published = self.published.as_deref().map(report::published);
        let blocked = (!self.blocked.is_empty()).then(|| report::blocked(&self.blocked));
        let invalid = (!self.invalid.is_empty()).then(|| report::invalid(&self.invalid));
        let all = [recorded, bypassed, published, blocked, invalid];
        all.into_iter().flatten().collect()
    }
}

impl Machine<'_> {
    /// Bootstraps the VM with these files, over the connection that is open.
    pub(crate) async fn bootstrap(
        &mut self,
        cluster: &Cluster,
        bundle: &Bundle,
        deadline: Instant,
    ) -> Result<Bootstrapped, Failure> {
        let session = self.session(Wait::Until(deadline.into_std())).await;
        let session = session.map_err(|error| messages::vm(&error))?;
        let bootstrap = Bootstrap {
            machine: self,
            cluster,
            bundle,
            deadline,
        };
        bootstrap.run(session).await
    }
}

/// One bootstrap.
struct Bootstrap<'a> {
    machine: &'a Machine<'a>,
    cluster: &'a Cluster,
    bundle: &'a Bundle,
    deadline: Instant,
}

impl Bootstrap<'_> {
    /// Bootstraps the VM over the session, which ends with it.
    async fn run(&self, session: Session) -> Result<Bootstrapped, Failure> {
        let run = RunId::generate();
        let patience = Patience {
            // The run that holds the lock must be reported within the time that is left.
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

    /// Sends the payload. If the connection is lost, it connects again and asks for the result.
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
                        diagnostics: messages::vm(&error).into(),
                    });
                }
            };
            tracing::warn!(error = %lost, run = %payload.run(), "the connection was lost; asking for the result");
            let result = program::result(payload.run().clone());
            outcome = match self
                .machine
                .open(Wait::Until(self.deadline.into_std()))
                .await
            {
                Ok(session) => self.ask(session, &result, payload).await,
                Err(error) => {
                    return Err(Failure {
                        vm: VmAfterFailure::Unknown,
                        diagnostics: messages::vm(&error).into(),
                    });
                }
            };
        }
    }

    /// Asks for the result of a run. A run that the VM has not begun is sent again.
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

    /// Creates the token. The VM requests it when everything else is ready.
    async fn token(&self) -> Result<SecretString, cluster::ClusterError> {
        let ttl = TOKEN.max(self.left());
        // The VM must still be waiting for it.
        let waits = Patience::default().token.saturating_sub(ANSWER);
        let until = self.deadline.min(Instant::now() + waits);
        let minted = token::mint(self.cluster, &self.bundle.identity, ttl, until).await;
        minted.map(|token| token.secret)
    }

    /// Confirms over a new connection that the rules lock nobody out. Without it, the VM reverts.
    async fn confirm(&self, run: &RunId) -> Result<Bootstrapped, Failure> {
        tracing::info!(%run, "confirming over a new connection that SSH still works with the new rules");
        let until = self
            .deadline
            .min(Instant::now() + Patience::default().verdict);
        match self.machine.open(Wait::Until(until.into_std())).await {
            Ok(session) => match self.carry(session, &program::commit(run.clone())).await? {
                // The connection was lost before the VM read it.
                Report::AwaitsVerdict(run) if Instant::now() < until => {
                    Box::pin(self.confirm(&run)).await
                }
                report => ended(report),
            },
            Err(error) => {
                let text = "A new SSH connection failed after traffic was redirected to the proxy, so the VM removes \
                            its rules itself. If sshd listens on an unusual port, add it to \
                            proxy.exclude_inbound_ports.";
                let locked_out = Message::new(Code::VmLockedOut).text(text).error();
                let mut diagnostics = Diagnostics::from(locked_out);
                diagnostics.push(messages::vm(&error));
                Err(Failure {
                    vm: VmAfterFailure::Reverted,
                    diagnostics,
                })
            }
        }
    }

    /// Reports to the VM that there is no token, and waits until it has undone what it did so far.
    async fn without_token(&self, run: &RunId, error: &VmError) -> Failure {
        let diagnostics = messages::vm(error).into();
        let wait = Wait::Briefly(self.deadline.into_std());
        let Ok(session) = self.machine.open(wait).await else {
            return Failure {
                vm: VmAfterFailure::Unknown,
                diagnostics,
            };
        };
        let vm = match self.send(session, &program::revert(run.clone())).await {
            Ok(Report::Reverted { .. }) => VmAfterFailure::Reverted,
            Ok(Report::Untouched { .. } | Report::Lost) => VmAfterFailure::Untouched,
            _ => VmAfterFailure::Unknown,
        };
        Failure { vm, diagnostics }
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

fn left_by(error: &VmError) -> VmAfterFailure {
    let begun = matches!(
        error,
        VmError::Remote { begun: true, .. } | VmError::Excess { .. }
    );
    if is_lost(error) || begun {
        VmAfterFailure::Unknown
    } else {
        VmAfterFailure::Untouched
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
            blocked,
            strange,
            ..
        } => {
            return Ok(Bootstrapped {
                machine_id,
                version,
                recorded,
                bypass,
                published,
                blocked,
                invalid: strange,
            });
        }
        Report::Untouched { step, hop, lines } => (
            VmAfterFailure::Untouched,
            reverted(&step, hop.as_deref(), &lines),
        ),
        Report::Reverted { step, hop, lines } => (
            VmAfterFailure::Reverted,
            reverted(&step, hop.as_deref(), &lines),
        ),
        Report::Foreign(owner) => (VmAfterFailure::Untouched, foreign(&owner)),
        Report::Busy { run, verb } => (VmAfterFailure::Occupied, busy(&run, &verb)),
        Report::Lost => (VmAfterFailure::Untouched, lost()),
        Report::Halfway { step, lines } => (VmAfterFailure::Unknown, halfway(&step, &lines)),
        other => (VmAfterFailure::Unknown, unexpected(&other)),
    };
    Err(Failure {
        vm,
        diagnostics: error.into(),
    })
}
