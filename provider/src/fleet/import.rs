//! Import: what is in the cluster, as the user would have written it.

use plugin::{Diagnostic, Diagnostics, ImportId};

use super::input::{FleetInput, from_fleet};
use super::output::FleetOutput;
use crate::context::Context;
use crate::messages::{self, Code, Message};
use crate::workload::import::parse;

/// Imports the fleet that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<(FleetInput, FleetOutput), Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let diagnostic = |error| messages::cluster(&error);
    let names = cluster.selecting(&id).await.map_err(diagnostic)?;
    let observed = cluster
        .observe_fleet(&id, &names)
        .await
        .map_err(diagnostic)?;
    let imported = mesh::import::fleet_from_objects(&id, &observed).ok_or_else(|| missing(&id))?;
    for note in &imported.notes {
        tracing::warn!(%id, "{note}");
    }
    Ok((from_fleet(imported.fleet), FleetOutput::default()))
}

fn missing(id: &mesh::names::Id) -> Diagnostic {
    let text = format!("There is no WorkloadEntry {id}. Check namespace and name.");
    Message::new(Code::ImportMissing).text(text).error()
}
