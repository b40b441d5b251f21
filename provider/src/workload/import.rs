//! Import: what is in the cluster, as the user would have written it.

use mesh::drift::Finding;
use mesh::names::Id;
use plugin::{Diagnostic, Diagnostics, ImportId, Imported, Paths};

use super::input::{WorkloadInput, from_workload};
use super::output::WorkloadOutput;
use crate::context::Context;
use crate::imported::uids;
use crate::messages::{self, Code, Message};

/// Imports the workload that an id or an identity names.
pub(super) async fn import(
    context: &Context,
    id: &ImportId,
) -> Result<Imported<WorkloadInput, WorkloadOutput>, Diagnostics> {
    let id = parse(id)?;
    let cluster = context.cluster().await?;
    let diagnostic = |error| messages::cluster(&error);
    let selecting = cluster.selecting(&id).await.map_err(diagnostic)?;
    let observed = cluster.observe(&id, &selecting).await.map_err(diagnostic)?;
    if observed.entry.is_none() {
        return Err(missing(&id).into());
    }
    let imported = mesh::import::workload_from_objects(&observed)
        .map_err(|p| messages::problems(p, &Paths::default()))?;
    let declared = mesh::objects::declared(&imported.workload);
    let ids = mesh::objects::object_ids(&imported.workload);
    let lost = mesh::import::left_out(&declared, &observed, &imported.workload.mark());
    Ok(Imported {
        input: from_workload(imported.workload),
        output: WorkloadOutput {
            imported_uids: uids(ids, &observed),
            ..WorkloadOutput::default()
        },
        diagnostics: left_out(&imported.notes, &lost).into_iter().collect(),
    })
}

/// Returns the warning about what an import cannot carry.
pub(crate) fn left_out(notes: &[String], lost: &[Finding]) -> Option<Diagnostic> {
    let lost = lost.iter().map(Finding::to_string);
    let lines: Vec<_> = notes.iter().cloned().chain(lost).collect();
    let text = "The configuration cannot express all of the objects. An apply writes them as the configuration has \
                them. The next plan has a line in `drift` for each part that the apply removes or overwrites:";
    let message = Message::new(Code::ImportPartial).text(text).lines(&lines);
    (!lines.is_empty()).then(|| message.warning())
}

/// Reads `namespace/name`.
pub(crate) fn parse(id: &ImportId) -> Result<Id, Diagnostic> {
    let text = match id {
        ImportId::Text(text) => text.clone(),
        ImportId::Identity(parts) => {
            let part = |name: &str| parts.get(name).map(String::as_str).unwrap_or_default();
            format!("{}/{}", part("namespace"), part("name"))
        }
    };
    text.parse().map_err(|error| {
        let problem = if text.contains('/') {
            format!("The namespace or the name in it {error}.")
        } else {
            format!("It must be namespace/name, got {text:?}.")
        };
        Message::new(Code::ImportId).text(problem).error()
    })
}

fn missing(id: &Id) -> Diagnostic {
    let text = format!("There is no WorkloadEntry {id}. Check namespace and name.");
    Message::new(Code::ImportMissing).text(text).error()
}
