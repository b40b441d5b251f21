//! Update and delete, and what a create needs as well: objects only.

use cluster::Cluster;
use mesh::change::Problem;
use mesh::desired::{Kind, Manifest};
use mesh::fleet::Fleet;
use mesh::identity::SeenNamespace;
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use mesh::reserved::Reserved;
use mesh::rivals::{Claims, Rival};
use mesh::rollout::{bare_lease, lease_id};
use plugin::{Diagnostic, Diagnostics, Done, Paths, Value};
use tokio::time::Instant;

use super::input::FleetInput;
use super::output::FleetOutput;
use super::plan::{drift, drift_output};
use crate::context::Context;
use crate::declared::field_manager::force;
use crate::identity;
use crate::imported::imported;
use crate::messages::{self, Code, Message};
use crate::objects::{self, Objects};

/// A fleet that nothing prevents from being written.
pub(super) struct Preflight<'a> {
    pub(super) fleet: Fleet,
    pub(super) desired: Vec<Manifest>,
    pub(super) observed: ObservedObjects,
    pub(super) objects: Objects<'a>,
    /// The namespace, which identifies the cluster.
    pub(super) namespace: SeenNamespace,
    pub(super) warnings: Diagnostics,
}

impl<'a> Preflight<'a> {
    /// Reads the cluster, and reports everything that prevents the fleet from being written at once.
    pub(super) async fn new(
        context: &'a Context,
        input: &FleetInput,
        prior: Option<&Prior<'_>>,
        deadline: Instant,
    ) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        let fleet = input.fleet().ok_or_else(messages::incomplete)?;
        let (namespace, warnings) =
            same_cluster(context, &fleet, prior.map(|of| of.output)).await?;
        let observed = observe(cluster, &fleet).await?;
        let desired = mesh::objects::fleet_objects(&fleet);
        objects::refuse_dying(ids(&desired), &observed)?;
        let mut problems = mesh::validate::validate_fleet(&fleet);
        problems.extend(mesh::conflicts::taken_objects(&fleet, &observed));
        let had = prior.map_or(vec![], |prior| ids(&declared(prior.input)));
        let rivals = rivals(cluster, &fleet, had).await?;
        problems.extend(rivals.iter().map(Rival::problem));
        if !problems.is_empty() {
            return Err(invalid(problems, &Paths::default()));
        }
        let force = force(&input.field_manager);
        Ok(Self {
            desired,
            objects: Objects::new(cluster, fleet.mark(), force, deadline),
            fleet,
            observed,
            namespace,
            warnings,
        })
    }

    /// Returns the objects that carry the fleet's mark.
    pub(super) fn marked(&self) -> Vec<(Kind, Id)> {
        let mark = self.fleet.mark();
        let marked = self.observed.marked(&self.fleet.id.namespace, &mark);
        marked.collect()
    }
}

/// The fleet as the state has it.
pub(super) struct Prior<'a> {
    pub(super) input: &'a FleetInput,
    pub(super) output: &'a FleetOutput,
}

/// Updates the objects in place.
pub(super) async fn update(
    context: &Context,
    prior: &Prior<'_>,
    next: &FleetInput,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let declared = declared(prior.input);
    let ids = ids(&declared);
    let reservation = context.reservations.reserve(reserved(next)?)?;
    let mut preflight = Preflight::new(context, next, Some(prior), deadline).await?;
    let uids = &prior.output.imported_uids;
    let imported = imported(uids, ids.clone(), &declared, &preflight.observed);
    preflight.objects.adopt(imported);
    preflight.objects.agreed = drift(prior.output);
    // Deleted, a Lease would lock nobody out any more: it stays, and says nothing.
    let is_lease = |of: &Manifest| of.kind == Kind::Lease;
    if declared.iter().any(is_lease) && !preflight.desired.iter().any(is_lease) {
        let bare = bare_lease(&preflight.fleet.id);
        preflight.desired.extend(bare);
    }
    preflight.objects.write(&preflight.desired).await?;
    let stale = ids.into_iter().chain(preflight.marked());
    let left = preflight.objects.prune(stale, &preflight.desired).await?;
    reservation.keep();
    *reached = Some(FleetOutput {
        namespace_uid: prior.output.namespace_uid.clone(),
        ..output(&preflight.fleet.id)
    });
    Ok(preflight.warnings.into_iter().chain(left).collect())
}

