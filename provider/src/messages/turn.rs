//! What prevents the turn of a fleet's member.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh::names::Id;
use mesh::rollout::Waited;
use plugin::{Diagnostic, Diagnostics, GoDuration, Severity};

use super::{Code, Message};
use crate::turns::Failed;

/// Members that a diagnostic names.
const MOST: usize = 20;

/// Characters that a diagnostic quotes of another one.
const LONGEST: usize = 1000;

/// Returns the members that are waited for, as text.
pub(crate) fn names(waited: &[Waited]) -> String {
    let some = waited.iter().take(MOST);
    let mut names: Vec<_> = some
        .map(|of| format!("{} ({})", of.id, of.absence))
        .collect();
    if waited.len() > MOST {
        names.push(format!("and {} more", waited.len() - MOST));
    }
    names.join(", ")
}

/// Returns the first error of a failure, as a text for the members that it stops.
pub(crate) fn cause(diagnostics: &Diagnostics) -> String {
    let mut errors = diagnostics
        .iter()
        .filter(|of| of.severity == Severity::Error);
    let error = errors
        .next()
        .map(|error| format!("{}: {}", error.summary, error.detail));
    error.map_or_else(String::new, |error| plain::lines(&error, LONGEST))
}

/// Reports a member that was not begun, because another one has failed.
pub(crate) fn stopped(id: &Id, fleet: &Id, failed: &Failed) -> Diagnostic {
    let text = format!(
        "The bootstrap of {} failed in this apply, so the rollout of the fleet {fleet} stopped before {id}: its VM and its \
         entry are as they were. Fix what failed, then apply again. To go on with the other members after a failure, set \
         rollout.on_failure = \"continue\" on the fleet.\n\n{} reported:\n\n{}",
        failed.id, failed.id, failed.cause
    );
    Message::new(Code::RolloutStopped).text(text).error()
}

/// Reports a wait that has ended, since nothing changed about the members that are waited for.
pub(crate) fn late(id: &Id, fleets: &BTreeSet<Id>, patience: Duration, names: &str) -> Diagnostic {
    let fleets: Vec<_> = fleets.iter().map(Id::to_string).collect();
    let text = format!(
        "The bootstrap of {id} has waited for its turn in the fleet {}. As many members as rollout.max_unavailable allows \
         are without traffic, and none of them has changed for {}: {names}. The VM and the entry of {id} are as they were. \
         Repair these members, or destroy them, then apply again: the bootstrap of a member without traffic never \
         waits. Or raise rollout.max_unavailable.",
        fleets.join(", "),
        GoDuration(patience)
    );
    Message::new(Code::RolloutWaits).text(text).error()
}
