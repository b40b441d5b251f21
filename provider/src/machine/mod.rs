//! One face of a VM, whoever uses it: connect, check, observe, bootstrap, remove.
//!
//! **Invariant**: nothing of a workload's apply is needed here.

mod bootstrap;
mod removal;

use std::time::Duration;

use jiff::Timestamp;
use mesh::desired::Bundle;
use plugin::{Diagnostic, Diagnostics};
use secrecy::SecretString;
use vm::program::{self, Check, Payload, Report};
use vm::{Bastions, Session, VmError, Wait};

use crate::declared::vm_address::VmAddress;

pub(crate) use bootstrap::Bootstrapped;
pub(crate) use removal::left_behind;

/// The program reports each second: after this silence the connection counts as lost.
const IDLE: Duration = Duration::from_secs(15);

/// A VM that is reached over SSH.
pub(crate) struct Machine<'a> {
    address: VmAddress,
    bastions: &'a Bastions,
    /// The connection that the next call uses.
    session: Option<Session>,
}

/// Why something could not be done, and how that left the VM.
pub(crate) struct Failure {
    pub(crate) vm: VmAfterFailure,
    pub(crate) diagnostics: Diagnostics,
}

/// How a failure left a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VmAfterFailure {
    /// Nothing was changed.
    Untouched,
    /// Nothing was changed, because another run is working on it.
    Occupied,
    /// It was changed, and changed back.
    Reverted,
    /// It is not known.
    Unknown,
}

impl From<Diagnostics> for Failure {
    /// An error that does not come from the VM leaves it as it was.
    fn from(diagnostics: Diagnostics) -> Self {
        let vm = VmAfterFailure::Untouched;
        Self { vm, diagnostics }
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Diagnostics::from(diagnostic).into()
    }
}

impl<'a> Machine<'a> {
    /// Returns the VM at that address; nothing is connected yet.
    pub(crate) fn new(address: VmAddress, bastions: &'a Bastions) -> Self {
        Self {
            address,
            bastions,
            session: None,
        }
    }

    /// Connects, for the next call.
    pub(crate) async fn connect(&mut self, wait: Wait) -> Result<(), VmError> {
        self.session = Some(self.open(wait).await?);
        Ok(())
    }

    /// Checks the VM's path to istiod. `None`: the connection was lost or the program failed, which the next call
    /// reports.
    pub(crate) async fn check(&self, bundle: &Bundle) -> Option<Vec<Check>> {
        let check = program::check(bundle, Timestamp::now());
        let session = self.session.as_ref()?;
        match run_without_token(session, &check).await {
            Ok(Report::Checked(checks)) => Some(checks),
            _ => None,
        }
    }

    /// Observes the VM. It changes nothing.
    pub(crate) async fn observe(&self, bundle: &Bundle, wait: Wait) -> Result<Report, VmError> {
        let session = self.open(wait).await?;
        let report = run_without_token(&session, &program::observe(bundle)).await;
        session.close().await;
        report
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// Returns whether the machine that was ours does not answer any more, or another one does.
    pub(crate) fn is_away(&self, error: &VmError) -> bool {
        self.address.is_away(error)
    }

    /// Returns whether another host answers than the pinned one.
    pub(crate) fn is_another_host(&self, error: &VmError) -> bool {
        self.address.is_another_host(error)
    }

    async fn open(&self, wait: Wait) -> Result<Session, VmError> {
        let VmAddress {
            target,
            credentials,
        } = &self.address;
        Session::connect(target, credentials, self.bastions, wait).await
    }

    /// Returns the connection, which is made now if there is none.
    async fn session(&mut self, wait: Wait) -> Result<Session, VmError> {
        match self.session.take() {
            Some(session) => Ok(session),
            None => self.open(wait).await,
        }
    }
}

async fn run_without_token(session: &Session, payload: &Payload) -> Result<Report, VmError> {
    let never = || async { Err::<SecretString, _>("this run needs no token") };
    session.run(payload, never, IDLE).await
}
