//! Create: every object must be absent, also for a create in another process at the same time.

use std::collections::BTreeSet;

use cluster::Cluster;
use mesh::desired::Kind;
use mesh::names::Id;
use plugin::{Diagnostic, Done};
use tokio::time::Instant;

use super::apply::{Preflight, observe, output, reserved};
use super::input::FleetInput;
use super::output::FleetOutput;
use crate::context::Context;
use crate::messages::{self, Code, Message};
use crate::objects;

/// Creates the fleet. If that fails, what was written is deleted and no state is left.
pub(super) async fn create(
    context: &Context,
    next: &FleetInput,
    deadline: Instant,
    reached: &mut Option<FleetOutput>,
) -> Done {
    let reservation = context.reservations.reserve_new(reserved(next)?)?;
    let preflight = Preflight::new(context, next, None, deadline).await?;
    let id = &preflight.fleet.id;
    let marked = preflight.marked();
    if !marked.is_empty() {
        objects::refuse_dying(marked, &preflight.observed)?;
        return Err(exists(id).into());
    }
    *reached = Some(FleetOutput {
        namespace_uid: preflight.namespace.uid().map(str::to_owned).into(),
        ..output(id)
    });
    let (cluster, mut uids) = (context.cluster().await?, BTreeSet::new());
    if let Err(error) = write(cluster, &preflight, &mut uids).await {
        let objects = &preflight.objects;
        let problems = objects.delete_created(&preflight.desired, &uids).await;
        if problems.is_empty() {
            *reached = None;
        }
        return Err([error].into_iter().chain(problems).collect());
    }
    reservation.keep();
    Ok(preflight.warnings)
}

/// Writes the objects, and notes the uid of each as soon as it is created.
async fn write(
    cluster: &Cluster,
    preflight: &Preflight<'_>,
    uids: &mut BTreeSet<String>,
) -> Result<(), Diagnostic> {
    for object in &preflight.desired {
        // A member that waited for its turn may have made the Lease.
        if object.kind != Kind::Lease {
            uids.extend(preflight.objects.create(object).await?);
        }
        preflight
            .objects
            .write(std::slice::from_ref(object))
            .await?;
    }
    refuse_another(cluster, preflight, uids).await
}

/// Refuses a fleet of the same name that another process has created meanwhile, even one without a common object. Each
/// looks after it has written: of two at once, at least the later one sees both.
async fn refuse_another(
    cluster: &Cluster,
    preflight: &Preflight<'_>,
    uids: &BTreeSet<String>,
) -> Result<(), Diagnostic> {
    let fleet = &preflight.fleet;
    let namespace = &fleet.id.namespace;
    // What was listed before the writes is old by now.
    for kind in [Kind::WorkloadGroup, Kind::ServiceEntry, Kind::Sidecar] {
        cluster.forget_list(kind, namespace);
    }
    let observed = observe(cluster, fleet).await?;
    let is_another = |(kind, id): (Kind, Id)| {
        let object = observed.get(kind, &id.name);
        let uid = object.and_then(|object| object["metadata"]["uid"].as_str());
        uid.is_some_and(|uid| !uids.contains(uid))
    };
    if observed.marked(namespace, &fleet.mark()).any(is_another) {
        return Err(created_at_once(&fleet.id));
    }
    Ok(())
}

fn exists(id: &Id) -> Diagnostic {
    let text = format!(
        "Objects of a fleet {id} already exist, and this provider has created them.{}",
        messages::renamed("mesh_vm_fleet", id)
    );
    Message::new(Code::FleetExists)
        .text(text)
        .at("name")
        .error()
}

fn created_at_once(id: &Id) -> Diagnostic {
    let text = format!(
        "Another run has created objects of a fleet {id} at the same time. The objects that this run created are deleted \
         again. Declare the fleet in one configuration only, or give one of the two another name. Then apply again."
    );
    Message::new(Code::FleetExists)
        .text(text)
        .at("name")
        .error()
}
