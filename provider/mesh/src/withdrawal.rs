//! The mark of an entry whose traffic the provider has withdrawn: for what, by which run, and whether that run lives.
//!
//! ```text
//! mesh.vm/withdrawn: by=bootstrap run=3f0c… renewal=2 leaves=ratings
//! ```
//!
//! Parts of other names are ignored, so that later versions can add some. Released versions wrote `true`.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::mark::{FLEET_LABEL, is_labelled, is_our_apply};
use crate::names::{Id, Name};
use crate::workload::Workload;

/// Annotation of an entry whose traffic the provider has withdrawn. With a health check, `HEALTH_CHECKS` is the same on
/// a withdrawn entry and on a final one.
pub const WITHDRAWN: &str = "mesh.vm/withdrawn";

/// How often a run renews its mark while it lives.
pub const RENEWAL: Duration = Duration::from_secs(10);

/// After how long without a renewal a run counts as dead, as measured by the one who waits.
pub const DEAD: Duration = Duration::from_secs(30);

/// The mark of a released version, which names neither the operation nor the run.
const UNNAMED: &str = "true";

/// What withdrew the traffic of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A create of the workload.
    Create,
    /// A bootstrap of the workload's VM, or of another workload that takes the VM over.
    Bootstrap,
    /// A destroy of the workload.
    Destroy,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Create, Self::Bootstrap, Self::Destroy];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Bootstrap => "bootstrap",
            Self::Destroy => "destroy",
        })
    }
}

/// The mark of a withdrawn entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// What withdrew the traffic; `None`: unknown.
    pub by: Option<Operation>,
    /// The ID of the run; empty in a mark of a released version.
    pub run: String,
    /// How often the run has renewed the mark.
    pub renewal: u64,
    /// The fleet that the entry leaves by this bootstrap: until it takes traffic again, it counts as a member there.
    pub leaves: Option<Name>,
}

impl Withdrawal {
    /// Returns the mark of an observed entry; `None` if its traffic is not withdrawn.
    pub fn of(entry: &Value) -> Option<Self> {
        let text = entry["metadata"]["annotations"][WITHDRAWN].as_str()?;
        if text == UNNAMED {
            return Some(Self {
                by: is_as_created(entry).then_some(Operation::Create),
                run: String::new(),
                renewal: 0,
                leaves: None,
            });
        }
        let part = |name: &str| {
            let mut parts = text.split(' ').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let by = part("by").unwrap_or_default();
        let mut all = Operation::ALL.into_iter();
        Some(Self {
            by: all.find(|operation| operation.to_string() == by),
            run: part("run").unwrap_or_default().to_owned(),
            renewal: part("renewal").and_then(|of| of.parse().ok()).unwrap_or(0),
            leaves: part("leaves").and_then(|of| of.parse().ok()),
        })
    }

    /// Returns the mark for an entry as it was `before` and that is written as a member of `fleet`. A run that a kill has
    /// ended has written the new fleet, so what its mark says stays.
    #[must_use]
    pub fn leaving(&self, before: Option<&Value>, fleet: Option<&Id>) -> Self {
        let label = before.and_then(|entry| entry["spec"]["labels"][FLEET_LABEL].as_str());
        let was = label.and_then(|name| name.parse::<Name>().ok());
        let left = was.filter(|name| fleet.map(|fleet| &fleet.name) != Some(name));
        let earlier = || before.and_then(Self::of)?.leaves;
        Self {
            leaves: left.or_else(earlier),
            ..self.clone()
        }
    }

    /// Returns whether an observed entry carries a mark of this run.
    pub fn is_on(&self, entry: &Value) -> bool {
        let seen = Self::of(entry);
        seen.is_some_and(|seen| !self.run.is_empty() && seen.run == self.run)
    }

    /// Returns the mark as the run renews it.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self {
            renewal: self.renewal.saturating_add(1),
            ..self.clone()
        }
    }
}

impl fmt::Display for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.run.is_empty() {
            return f.write_str(UNNAMED);
        }
        if let Some(by) = self.by {
            write!(f, "by={by} ")?;
        }
        write!(f, "run={} renewal={}", self.run, self.renewal)?;
        match &self.leaves {
            Some(fleet) => write!(f, " leaves={fleet}"),
            None => Ok(()),
        }
    }
}

/// Returns whether our last change of an entry was its creation. A mark of a released version does not say that a create
/// wrote it, but a bootstrap and a destroy change an entry that has been there before.
fn is_as_created(entry: &Value) -> bool {
    let metadata = &entry["metadata"];
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let mut ours = managers.filter(|of| is_our_apply(of));
    let applied = ours.next().and_then(|of| time(&of["time"]));
    let created = time(&metadata["creationTimestamp"]);
    // The API server takes the two times one after the other.
    let within = |(applied, created): (Timestamp, Timestamp)| {
        applied.duration_since(created).abs() <= SignedDuration::from_secs(1)
    };
    applied.zip(created).is_some_and(within)
}

/// Returns whether traffic is withdrawn from an observed entry: a bootstrap or a removal of its VM is running or was
/// interrupted.
pub fn is_withdrawn(entry: &Value) -> bool {
    Withdrawal::of(entry).is_some()
}

/// What a create finds under its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing, or what a dead create left of the same VM: no state contains it.
    Free,
    /// A run that may still live works on the entry. After it, the place may be free.
    Held(Withdrawal),
    /// A workload.
    Taken,
}

/// Returns what a create of a workload finds. `silent` is how long the mark of the entry has not changed, as seen by
/// whoever waits.
pub fn place(workload: &Workload, entry: Option<&Value>, silent: Duration) -> Place {
    let Some(entry) = entry else {
        return Place::Free;
    };
    let Some(withdrawal) = Withdrawal::of(entry).filter(|_| is_labelled(entry)) else {
        return Place::Taken;
    };
    if silent < DEAD {
        return Place::Held(withdrawal);
    }
    let address = entry["spec"]["address"].as_str();
    let address = address.and_then(|address| address.parse().ok());
    if withdrawal.by == Some(Operation::Create) && address == workload.address {
        Place::Free
    } else {
        Place::Taken
    }
}
