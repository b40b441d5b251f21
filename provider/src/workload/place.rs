//! The place of a create: it begins once nobody works on the entry of its ID.

use std::time::Duration;

use cluster::{Cluster, Silence, being_deleted};
use mesh::desired::Kind;
use mesh::mark::is_labelled;
use mesh::names::Id;
use mesh::withdrawal::{Operation, Place, Withdrawal, place};
use mesh::workload::Workload;
use plugin::Diagnostic;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::messages::{self, Code, Message};

/// Between one look at the entry and the next, and what is left of the time for the report.
const PAUSE: Duration = Duration::from_secs(1);

/// Characters that a diagnostic shows of the ID of a run.
const LONGEST_RUN: usize = 40;

/// Waits until a workload can be created under its ID, and returns what a dead create of the same VM left there.
///
/// # Errors
/// A workload that exists, and a run that still works on it at the deadline.
pub(super) async fn await_place(
    context: &Context,
    workload: &Workload,
    deadline: Instant,
) -> Result<Option<Value>, plugin::Diagnostics> {
    let (cluster, id) = (context.cluster().await?, &workload.id);
    let mut sight = Sight {
        looks: 0,
        mark: Silence::new(PAUSE + PAUSE),
        silence: Duration::ZERO,
    };
    loop {
        let is_being_destroyed = || context.reservations.is_being_destroyed(id);
        let destroyed = is_being_destroyed();
        let entry = cluster.entry(id).await;
        let entry = entry.map_err(|error| messages::cluster(&error))?;
        sight.note(entry.as_ref());
        let waits_for = match (place(workload, entry.as_ref(), sight.silence), &entry) {
            // It may end between the two looks.
            _ if destroyed || is_being_destroyed() => "a destroy in this apply".to_owned(),
            (Place::Free, _) => {
                sight.forget_lists(cluster, id);
                return Ok(entry);
            }
            (Place::Held(mark), _) => named(&mark),
            // A destroy of the same apply may begin a moment later.
            (Place::Taken, Some(of)) if sight.looks == 1 && is_labelled(of) => {
                "a destroy that may begin".to_owned()
            }
            (Place::Taken, entry) => return Err(taken(id, entry.as_ref()).into()),
        };
        if Instant::now() + PAUSE + PAUSE > deadline {
            return Err(busy(id, &waits_for).into());
        }
        tracing::info!("the create of {id} waits for {waits_for}");
        sleep(PAUSE).await;
    }
}

/// The mark of an entry as whoever waits for it sees it.
struct Sight {
    looks: usize,
    mark: Silence<Option<Withdrawal>>,
    /// For how long the mark has been the same.
    silence: Duration,
}

impl Sight {
    fn note(&mut self, entry: Option<&Value>) {
        self.looks += 1;
        self.silence = self.mark.note(entry.and_then(Withdrawal::of));
    }

    /// What was listed before the wait is old by now.
    fn forget_lists(&self, cluster: &Cluster, id: &Id) {
        if self.looks > 1 {
            for kind in [Kind::WorkloadEntry, Kind::ServiceEntry, Kind::Sidecar] {
                cluster.forget_list(kind, &id.namespace);
            }
        }
    }
}

/// Names the run that has set a mark.
fn named(mark: &Withdrawal) -> String {
    let by = mark.by.map_or("run".to_owned(), |by| by.to_string());
    if mark.run.is_empty() {
        return format!("a {by} by an earlier version of the provider");
    }
    format!("the {by} {}", plain::line(&mark.run, LONGEST_RUN))
}

fn busy(id: &Id, run: &str) -> Diagnostic {
    let text = format!(
        "The create of {id} has waited for {run}, which still works on the WorkloadEntry {id}. Wait until it ends, or \
         raise timeouts.create. Then apply again."
    );
    Message::new(Code::WorkloadBusy)
        .text(text)
        .at("name")
        .error()
}

fn taken(id: &Id, entry: Option<&Value>) -> Diagnostic {
    let dying = entry.and_then(|entry| being_deleted(Kind::WorkloadEntry, id, entry));
    if let Some(error) = dying {
        return messages::cluster(&error);
    }
    let import = format!("terraform import mesh_vm_workload.NAME {id}");
    let Some(entry) = entry.filter(|entry| is_labelled(entry)) else {
        let text = format!(
            "The WorkloadEntry {id} already exists. If it belongs to this VM, import it:\n\n  {import}\n\nelse choose \
             another name."
        );
        let message = Message::new(Code::WorkloadExists);
        return message.text(text).at("name").error();
    };
    let stopped = match Withdrawal::of(entry).and_then(|mark| mark.by) {
        Some(by @ (Operation::Bootstrap | Operation::Destroy)) => {
            format!(" Its traffic is withdrawn by a {by} that has stopped: run that again first.")
        }
        _ => String::new(),
    };
    let text = format!(
        "The WorkloadEntry {id} already exists, and this provider has created it.{stopped}"
    );
    let message = Message::new(Code::WorkloadExists).text(text);
    let message = message.text(messages::renamed("mesh_vm_workload", id));
    message.at("name").error()
}