/// Deletes the objects, and reports the members that are left without services.
pub(super) async fn delete(
    context: &Context,
    prior: &Prior<'_>,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let cluster = context.cluster().await?;
    let fleet = prior.input.fleet().ok_or_else(messages::incomplete)?;
    let (_, warnings) = same_cluster(context, &fleet, Some(prior.output)).await?;
    let mark = fleet.mark();
    let diagnostic = |error| messages::cluster(&error);
    let mut observed = observe(cluster, &fleet).await?;
    let members = cluster.members(&fleet.id).await.map_err(diagnostic)?;
    let lease = lease_id(&fleet.id);
    if let Some(lease) = &lease {
        observed.lease = cluster.lease_if_allowed(lease).await.map_err(diagnostic)?;
    }
    let named = ids(&mesh::objects::fleet_objects(&fleet));
    let marked = observed.marked(&fleet.id.namespace, &mark);
    // A member may have made the Lease.
    let lease = lease.map(|id| (Kind::Lease, id));
    let ids = named.into_iter().chain(lease).chain(marked);
    let (deletions, foreign) =
        objects::deletions(&mark, ids, &observed, &prior.output.imported_uids);
    let deleted = objects::delete(cluster, &deletions, deadline).await;
    deleted.map_err(diagnostic)?;
    context.reservations.give_back(&reserved(prior.input)?);
    *reached = None;
    let left = (!members.is_empty()).then(|| left_alone(&fleet.id, &members));
    let foreign = foreign.iter().map(|of| objects::not_ours(&mark, of));
    Ok(warnings.into_iter().chain(left).chain(foreign).collect())
}

/// Observes the objects of a fleet.
pub(super) async fn observe(
    cluster: &Cluster,
    fleet: &Fleet,
) -> Result<ObservedObjects, Diagnostic> {
    let wanted = ids(&mesh::objects::fleet_objects(fleet));
    let observed = cluster.observe_fleet(&fleet.id, &wanted).await;
    observed.map_err(|error| messages::cluster(&error))
}

/// Returns the objects of others that select the fleet's VMs or claim its hosts. `prior` are the objects that the fleet
/// had so far.
pub(super) async fn rivals(
    cluster: &Cluster,
    fleet: &Fleet,
    prior: Vec<(Kind, Id)>,
) -> Result<Vec<Rival>, Diagnostic> {
    let members = cluster.members(&fleet.id).await;
    let members = members.map_err(|error| messages::cluster(&error))?;
    let entries: Vec<_> = members.into_iter().map(|(_, entry)| entry).collect();
    let claims = Claims::of_fleet(fleet, &entries, prior);
    objects::rivals(cluster, &fleet.id.namespace, &claims).await
}

pub(super) fn ids(objects: &[Manifest]) -> Vec<(Kind, Id)> {
    let ids = objects.iter().map(|of| (of.kind, of.id.clone()));
    ids.collect()
}

/// Returns the objects that an input declares.
fn declared(input: &FleetInput) -> Vec<Manifest> {
    let fleet = input.fleet();
    fleet.map_or(vec![], |fleet| mesh::objects::fleet_objects(&fleet))
}

/// Fails in a different cluster than the one in the state. Returns the namespace, and a warning if it may not be read.
async fn same_cluster(
    context: &Context,
    fleet: &Fleet,
    state: Option<&FleetOutput>,
) -> Result<(SeenNamespace, Diagnostics), Diagnostics> {
    let namespace = &fleet.id.namespace;
    let namespace = identity::namespace(context.cluster().await?, namespace).await?;
    if let Some(state) = state {
        let verdict = state.identity().compare(&fleet.id, &namespace, None);
        identity::refuse_other(&fleet.id, &verdict)?;
    }
    let warning = identity::warn_once(context, &namespace);
    Ok((namespace, warning.into_iter().collect()))
}

/// Returns what a create or an update reserves against the other operations of the same apply.
pub(super) fn reserved(input: &FleetInput) -> Result<Reserved, Diagnostic> {
    let fleet = input.fleet().ok_or_else(messages::incomplete)?;
    Ok(Reserved::of_fleet(&fleet))
}

pub(super) fn output(id: &Id) -> FleetOutput {
    FleetOutput {
        id: Value::Known(id.to_string()),
        drift: drift_output(&[]),
        ..FleetOutput::default()
    }
}

fn left_alone(fleet: &Id, members: &[(Id, serde_json::Value)]) -> Diagnostic {
    let members: Vec<_> = members.iter().map(|(id, _)| id.to_string()).collect();
    let text = format!(
        "The objects of the fleet {fleet} are deleted, but these entries still refer to it: {}. Clients can no longer \
         reach these VMs by the fleet's names. Remove `fleet` from their configuration, or destroy them.",
        members.join(", ")
    );
    Message::new(Code::FleetMembers).text(text).warning()
}

/// Reports what is wrong with a fleet; what concerns unknown values is dropped.
pub(super) fn invalid(problems: Vec<Problem>, unknown: &Paths) -> Diagnostics {
    let problems = messages::problems(problems, unknown).into_iter();
    problems
        .map(|problem| Diagnostic {
            summary: "Invalid fleet".into(),
            ..problem
        })
        .collect()
}
