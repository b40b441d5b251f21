//! Create and update: objects, then the VM, then istiod's word, then the entry in its final form.
//!
//! Each stage can be repeated. The state is written ahead of the work: whatever cuts the apply off,
//! an unfinished bootstrap is a line of drift.

use std::time::Duration;

use cluster::{ClusterError, Doomed, Force};
use jiff::Timestamp;
use mesh::{Connection, Desired, Drift, Effect, Interception, Kind, Manifest};
use tfplugin::{Changed, Diagnostic, Diagnostics, Done, Value};
use tokio::time::Instant;
use vm::program::Commit;
use vm::{Session, Wait};

use super::bootstrap::{Bootstrap, Bootstrapped, Failure, Left};
use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use super::plan::{self, drift_output, without_vm};
use super::prepare::Prepared;
use super::{convert, delete};
use crate::context::Context;
use crate::diagnose;
use crate::ssh::Way;

/// How long istiod may take to report a proxy that is ready.
const CONNECTED: Duration = Duration::from_mins(1);

/// An update, as the framework hands it over.
pub(super) struct Update<'a> {
    pub(super) prior: &'a WorkloadInput,
    pub(super) output: &'a WorkloadOutput,
    pub(super) next: &'a WorkloadInput,
    pub(super) edits: &'a [Changed<Effect>],
}

/// Creates the workload.
pub(super) async fn create(
    context: &Context,
    next: &WorkloadInput,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let vm = connect(context, next, Wait::Until(deadline.into_std())).await?;
    let mut prepared = Prepared::new(context, next).await?;
    if prepared.observed.entry.is_some() {
        return Err(exists(&prepared).into());
    }
    let Some((way, session)) = vm else {
        *reached = Some(begun(&prepared, Drift::default()));
        if let Err(error) = prepared.write(&prepared.desired.objects).await {
            return Err(take_back(&prepared, error.into(), reached).await);
        }
        *reached = Some(without_vm(told(&prepared, vec![])));
        return Ok(Diagnostics::none());
    };
    *reached = Some(begun(&prepared, unfinished()));
    if let Err(error) = prepared.withdraw().await {
        return Err(take_back(&prepared, error.into(), reached).await);
    }
    let commit = if redirects(next) {
        Commit::OnVerdict
    } else {
        Commit::OnReady
    };
    let bootstrap = prepared.bootstrap(context, &way, commit, deadline);
    match bootstrap.run(session).await {
        Ok(done) => {
            joined(
                &prepared,
                &Connection::default(),
                &done,
                vec!["created".into()],
                deadline,
                reached,
            )
            .await
        }
        Err(Failure {
            vm: Left::Untouched,
            error,
        }) => Err(take_back(&prepared, error, reached).await),
        Err(Failure { error, .. }) => Err(error),
    }
}

/// Updates the workload in place.
pub(super) async fn update(
    context: &Context,
    update: &Update<'_>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let change = plan::change(update.prior, update.output, update.next, update.edits);
    match change.effect {
        Effect::Nothing => {
            *reached = Some(update.output.clone());
            Ok(Diagnostics::none())
        }
        Effect::Rebootstrap | Effect::Replace if !update.next.ssh.is_null() => {
            rebootstrap(
                context,
                update,
                change.reasons.unwrap_or_default(),
                deadline,
                reached,
            )
            .await
        }
        _ => objects(context, update, deadline, reached).await,
    }
}

/// Writes the objects only: no connection to the VM is opened, except to one that is left.
async fn objects(
    context: &Context,
    update: &Update<'_>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let prepared = Prepared::of_update(context, update).await?;
    prepared.write(&prepared.desired.objects).await?;
    prepared.prune(update.prior).await?;
    let mut warnings = Diagnostics::none();
    if update.next.ssh.is_null() {
        warnings.append(delete::leave(context, update, &prepared, deadline).await);
        *reached = Some(without_vm(told(&prepared, vec![])));
    } else {
        *reached = Some(WorkloadOutput {
            drift: drift_output(Drift::default()),
            ..update.output.clone()
        });
    }
    Ok(warnings)
}

/// Bootstraps the VM again, with the entry withdrawn meanwhile.
async fn rebootstrap(
    context: &Context,
    update: &Update<'_>,
    reasons: Vec<String>,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let wait = if may_be_new(update) {
        Wait::Until(deadline.into_std())
    } else {
        Wait::Once
    };
    let Some((way, session)) = connect(context, update.next, wait).await? else {
        return Err(
            Diagnostic::error("The VM cannot be bootstrapped", "ssh is not set.")
                .at("ssh")
                .into(),
        );
    };
    let mut prepared = Prepared::of_update(context, update).await?;
    let before = prepared
        .observed
        .entry
        .as_ref()
        .map(cluster::connection)
        .unwrap_or_default();
    *reached = Some(WorkloadOutput {
        drift: drift_output(unfinished()),
        ..update.output.clone()
    });
    if let Err(error) = prepared.withdraw().await {
        return Err(go_back(&prepared, update, error.into(), reached).await);
    }
    let bootstrap = prepared.bootstrap(context, &way, commit(update), deadline);
    match bootstrap.run(session).await {
        Ok(done) => {
            let mut warnings =
                joined(&prepared, &before, &done, reasons, deadline, reached).await?;
            prepared.prune(update.prior).await?;
            warnings.append(delete::leave(context, update, &prepared, deadline).await);
            Ok(warnings)
        }
        Err(Failure {
            vm: Left::Unknown,
            error,
        }) => Err(error),
        Err(Failure { error, .. }) => Err(go_back(&prepared, update, error, reached).await),
    }
}

