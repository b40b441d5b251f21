//! Create, update and delete: objects only.

use cluster::Cluster;
use mesh::change::Problem;
use mesh::desired::{Kind, Manifest};
use mesh::fleet::Fleet;
use mesh::names::Id;
use mesh::observed::ObservedObjects;
use plugin::{Diagnostic, Diagnostics, Done, Paths, Value};
use tokio::time::Instant;

use super::input::FleetInput;
use super::output::FleetOutput;
use super::plan::{drift, drift_output};
use crate::context::Context;
use crate::messages::{self, Code, Message};
use crate::writer::{self, Writer};

/// A fleet, ready to be written.
struct Prepared<'a> {
    fleet: Fleet,
    objects: Vec<Manifest>,
    observed: ObservedObjects,
    writer: Writer<'a>,
}

impl<'a> Prepared<'a> {
    /// Asks the cluster, and tells everything that stands against the fleet at once.
    async fn new(
        context: &'a Context,
        input: &FleetInput,
        deadline: Instant,
    ) -> Result<Self, Diagnostics> {
        let cluster = context.cluster().await?;
        let fleet = input.fleet().ok_or_else(messages::incomplete)?;
        let observed = observe(cluster, &fleet).await?;
        let objects = mesh::objects::fleet_objects(&fleet);
        writer::refuse_dying(ids(&objects), &observed)?;
        let mut problems = mesh::validate::validate_fleet(&fleet);
        problems.extend(mesh::conflicts::taken_objects(&fleet, &observed));
        if !problems.is_empty() {
            return Err(invalid(problems, &Paths::default()));
        }
        Ok(Self {
            objects,
            writer: Writer::new(cluster, fleet.mark(), &input.field_manager, deadline),
            fleet,
            observed,
        })
    }
}

/// Creates the fleet. If that fails, what was written is taken back and no state is left.
pub(super) async fn create(
    context: &Context,
    next: &FleetInput,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let prepared = Prepared::new(context, next, deadline).await?;
    let id = &prepared.fleet.id;
    let mark = prepared.fleet.mark();
    let marked: Vec<_> = prepared.observed.marked(&id.namespace, &mark).collect();
    if !marked.is_empty() {
        writer::refuse_dying(marked, &prepared.observed)?;
        return Err(exists(id).into());
    }
    *reached = Some(output(id));
    if let Err(error) = prepared.writer.write(&prepared.objects).await {
        let mut told = error.into();
        if prepared
            .writer
            .take_back(&prepared.objects, &mut told)
            .await
        {
            *reached = None;
        }
        return Err(told);
    }
    Ok(Diagnostics::none())
}

/// Updates the objects in place.
pub(super) async fn update(
    context: &Context,
    prior: &FleetInput,
    before: &FleetOutput,
    next: &FleetInput,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let mut prepared = Prepared::new(context, next, deadline).await?;
    let declared = prior
        .fleet()
        .map(|prior| mesh::objects::fleet_objects(&prior))
        .unwrap_or_default();
    let ids = ids(&declared);
    prepared.writer.agreed = drift(before);
    prepared
        .writer
        .note_imported(ids.clone(), &declared, &prepared.observed);
    prepared.writer.write(&prepared.objects).await?;
    let mark = prepared.fleet.mark();
    let marked = prepared
        .observed
        .marked(&prepared.fleet.id.namespace, &mark);
    let stale = ids.into_iter().chain(marked);
    prepared.writer.prune(stale, &prepared.objects).await?;
    *reached = Some(output(&prepared.fleet.id));
    Ok(Diagnostics::none())
}

/// Deletes the objects, and tells whom that leaves without services.
pub(super) async fn delete(
    context: &Context,
    prior: &FleetInput,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let cluster = context.cluster().await?;
    let fleet = prior.fleet().ok_or_else(messages::incomplete)?;
    let mark = fleet.mark();
    let told = |error| messages::cluster(&error);
    let observed = observe(cluster, &fleet).await?;
    let members = cluster.members(&fleet.id).await.map_err(told)?;
    let ids = ids(&mesh::objects::fleet_objects(&fleet))
        .into_iter()
        .chain(observed.marked(&fleet.id.namespace, &mark));
    let (doomed, foreign) = writer::doomed(&mark, ids, &observed, false);
    cluster.delete(&doomed, deadline).await.map_err(told)?;
    *reached = None;
    let left = (!members.is_empty()).then(|| left_alone(&fleet.id, &members));
    let foreign = foreign.iter().map(|of| writer::not_ours(&mark, of));
    Ok(left.into_iter().chain(foreign).collect())
}

/// Reads what the cluster has of a fleet.
pub(super) async fn observe(
    cluster: &Cluster,
    fleet: &Fleet,
) -> Result<ObservedObjects, Diagnostic> {
    let wanted = ids(&mesh::objects::fleet_objects(fleet));
    let observed = cluster.observe_fleet(&fleet.id, &wanted).await;
    observed.map_err(|error| messages::cluster(&error))
}

fn ids(objects: &[Manifest]) -> Vec<(Kind, Id)> {
    let ids = objects.iter().map(|of| (of.kind, of.id.clone()));
    ids.collect()
}

fn output(id: &Id) -> FleetOutput {
    FleetOutput {
        id: Value::Known(id.to_string()),
        drift: drift_output(&[]),
    }
}

fn exists(id: &Id) -> Diagnostic {
    let text = format!(
        "Objects of a fleet {id} already exist. If it is this fleet, import it:\n\n  \
         terraform import mesh_vm_fleet.NAME {id}\n\nelse choose another name."
    );
    Message::new(Code::FleetExists).text(text).error()
}

fn left_alone(fleet: &Id, members: &[Id]) -> Diagnostic {
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
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
