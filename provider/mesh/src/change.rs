//! What a change or drift asks for.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::drift::{Finding, What};
use crate::rule::Rule;

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

/// What is different from what should be; the side decides the repair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// In the cluster: an apply repairs it.
    pub objects: Vec<Finding>,
    /// On the VM: a re-bootstrap repairs it.
    pub vm: Vec<Finding>,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What must happen.
    pub effect: Effect,
    /// Why the VM is bootstrapped; `None`: not known yet, a value is unknown.
    pub reasons: Option<Vec<String>>,
    /// What of [`Drift::vm`] stands after it, since it is held back; `None`: not known yet.
    pub held: Option<Vec<Finding>>,
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
    let vm = drift.vm.iter().any(|finding| may(finding.cause));
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

fn held(edits: &[Edit], drift: &Drift) -> Option<Vec<Finding>> {
    let mut held = drift.vm.clone();
    for edit in of_vm(edits) {
        edit.text.as_ref()?;
        let cause = edit.cause.unwrap_or(Cause::Configuration);
        let finding = Finding::new(Some(cause), None, &edit.at, What::Edited);
        if !held.contains(&finding) {
            held.push(finding);
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
    /// The rule.
    pub rule: Rule,
    /// What was found, the cause and the next step, as sentences.
    pub text: String,
}
