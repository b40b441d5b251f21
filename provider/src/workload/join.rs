//! What create and update share: the way to the VM, and the last steps once it runs on its bundle.

use std::time::Duration;

use cluster::ClusterError;
use jiff::Timestamp;
use mesh::change::Drift;
use mesh::drift::Finding;
use mesh::health::HealthCheck;
use mesh::observed::Connection;
use plugin::{Diagnostics, Done, Value};
use secrecy::SecretString;
use tokio::time::Instant;
use vm::program::{self, Check, Report, Verdict};
use vm::{Session, Wait};

use super::bootstrap::{Bootstrapped, IDLE};
use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use super::plan::drift_output;
use super::prepare::Prepared;
use crate::context::Context;
use crate::declared::ssh::VmAddress;
use crate::messages;
use crate::messages::report::{bypassed, invalid, published, recorded, reverted};

/// The checks of the way to istiod, in their order.
const NAMED: [&str; 3] = ["dns", "control-plane", "tls-name"];

/// How long istiod may take to report a proxy that is ready.
const CONNECTED: Duration = Duration::from_mins(1);

/// How long an application may take to answer after its first probe. One that is installed later
/// must not hold the apply up for long.
const ANSWERED: Duration = Duration::from_secs(30);

/// Connects to the VM if there is one: before anything is written, so that a wrong key changes nothing.
pub(super) async fn connect(
    context: &Context,
    input: &WorkloadInput,
    wait: Wait,
) -> Result<Option<(VmAddress, Session)>, Diagnostics> {
    let Some(ssh) = input.ssh.known() else {
        return Ok(None);
    };
    tracing::info!("connecting to the VM");
    let address = input.address.known().map(|address| &address.0);
    let way = VmAddress::new(ssh, address, context.ssh()?)?;
    let session = way
        .connect(context, wait)
        .await
        .map_err(|error| messages::vm(&error))?;
    Ok(Some((way, session)))
}

/// Looks, before anything is written, whether the VM finds istiod by a name that somebody else has to make known, or
/// to put into the certificate. What is not told here, as over a connection that is lost, the bootstrap tells.
pub(super) async fn look(
    prepared: &Prepared<'_>,
    session: Session,
) -> Result<Session, Diagnostics> {
    let (bundle, plane) = (&prepared.desired.bundle, &prepared.facts.control_plane);
    if bundle.hosts_line.is_some() && plane.san.is_none() {
        return Ok(session);
    }
    let none = async || Err::<SecretString, _>("a check needs no token");
    let check = program::check(bundle, Timestamp::now());
    let Ok(Report::Checked(checks)) = session.run(&check, none, IDLE).await else {
        return Ok(session);
    };
    let ours =
        |check: &&Check| NAMED.contains(&check.name.as_str()) && check.verdict == Verdict::Bad;
    let Some(bad) = checks.iter().find(ours) else {
        return Ok(session);
    };
    session.close().await;
    let lines = [format!("{}: {}", bad.name, bad.found.trim())];
    Err(reverted("check", Some(&bad.name), &lines).into())
}

/// The VM runs on the bundle: waits for istiod's word and gives the entry its final form.
pub(super) async fn joined(
    prepared: &Prepared<'_>,
    before: &Connection,
    done: &Bootstrapped,
    reasons: Vec<String>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let bootstrapped = WorkloadOutput {
        bundle_digest: Value::Known(prepared.desired.bundle.digest().to_string()),
        machine_id: Value::Known(done.machine_id.clone()),
        proxy_version: done.version.clone().into(),
        bootstrapped_at: Value::Known(Timestamp::now().to_string()),
        ..told(prepared, reasons)
    };
    let withdrawn = Drift {
        objects: vec![Finding::sentence(
            None,
            "WorkloadEntry: it takes no traffic yet",
        )],
        vm: vec![],
    };
    *reached = Some(WorkloadOutput {
        drift: drift_output(&withdrawn),
        ..bootstrapped.clone()
    });
    let mut warnings = prepared.warnings.clone();
    if done.recorded {
        warnings.push(recorded());
    }
    warnings.extend(done.bypass.as_deref().map(bypassed));
    warnings.extend(done.published.as_deref().map(published));
    if !done.strange.is_empty() {
        warnings.push(invalid(&done.strange));
    }
    tracing::info!(id = %prepared.workload.id, "the proxy is ready; waiting for istiod to report it");
    let until = deadline.min(Instant::now() + CONNECTED);
    match prepared
        .cluster
        .connected(&prepared.workload.id, before, until)
        .await
    {
        Ok(_) => {}
        Err(error @ ClusterError::NotConnected { .. }) => {
            warnings.push(messages::of_cluster(&error).warning());
        }
        Err(error) => return Err(messages::cluster(&error).into()),
    }
    prepared
        .write(std::slice::from_ref(&prepared.desired.entry))
        .await?;
    *reached = Some(bootstrapped);
    if let Some(check) = &prepared.workload.health_check {
        warnings.append(answered(prepared, check, deadline).await?);
    }
    Ok(warnings)
}

/// Waits until istiod has been told that the application answers. One that does not is told as a
/// warning: the VM is a member all the same.
async fn answered(prepared: &Prepared<'_>, check: &HealthCheck, deadline: Instant) -> Done {
    let delay = Duration::from_secs(check.initial_delay.unwrap_or_default().into());
    let until = deadline.min(Instant::now() + delay + ANSWERED);
    match prepared.cluster.healthy(&prepared.workload.id, until).await {
        Ok(_) => Ok(Diagnostics::none()),
        Err(error @ ClusterError::NotHealthy { .. }) => {
            Ok(messages::of_cluster(&error).warning().into())
        }
        Err(error) => Err(messages::cluster(&error).into()),
    }
}

/// Returns the drift that stands until a bootstrap has ended well.
pub(super) fn unfinished() -> Drift {
    Drift {
        objects: vec![],
        vm: vec![Finding::unfinished()],
    }
}

/// Returns the output as far as the facts tell it.
pub(super) fn told(prepared: &Prepared<'_>, reasons: Vec<String>) -> WorkloadOutput {
    let (facts, bundle) = (&prepared.facts, &prepared.desired.bundle);
    WorkloadOutput {
        id: Value::Known(prepared.workload.id.to_string()),
        last_bootstrap_reasons: Value::Known(reasons),
        drift: drift_output(&Drift::default()),
        spiffe_id: Value::Known(bundle.identity.to_string()),
        revision: Value::Known(facts.revision.clone()),
        cluster_id: Value::Known(facts.cluster_id.clone()),
        trust_domain: Value::Known(facts.trust_domain.clone()),
        control_plane: Value::Known(bundle.control_plane.clone()),
        ..WorkloadOutput::default()
    }
}
