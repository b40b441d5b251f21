//! How the members of a fleet are bootstrapped: how many may be without traffic at a time, and what a failure means for
//! the others.

mod turn;

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::desired::{Kind, Manifest};
use crate::mark::Mark;
use crate::names::{Id, Invalid, words};
pub use turn::{Absence, Turn, Waited, absence, fleet_of, turn};

/// Annotation with the limit of a fleet's rollout.
pub const MAX_UNAVAILABLE: &str = "mesh.vm/max-unavailable";

/// Annotation with what a failure means for a fleet's rollout.
pub const ON_FAILURE: &str = "mesh.vm/on-failure";

/// How the members of a fleet are bootstrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// How many members may be without traffic at a time.
    pub max_unavailable: MaxUnavailable,
    /// What happens to the other members after a bootstrap has failed.
    pub on_failure: OnFailure,
}

/// How many members of a fleet may be without traffic at a time: a number from 1, or a percentage from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// A number of members.
    Count(u32),
    /// A percentage of all members.
    Percent(u8),
}

impl MaxUnavailable {
    /// Returns the number for a fleet of that many members: a percentage is rounded down, but is at least 1.
    pub fn of(self, members: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => {
                let percent = usize::from(percent);
                // Of more members than can be, the parts are rounded one by one.
                let whole = members / 100 * percent;
                (whole + members % 100 * percent / 100).max(1)
            }
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_unavailable: MaxUnavailable::Count(1),
            on_failure: OnFailure::Stop,
        }
    }
}

impl FromStr for MaxUnavailable {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<u32>().ok();
        let number = number.filter(|number| is_number && *number > 0);
        let parsed = match (number, text.ends_with('%')) {
            (Some(percent), true) if percent <= 100 => {
                u8::try_from(percent).ok().map(Self::Percent)
            }
            (Some(count), false) => Some(Self::Count(count)),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let rule =
                "a whole number from 1, such as \"2\", or a percentage from \"1%\" to \"100%\"";
            Invalid::new(text, "a limit of unavailable members", rule)
        })
    }
}

impl fmt::Display for MaxUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

words! {
    /// What a failed bootstrap of a member means for the members that have not begun.
    OnFailure: "what a failure means", "\"stop\" or \"continue\"" {
        /// They are refused.
        Stop = "stop",
        /// They go on, as long as the limit holds.
        Continue = "continue",
    }
}

impl Rollout {
    /// Reads the rollout from a fleet's Lease. Where there is none, or one that cannot be read, the default holds.
    pub fn of(lease: Option<&Value>) -> Self {
        Self::declared(lease).unwrap_or_default()
    }

    /// Reads what a fleet has written on its Lease; `None`: nothing.
    pub fn declared(lease: Option<&Value>) -> Option<Self> {
        let annotations = &lease?["metadata"]["annotations"];
        let (limit, on_failure) = (&annotations[MAX_UNAVAILABLE], &annotations[ON_FAILURE]);
        if limit.is_null() && on_failure.is_null() {
            return None;
        }
        let default = Self::default();
        Some(Self {
            max_unavailable: read(limit).unwrap_or(default.max_unavailable),
            on_failure: read(on_failure).unwrap_or(default.on_failure),
        })
    }
}

/// Reads an annotation, which somebody may have edited: the default is the strictest.
fn read<T: FromStr>(annotation: &Value) -> Option<T> {
    annotation.as_str()?.parse().ok()
}

/// Returns the ID of a fleet's Lease. The prefix avoids the names of leader elections in the same namespace.
pub fn lease_id(fleet: &Id) -> Option<Id> {
    Some(Id {
        namespace: fleet.namespace.clone(),
        name: format!("mesh-vm-fleet-{}", fleet.name).parse().ok()?,
    })
}

/// Returns the Lease that holds a fleet's rollout settings. The run that holds the lock owns its spec.
pub(crate) fn lease(fleet: &Id, rollout: Rollout) -> Option<Manifest> {
    let mut lease = bare_lease(fleet)?;
    lease.body["metadata"]["annotations"] = json!({
        MAX_UNAVAILABLE: rollout.max_unavailable.to_string(),
        ON_FAILURE: rollout.on_failure.to_string(),
    });
    Some(lease)
}

/// Returns a fleet's Lease as a member creates it that finds none.
pub fn bare_lease(fleet: &Id) -> Option<Manifest> {
    let mark = Mark::Fleet(fleet.name.clone());
    Some(Manifest {
        kind: Kind::Lease,
        id: lease_id(fleet)?,
        // An empty spec claims nothing.
        body: json!({ "metadata": { "labels": mark.labels() }, "spec": {} }),
    })
}
