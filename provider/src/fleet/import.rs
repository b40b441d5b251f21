//! Import: what is in the cluster, as the user would have written it.

use plugin::{Diagnostic, Diagnostics, ImportId};

use super::input::{FleetInput, from_fleet};
use super::output::FleetOutput;
use crate::context::Context;
use crate::diagnose;
use crate::workload::import::parse;

/// Imports the fleet that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<(FleetInput, FleetOutput), Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let told = |error| diagnose::cluster(&error);
    let names = cluster.selecting(&id).await.map_err(told)?;
    let observed = cluster.observe_fleet(&id, &names).await.map_err(told)?;
    let imported = mesh::import::fleet_from_objects(&id, &observed).ok_or_else(|| missing(&id))?;
    for note in &imported.notes {
        tracing::warn!(%id, "{note}");
    }
    Ok((from_fleet(imported.fleet), FleetOutput::default()))
}

fn missing(id: &mesh::names::Id) -> Diagnostic {
    Diagnostic::error(
        "There is nothing to import",
        diagnose::coded(
            "import-missing",
            &format!(
                "There is no WorkloadGroup and no Sidecar {id}, and no ServiceEntry that is called {}-<service>. Check \
                 namespace and name.",
                id.name
            ),
        ),
    )
}