/// Connects to the VM if there is one: before anything is written, so that a wrong key changes nothing.
async fn connect(
    context: &Context,
    input: &WorkloadInput,
    wait: Wait,
) -> Result<Option<(Way, Session)>, Diagnostics> {
    let Some(ssh) = input.ssh.known() else {
        return Ok(None);
    };
    tracing::info!("connecting to the VM");
    let address = input.address.known().map(|address| &address.0);
    let way = Way::new(ssh, address, context.ssh()?)?;
    let session = way
        .connect(context, wait)
        .await
        .map_err(|error| diagnose::vm(&error))?;
    Ok(Some((way, session)))
}

impl<'a> Prepared<'a> {
    /// Prepares an update. An entry without our mark was imported: it is taken over. Fields that
    /// others changed are taken back if the plan showed them: whoever applied it has agreed.
    async fn of_update(context: &'a Context, update: &Update<'_>) -> Result<Self, Diagnostics> {
        let mut prepared = Self::new(context, update.next).await?;
        if !plan::drift(update.output).objects.is_empty() {
            prepared.force = Force::Fields;
        }
        let entry = prepared.observed.entry.as_ref();
        if entry.is_some_and(|entry| {
            entry["metadata"]["labels"][mesh::objects::MANAGED_BY_LABEL] != mesh::objects::MANAGER
        }) {
            prepared.force = Force::Adopt;
        }
        Ok(prepared)
    }

    async fn write(&self, objects: &[Manifest]) -> Result<Vec<cluster::Applied>, Diagnostic> {
        self.cluster
            .apply(objects, self.force)
            .await
            .map_err(|error| diagnose::cluster(&error))
    }

    /// Writes the objects with an entry that takes no traffic; the entry's uid marks the VM.
    async fn withdraw(&mut self) -> Result<(), Diagnostic> {
        tracing::info!(id = %self.workload.id, "writing the objects, with the entry withdrawn");
        let applied = self.write(&self.desired.withdrawn()).await?;
        if let Some(entry) = applied
            .into_iter()
            .find(|applied| applied.kind == Kind::WorkloadEntry)
        {
            self.desired.bundle.owner.uid.clone_from(&entry.uid);
            self.facts.entry_uid = Some(entry.uid);
        }
        Ok(())
    }

    fn bootstrap<'b>(
        &'b self,
        context: &'b Context,
        way: &'b Way,
        commit: Commit,
        deadline: Instant,
    ) -> Bootstrap<'b> {
        Bootstrap {
            context,
            cluster: self.cluster,
            way,
            bundle: &self.desired.bundle,
            commit,
            deadline,
        }
    }

    /// Deletes the objects that the prior input asked for and this one does not.
    async fn prune(&self, prior: &WorkloadInput) -> Result<(), Diagnostic> {
        let wanted = |id: &(Kind, mesh::Id)| {
            self.desired
                .objects
                .iter()
                .any(|o| (o.kind, &o.id) == (id.0, &id.1))
        };
        let before = self
            .rendered(prior)
            .map(|desired| desired.objects)
            .unwrap_or_default();
        let stale = before
            .into_iter()
            .map(|object| (object.kind, object.id))
            .filter(|id| !wanted(id));
        self.delete(stale)
            .await
            .map_err(|error| diagnose::cluster(&error))
    }

    /// Renders another input of the same workload with the same facts.
    fn rendered(&self, input: &WorkloadInput) -> Option<Desired> {
        mesh::render(&convert::workload(input)?, &self.facts).ok()
    }

    pub(super) async fn delete(
        &self,
        objects: impl Iterator<Item = (Kind, mesh::Id)>,
    ) -> Result<(), ClusterError> {
        let doomed: Vec<_> = objects
            .map(|(kind, id)| Doomed {
                kind,
                id,
                uid: None,
            })
            .collect();
        self.cluster.delete(&doomed).await
    }
}

