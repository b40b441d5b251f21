//! Import: what is in the cluster, as the user would have written it.

use plugin::{Diagnostic, Diagnostics, ImportId, Imported};

use super::apply::ids;
use super::input::{FleetInput, from_fleet};
use super::output::FleetOutput;
use crate::context::Context;
use crate::imported::uids;
use crate::messages::{self, Code, Message};
use crate::workload::import::{left_out, parse};

/// Imports the fleet that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<Imported<FleetInput, FleetOutput>, Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let diagnostic = |error| messages::cluster(&error);
    let names = cluster.selecting(&id).await.map_err(diagnostic)?;
    let mut observed = cluster
        .observe_fleet(&id, &names)
        .await
        .map_err(diagnostic)?;
    if let Some(lease) = mesh::rollout::lease_id(&id) {
        observed.lease = cluster.lease_if_allowed(&lease).await.map_err(diagnostic)?;
    }
    let imported = mesh::import::fleet_from_objects(&id, &observed).ok_or_else(|| missing(&id))?;
    let declared = mesh::objects::fleet_objects(&imported.fleet);
    let lost = mesh::import::left_out(&declared, &observed, &imported.fleet.mark());
    Ok(Imported {
        input: from_fleet(imported.fleet),
        output: FleetOutput {
            imported_uids: uids(ids(&declared), &observed),
            ..FleetOutput::default()
        },
        diagnostics: left_out(&imported.notes, &lost).into_iter().collect(),
    })
}

fn missing(id: &mesh::names::Id) -> Diagnostic {
    let text = format!(
        "No ServiceEntry, Sidecar or WorkloadGroup of a fleet {id} was found. Check namespace and name."
    );
    Message::new(Code::ImportMissing).text(text).error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_that_does_not_exist_is_missed_by_the_kinds_of_its_objects() {
        let said = format!("{:?}", missing(&"bookinfo/ratings".parse().unwrap()));
        let expected = "No ServiceEntry, Sidecar or WorkloadGroup of a fleet bookinfo/ratings was found. Check namespace and name.";
        assert!(said.contains(expected), "{said}");
    }
}
