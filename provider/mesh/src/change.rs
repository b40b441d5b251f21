//! What a change or drift asks for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::names::Invalid;

/// What must happen, weakest first: the strongest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Only the state changes.
    #[default]
    Nothing,
    /// The mesh objects are applied; the VM is not touched.
    Objects,
    /// The VM is bootstrapped again, in place.
    Rebootstrap,
    /// The workload is destroyed and created again.
    Replace,
}

/// One changed attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Where, as the user writes it: `labels.version`, `proxy.interception`.
    pub at: String,
    /// What it asks for.
    pub effect: Effect,
    /// For what cause it bootstraps the VM; `None`: it cannot be held back, as it makes the VM ours, or asks for an
    /// archive.
    pub cause: Option<Cause>,
    /// `v1 -> v2`; `None` while a side is unknown.
    pub text: Option<String>,
}

/// Why a VM would be bootstrapped. Each can be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// What the user asks for changed, or the VM runs on something else than that.
    Configuration,
    /// What the cluster says of the mesh changed.
    Mesh,
    /// Files on the VM are not as they were written.
    Files,
    /// Another machine, or one that is not marked as ours.
    Machine,
    /// The proxy does not run as it should: its unit, its rules.
    Proxy,
    /// The workload's certificate ended.
    Certificate,
}

impl Cause {
    const ALL: [Self; 6] = [
        Self::Configuration,
        Self::Mesh,
        Self::Files,
        Self::Machine,
        Self::Proxy,
        Self::Certificate,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Mesh => "mesh",
            Self::Files => "files",
            Self::Machine => "machine",
            Self::Proxy => "proxy",
            Self::Certificate => "certificate",
        }
    }

    /// Returns the cause of a line of [`Drift::vm`], with which the line begins. One without a cause
    /// is always repaired: a bootstrap that was not finished, an entry that is missing.
    pub fn of_line(line: &str) -> Option<Self> {
        line.split_once(": ")?.0.parse().ok()
    }
}

impl FromStr for Cause {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cause = Self::ALL.into_iter().find(|cause| cause.word() == text);
        cause.ok_or_else(|| {
            Invalid::new(
                text,
                "a cause of a bootstrap",
                "one of configuration, mesh, files, machine, proxy, certificate",
            )
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is different from what should be, as readable lines; the side decides the repair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// In the cluster: an apply repairs it.
    pub objects: Vec<String>,
    /// On the VM: a re-bootstrap repairs it. Lines begin with their [`Cause`].
    pub vm: Vec<String>,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What must happen.
    pub effect: Effect,
    /// Why the VM is bootstrapped; `None`: not known yet, a value is unknown.
    pub reasons: Option<Vec<String>>,
    /// Lines of [`Drift::vm`] that stand after it: what is held back; `None`: not known yet.
    pub held: Option<Vec<String>>,
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.vm.is_empty()
    }
}

/// Decides what edits and the drift seen so far ask for: the strongest effect wins.
///
/// `on` are the causes that may bootstrap the VM; `None`: all. Of what is held back, the objects are
/// written all the same, and the rest stands as drift until a bootstrap, which repairs everything.
///
/// The reasons are `labels.version: v1 -> v2` and `drift: <line>`; they are empty if the VM is not
/// bootstrapped. They are not known as a whole while one is not: a planned value that is known must
/// stay as it is when the plan is made again.
pub fn decide(edits: &[Edit], drift: &Drift, on: Option<&BTreeSet<Cause>>) -> Change {
    let may = |cause: Option<Cause>| on.zip(cause).is_none_or(|(on, cause)| on.contains(&cause));
    let asks = |edit: &Edit| match edit.effect {
        Effect::Rebootstrap if !may(edit.cause) => Effect::Objects,
        effect => effect,
    };
    let vm = drift.vm.iter().any(|line| may(Cause::of_line(line)));
    let of_drift = [
        (vm, Effect::Rebootstrap),
        (!drift.objects.is_empty(), Effect::Objects),
    ];
    let of_drift = of_drift
        .into_iter()
        .filter_map(|(differs, effect)| differs.then_some(effect));
    let effect = edits.iter().map(asks).chain(of_drift).max();
    let effect = effect.unwrap_or_default();
    let bootstraps = effect >= Effect::Rebootstrap;
    Change {
        effect,
        reasons: if bootstraps {
            reasons(edits, drift)
        } else {
            Some(vec![])
        },
        held: if bootstraps {
            Some(vec![])
        } else {
            held(edits, drift)
        },
    }
}

/// Returns the edits that end on the VM.
fn of_vm(edits: &[Edit]) -> impl Iterator<Item = &Edit> {
    edits
        .iter()
        .filter(|edit| edit.effect >= Effect::Rebootstrap)
}

fn reasons(edits: &[Edit], drift: &Drift) -> Option<Vec<String>> {
    let edited = of_vm(edits).map(|edit| {
        let text = edit.text.as_ref()?;
        Some(format!("{}: {text}", edit.at))
    });
    let drifted = drift.vm.iter().map(|line| Some(format!("drift: {line}")));
    edited.chain(drifted).collect()
}

/// How a line ends that tells of an edit which is held back.
pub const WAS_CHANGED: &str = " was changed";

fn held(edits: &[Edit], drift: &Drift) -> Option<Vec<String>> {
    let mut held = drift.vm.clone();
    for edit in of_vm(edits) {
        edit.text.as_ref()?;
        let cause = edit.cause.unwrap_or(Cause::Configuration);
        let line = format!("{cause}: {}{WAS_CHANGED}", edit.at);
        if !held.contains(&line) {
            held.push(line);
        }
    }
    Some(held)
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Attribute paths as the user writes them, e.g. `services.ratings.ports.http.number`;
    /// the first is where it is shown.
    pub concerns: Vec<String>,
    /// Stable name of the rule, kebab-case.
    pub rule: &'static str,
    /// What was found, the cause and the next step, as sentences.
    pub text: String,
}