/// The VM runs on the bundle: waits for istiod's word and gives the entry its final form.
async fn joined(
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
        objects: vec!["WorkloadEntry: it takes no traffic yet".into()],
        vm: vec![],
    };
    *reached = Some(WorkloadOutput {
        drift: drift_output(withdrawn),
        ..bootstrapped.clone()
    });
    let mut warnings = Diagnostics::none();
    tracing::info!(id = %prepared.workload.id, "the proxy is ready; waiting for istiod to report it");
    let until = deadline.min(Instant::now() + CONNECTED);
    match prepared
        .cluster
        .connected(&prepared.workload.id, before, until)
        .await
    {
        Ok(_) => {}
        Err(error @ ClusterError::NotConnected { .. }) => {
            let told = diagnose::cluster(&error);
            warnings.push(Diagnostic::warning(told.summary, told.detail));
        }
        Err(error) => return Err(diagnose::cluster(&error).into()),
    }
    prepared.write(&prepared.desired.objects[..1]).await?;
    *reached = Some(bootstrapped);
    Ok(warnings)
}

/// Takes back what a create wrote while the VM is as it was: no state is left, so nothing is tainted.
async fn take_back(
    prepared: &Prepared<'_>,
    error: Diagnostics,
    reached: &mut Option<WorkloadOutput>,
) -> Diagnostics {
    let mut told = error;
    let mut taken_back = true;
    for object in prepared.desired.objects.iter().rev() {
        match prepared
            .delete([(object.kind, object.id.clone())].into_iter())
            .await
        {
            // One that is not ours was never written.
            Ok(()) | Err(ClusterError::Exists { .. }) => {}
            Err(error) => {
                taken_back = false;
                told.push(diagnose::cluster(&error));
            }
        }
    }
    if taken_back {
        *reached = None;
    }
    told
}

/// Gives the objects the form of the prior input again, since the VM runs on that. The prior state
/// then stays as it was, so that the next plan asks for the same change.
async fn go_back(
    prepared: &Prepared<'_>,
    update: &Update<'_>,
    error: Diagnostics,
    reached: &mut Option<WorkloadOutput>,
) -> Diagnostics {
    let mut told = error;
    let before = prepared
        .rendered(update.prior)
        .map(|desired| desired.objects)
        .unwrap_or_default();
    let mut went_back = true;
    for object in &before {
        match prepared
            .cluster
            .apply(std::slice::from_ref(object), prepared.force)
            .await
        {
            // One that others hold was not written before either.
            Ok(_) | Err(ClusterError::Conflict { .. } | ClusterError::Exists { .. }) => {}
            Err(error) => {
                went_back = false;
                told.push(diagnose::cluster(&error));
            }
        }
    }
    if went_back {
        *reached = None;
    }
    told
}

fn exists(prepared: &Prepared<'_>) -> Diagnostic {
    let id = &prepared.workload.id;
    Diagnostic::error(
        "The workload exists already",
        diagnose::coded(
            "workload-exists",
            &format!(
                "There is a WorkloadEntry {id} already. If it is this VM's, import it:\n\n  \
                 terraform import mesh_vm_workload.NAME {id}\n\nelse choose another name."
            ),
        ),
    )
    .at("name")
}

/// What the state says until the work is done.
fn begun(prepared: &Prepared<'_>, drift: Drift) -> WorkloadOutput {
    WorkloadOutput {
        drift: drift_output(drift),
        ..told(prepared, vec!["created".into()])
    }
}

fn unfinished() -> Drift {
    Drift {
        objects: vec![],
        vm: vec!["the bootstrap was not finished".into()],
    }
}

/// Returns the output as far as the facts tell it.
pub(super) fn told(prepared: &Prepared<'_>, reasons: Vec<String>) -> WorkloadOutput {
    let (facts, bundle) = (&prepared.facts, &prepared.desired.bundle);
    WorkloadOutput {
        id: Value::Known(prepared.workload.id.to_string()),
        last_bootstrap_reasons: Value::Known(reasons),
        drift: drift_output(Drift::default()),
        spiffe_id: Value::Known(bundle.identity.to_string()),
        revision: Value::Known(facts.revision.clone()),
        cluster_id: Value::Known(facts.cluster_id.clone()),
        trust_domain: Value::Known(facts.trust_domain.clone()),
        control_plane: Value::Known(bundle.control_plane.clone()),
        ..WorkloadOutput::default()
    }
}

fn redirects(input: &WorkloadInput) -> bool {
    convert::workload(input)
        .is_some_and(|workload| workload.proxy.interception == Interception::Redirect)
}

/// The verdict over a new connection costs a login: only rules that may be new on the VM need it.
fn commit(update: &Update<'_>) -> Commit {
    let same_machine = !may_be_new(update) && plan::drift(update.output).vm.is_empty();
    let had_rules =
        redirects(update.prior) && !update.output.bundle_digest.is_null() && same_machine;
    if redirects(update.next) && !had_rules {
        Commit::OnVerdict
    } else {
        Commit::OnReady
    }
}

/// Whether another machine may answer now, one that is perhaps still booting.
fn may_be_new(update: &Update<'_>) -> bool {
    let (prior, next) = (update.prior, update.next);
    let host = |input: &WorkloadInput| input.ssh.known().and_then(|ssh| ssh.host.known().cloned());
    prior.triggers != next.triggers || prior.address != next.address || host(prior) != host(next)
}
