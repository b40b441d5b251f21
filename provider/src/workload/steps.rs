//! What an apply does, as a list of steps, and what undoes them: pure. It is decided once, before anything is written;
//! ARCHITECTURE.md shows the list of every case.

use std::fmt;

use mesh::change::Effect;

use super::input::WorkloadInput;
use crate::machine::VmAfterFailure;

/// How the provider reaches a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Over SSH.
    Ssh,
    /// By an archive, which somebody copies to the VM.
    Archive,
    /// Not at all: only the objects are managed.
    Objects,
}

impl Reach {
    /// Returns how the VM of a workload is reached.
    pub(crate) fn of(input: &WorkloadInput) -> Self {
        match (input.ssh.is_null(), input.bundle.is_null()) {
            (false, _) => Self::Ssh,
            (true, false) => Self::Archive,
            (true, true) => Self::Objects,
        }
    }
}

/// What more decides about the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Circumstance {
    /// Some objects were imported and never written.
    AdoptsObjects,
    /// An entry that the bootstrap withdraws is a member of a fleet.
    TakesTurn,
    /// The VM has belonged to another workload of this provider until now.
    TakesOverVm,
    /// The proxy probes the application.
    ProbesHealth,
    /// The VM of before is no longer the workload's. A bootstrap changed it, and `on_destroy` is `clean`.
    LeavesVm,
    /// The archive gets another path.
    MovesArchive,
}

/// A step of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Connect,
    CheckVm,
    AdoptObjects,
    AwaitTurn,
    WithdrawOthers,
    Withdraw,
    Bootstrap,
    AwaitConnection,
    Admit,
    AwaitHealth,
    WriteObjects,
    WriteArchive,
    Prune,
    RemoveArchive,
    CleanFormerVm,
    RemoveProxy,
    DeleteObjects,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect to the VM",
            Self::CheckVm => "check the VM",
            Self::AdoptObjects => "adopt imported objects",
            Self::AwaitTurn => "await the turn",
            Self::WithdrawOthers => "withdraw the former entry's traffic",
            Self::Withdraw => "withdraw traffic",
            Self::Bootstrap => "bootstrap the VM",
            Self::AwaitConnection => "await istiod's report",
            Self::Admit => "admit traffic",
            Self::AwaitHealth => "await health",
            Self::WriteObjects => "write objects",
            Self::WriteArchive => "write the archive",
            Self::Prune => "prune objects",
            Self::RemoveArchive => "remove the old archive",
            Self::CleanFormerVm => "clean the former VM",
            Self::RemoveProxy => "remove the proxy",
            Self::DeleteObjects => "delete objects",
        })
    }
}

/// Returns what an apply does. `before` is `None` for a create, `after` for a destroy.
pub(crate) fn steps(
    before: Option<Reach>,
    after: Option<Reach>,
    effect: Effect,
    circumstances: &[Circumstance],
) -> Vec<Step> {
    use Circumstance as C;
    let has = |circumstance| circumstances.contains(&circumstance);
    let rewrites = before.is_none() || effect >= Effect::Rebootstrap;
    let updates = before.is_some();
    let had_archive = before == Some(Reach::Archive);
    let steps = match after {
        _ if updates && after.is_some() && effect == Effect::Nothing => vec![],
        Some(Reach::Ssh) if rewrites => vec![
            (true, Step::Connect),
            (true, Step::CheckVm),
            (has(C::AdoptsObjects), Step::AdoptObjects),
            (has(C::TakesTurn), Step::AwaitTurn),
            (has(C::TakesOverVm), Step::WithdrawOthers),
            (true, Step::Withdraw),
            (true, Step::Bootstrap),
            (true, Step::AwaitConnection),
            (true, Step::Admit),
            (has(C::ProbesHealth), Step::AwaitHealth),
            (updates, Step::Prune),
            (had_archive, Step::RemoveArchive),
            (has(C::LeavesVm), Step::CleanFormerVm),
        ],
        Some(after) => vec![
            (has(C::AdoptsObjects), Step::AdoptObjects),
            (true, Step::WriteObjects),
            (updates, Step::Prune),
            // A VM that is now reached by an archive keeps its proxy.
            (
                has(C::LeavesVm) && after == Reach::Objects,
                Step::CleanFormerVm,
            ),
            (rewrites && after == Reach::Archive, Step::WriteArchive),
            (
                had_archive && (after != Reach::Archive || has(C::MovesArchive)),
                Step::RemoveArchive,
            ),
        ],
        None => vec![
            (has(C::LeavesVm), Step::Connect),
            (true, Step::Withdraw),
            (has(C::LeavesVm), Step::RemoveProxy),
            (updates, Step::DeleteObjects),
            (had_archive, Step::RemoveArchive),
        ],
    };
    let steps = steps.into_iter().filter(|(does, _)| *does);
    steps.map(|(_, step)| step).collect()
}

/// What undoes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayBack {
    DeleteWritten,
    WritePrior,
    RestoreHealth,
    RestoreTraffic,
    RestoreOthers,
}

impl WayBack {
    /// Returns true if it takes the objects back to what they were.
    pub(super) fn is_of_objects(self) -> bool {
        matches!(self, Self::DeleteWritten | Self::WritePrior)
    }
}

impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeleteWritten => "delete what was written",
            Self::WritePrior => "write the prior objects",
            Self::RestoreHealth => "restore the reported health",
            Self::RestoreTraffic => "restore traffic",
            Self::RestoreOthers => "restore the former entry's traffic",
        })
    }
}

/// What an apply does to the workload as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Update,
    Destroy,
}

/// Returns what undoes these steps after the last of them failed. Nothing does once the VM was changed: the state then
/// says what is left to do.
///
/// Traffic comes back first: the deletion of an object may wait for finalizers until the deadline.
pub(crate) fn ways_back(kind: Kind, steps: &[Step], vm: VmAfterFailure) -> Vec<WayBack> {
    let Some((failed, done)) = steps.split_last() else {
        return vec![];
    };
    let is_changed = done
        .iter()
        .any(|step| matches!(step, Step::Bootstrap | Step::RemoveProxy));
    if is_changed || vm == VmAfterFailure::Unknown {
        return vec![];
    }
    let ways = steps.iter().rev().flat_map(|step| match (step, kind) {
        // A VM that was changed back may still have what the bootstrap left: a destroy removes it.
        (Step::Withdraw, Kind::Create) if vm == VmAfterFailure::Reverted => {
            vec![WayBack::RestoreHealth]
        }
        (Step::Withdraw | Step::WriteObjects, Kind::Create) => vec![WayBack::DeleteWritten],
        (Step::Withdraw, Kind::Update) => vec![WayBack::RestoreHealth, WayBack::WritePrior],
        (Step::Withdraw, Kind::Destroy) if step != failed => vec![WayBack::RestoreTraffic],
        // The state was saved ahead of it already.
        (Step::WithdrawOthers, Kind::Create) if step == failed => {
            vec![WayBack::DeleteWritten, WayBack::RestoreOthers]
        }
        (Step::WithdrawOthers, _) if step == failed => {
            vec![WayBack::WritePrior, WayBack::RestoreOthers]
        }
        (Step::WithdrawOthers, _) => vec![WayBack::RestoreOthers],
        _ => vec![],
    });
    let (objects, traffic): (Vec<_>, Vec<_>) = ways.partition(|way| way.is_of_objects());
    let others = traffic.iter().filter(|way| **way == WayBack::RestoreOthers);
    let own = traffic.iter().filter(|way| **way != WayBack::RestoreOthers);
    others.chain(own).chain(&objects).copied().collect()
}
