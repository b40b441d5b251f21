//! The steps at the VM, and those that wait for its proxy.

use std::time::Duration;

use cluster::ClusterError;
use jiff::Timestamp;
use mesh::desired::Owner;
use mesh::observed::Connection;
use plugin::{Diagnostic, Diagnostics, Done, Value};
use tokio::time::Instant;
use vm::Wait;
use vm::program::Verdict;

use super::Work;
use crate::declared::ssh::VmAddress;
use crate::machine::{Failure, Machine, left_behind};
use crate::messages::report::reverted;
use crate::messages::{self, Code, Message};
use crate::workload::output::WorkloadOutput;

/// The checks of the path to istiod, in their order.
const PATH_TO_ISTIOD: [&str; 3] = ["dns", "control-plane", "tls-name"];

/// How long istiod may take to report a proxy that is ready.
const CONNECTED: Duration = Duration::from_mins(1);

/// How long an application may take to answer after its first probe. One that is installed later must not delay the
/// apply for long.
const ANSWERED: Duration = Duration::from_secs(30);

impl Work<'_> {
    pub(super) async fn connect(&mut self) -> Result<(), Diagnostics> {
        let until = self.deadline.into_std();
        let prior = self.target.prior;
        let wait = if prior.is_none_or(|prior| prior.may_be_another_machine(self.target.next)) {
            Wait::Until(until)
        } else {
            Wait::Briefly(until)
        };
        let ssh = self.target.next.ssh.known().ok_or_else(no_ssh)?;
        let address = self.preflight.workload.address.as_ref();
        let address = VmAddress::new(ssh, address, self.context.ssh()?)?;
        let machine = Machine::new(address, &self.context.bastions);
        let machine = self.machine.insert(machine);
        let connected = machine.connect(wait).await;
        connected.map_err(|error| messages::vm(&error).into())
    }

    /// Checks that the VM finds istiod, before anything is written, if somebody else has to publish the name or to put
    /// it into the certificate.
    pub(super) async fn check_vm(&mut self) -> Result<(), Diagnostic> {
        let (desired, facts) = (&self.preflight.desired, &self.preflight.facts);
        if desired.bundle.hosts_line.is_some() && facts.control_plane.san.is_none() {
            return Ok(());
        }
        let machine = self.machine.as_mut().ok_or_else(no_ssh)?;
        let checks = machine.check(&desired.bundle).await.unwrap_or_default();
        let bad = checks.iter().find(|check| {
            PATH_TO_ISTIOD.contains(&check.name.as_str()) && check.verdict == Verdict::Bad
        });
        let Some(bad) = bad else {
            return Ok(());
        };
        machine.close().await;
        let lines = [format!("{}: {}", bad.name, bad.found.trim())];
        Err(reverted("check", Some(&bad.name), &lines))
    }

    pub(super) async fn bootstrap(&mut self) -> Result<(), Failure> {
        let machine = self.machine.as_mut().ok_or_else(no_ssh)?;
        let bundle = &self.preflight.desired.bundle;
        let done = machine
            .bootstrap(self.cluster, bundle, self.deadline)
            .await?;
        let reasons = self
            .target
            .decision
            .change
            .reasons
            .clone()
            .unwrap_or_default();
        self.output = WorkloadOutput {
            bundle_digest: Value::Known(bundle.digest().to_string()),
            machine_id: Value::Known(done.machine_id.clone()),
            proxy_version: done.version.clone().into(),
            bootstrapped_at: Value::Known(Timestamp::now().to_string()),
            ..self.preflight.output(reasons)
        };
        self.warnings.append(done.warnings());
        self.bootstrapped = Some(done);
        Ok(())
    }

    pub(super) async fn await_connection(&mut self) -> Result<(), Diagnostic> {
        let until = self.deadline.min(Instant::now() + CONNECTED);
        let entry = self.preflight.observed.entry.as_ref();
        let before = entry.map(Connection::from_entry).unwrap_or_default();
        let id = &self.preflight.workload.id;
        match self.cluster.connected(id, &before, until).await {
            Ok(_) => Ok(()),
            Err(error @ ClusterError::NotConnected { .. }) => {
                self.warnings.push(messages::of_cluster(&error).warning());
                Ok(())
            }
            Err(error) => Err(messages::cluster(&error)),
        }
    }

    /// Waits until istiod has a probe's success. An application that does not answer is a warning: the VM is a member
    /// all the same.
    pub(super) async fn await_health(&mut self) -> Result<(), Diagnostic> {
        let check = self.preflight.workload.health_check.as_ref();
        let delay = check.and_then(|check| check.initial_delay);
        let delay = Duration::from_secs(delay.unwrap_or_default().into());
        let until = self.deadline.min(Instant::now() + delay + ANSWERED);
        match self
            .cluster
            .healthy(&self.preflight.workload.id, until)
            .await
        {
            Ok(_) => Ok(()),
            Err(error @ ClusterError::NotHealthy { .. }) => {
                self.warnings.push(messages::of_cluster(&error).warning());
                Ok(())
            }
            Err(error) => Err(messages::cluster(&error)),
        }
    }

    /// Cleans the VM that the update leaves, as far as it can: the new one is in place already.
    pub(super) async fn clean_former_vm(&mut self) {
        let cleaned = self.remove_former_proxy().await;
        let warnings = cleaned.unwrap_or_else(|diagnostics| {
            let left = diagnostics.into_iter();
            left.map(|error| left_behind(&error.detail)).collect()
        });
        self.warnings.append(warnings);
    }

    pub(super) async fn remove_former_proxy(&self) -> Done {
        let prior = self.target.prior;
        let former = prior.and_then(|prior| Some((prior, prior.former_vm(self.target.next)?)));
        let Some((prior, ssh)) = former else {
            return Ok(Diagnostics::none());
        };
        let done = self.bootstrapped.as_ref();
        // The same machine under another name has the new proxy.
        if done.is_some_and(|done| prior.output.machine_id.known() == Some(&done.machine_id)) {
            return Ok(Diagnostics::none());
        }
        let owner = Owner {
            uid: self.preflight.facts.entry_uid.clone().unwrap_or_default(),
            id: self.preflight.workload.id.clone(),
        };
        let address = prior.input.address.known().map(|address| &address.0);
        let address = VmAddress::new(ssh, address, self.context.ssh()?)?;
        let mut machine = Machine::new(address, &self.context.bastions);
        // Not waited for long: an address that moved to another machine never answers again.
        let connected = machine
            .connect(Wait::Briefly(self.deadline.into_std()))
            .await;
        connected.map_err(|error| messages::vm(&error))?;
        let removed = machine.remove(&owner, self.deadline).await;
        removed.map_err(|failure| failure.diagnostics)
    }
}

fn no_ssh() -> Diagnostic {
    let message = Message::new(Code::SshHost).text("ssh is not set.");
    message.at("ssh").error()
}
