//! Destroy: the VM first, then the objects. And leaving a VM that is no longer the workload's.

use std::time::Duration;

use mesh::desired::{Kind, Owner};
use mesh::observed::ObservedObjects;
use plugin::{Diagnostics, Done};
use tokio::time::Instant;
use vm::Wait;

use super::archive;
use super::clean::{Cleaning, left_behind};
use super::input::WorkloadInput;
use super::output::WorkloadOutput;
use super::prepare::Prepared;
use super::stage::{Update, touched};
use crate::context::Context;
use crate::messages;
use crate::writer;

/// What is left of the time for the objects, after a VM that does not answer.
const FOR_OBJECTS: Duration = Duration::from_secs(10);

/// Deletes the workload.
pub(super) async fn delete(
    context: &Context,
    prior: &WorkloadInput,
    output: &WorkloadOutput,
    deadline: Instant,
    reached: &mut Option<WorkloadOutput>,
) -> Done {
    let cluster = context.cluster().await?;
    let workload = prior.workload().ok_or_else(messages::incomplete)?;
    let names = mesh::objects::object_ids(&workload);
    let observed = cluster
        .observe(&workload.id, &names)
        .await
        .map_err(|error| messages::cluster(&error))?;
    let mark = workload.mark();
    let ids = mesh::objects::object_ids(&workload)
        .into_iter()
        .chain(observed.marked(&workload.id.namespace, &mark));
    let (doomed, foreign) = writer::doomed(&mark, ids, &observed, is_imported(&observed));
    let mut warnings = Diagnostics::none();
    if let Some(ssh) = touched(prior, output) {
        let owner = Owner {
            uid: uid(&observed),
            id: workload.id.clone(),
        };
        let entry = doomed.iter().any(|of| of.kind == Kind::WorkloadEntry);
        let cleaning = Cleaning {
            context,
            ssh,
            address: workload.address.as_ref(),
            owner: &owner,
            entry: observed
                .entry
                .as_ref()
                .filter(|_| entry)
                .map(|of| (cluster, of)),
            until: deadline.checked_sub(FOR_OBJECTS).unwrap_or(deadline),
        };
        let wait = Wait::Until(cleaning.until.into_std());
        warnings.append(cleaning.clean(wait).await?);
    }
    cluster
        .delete(&doomed, deadline)
        .await
        .map_err(|error| messages::cluster(&error))?;
    if let Some(path) = archive::path(prior) {
        warnings.append(archive::remove(path, &workload.id, output));
    }
    for of in &foreign {
        warnings.push(writer::not_ours(&mark, of));
    }
    *reached = None;
    Ok(warnings)
}

/// Cleans the VM that an update leaves, as far as it can: the new one is in place already.
pub(super) async fn leave(
    context: &Context,
    update: &Update<'_>,
    prepared: &Prepared<'_>,
    deadline: Instant,
) -> Diagnostics {
    let left = touched(update.prior, update.output).filter(|_| update.leaves_a_vm());
    let Some(ssh) = left else {
        return Diagnostics::none();
    };
    let owner = Owner {
        uid: prepared.facts.entry_uid.clone().unwrap_or_default(),
        id: prepared.workload.id.clone(),
    };
    let address = update
        .prior
        .address
        .known()
        .map(|address| address.0.clone());
    // Not waited for long: an address that moved to another machine never answers again.
    let cleaning = Cleaning {
        context,
        ssh,
        address: address.as_ref(),
        owner: &owner,
        entry: None,
        until: deadline,
    };
    match cleaning.clean(Wait::Briefly(deadline.into_std())).await {
        Ok(warnings) => warnings,
        Err(told) => told
            .into_iter()
            .map(|told| left_behind(&told.detail))
            .collect(),
    }
}

fn uid(observed: &ObservedObjects) -> String {
    let uid = observed
        .entry
        .as_ref()
        .and_then(|entry| entry["metadata"]["uid"].as_str());
    uid.unwrap_or_default().to_owned()
}

/// After an import without an apply, nothing carries our mark yet: then what the state names is ours.
fn is_imported(observed: &ObservedObjects) -> bool {
    let entry = observed.entry.as_ref();
    entry.is_some_and(|entry| !mesh::mark::is_ours(entry))
}
