//! Decides what an edit or drift requires: nothing, writing objects, a re-bootstrap or a replacement.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::drift::{Finding, What};
use crate::rule::Rule;

/// What an apply must do, from the weakest to the strongest. The strongest of several wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Only the state changes.
    #[default]
    Nothing,
    /// The mesh objects are applied; the VM is not touched.
    Objects,
    /// The VM is re-bootstrapped in place.
    Rebootstrap,
    /// The workload is destroyed and created again.
    Replace,
}

/// A changed attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Path of the attribute, as the user writes it: `labels.version`, `proxy.interception`.
    pub at: String,
    /// What the edit requires.
    pub effect: Effect,
    /// Cause of the re-bootstrap. `None`: the edit cannot be held back, because it takes over the VM or requests an
    /// archive.
    pub cause: Option<Cause>,
    /// Old and new value, e.g. `v1 -> v2`; `None` while either of them is unknown.
    pub text: Option<String>,
}

/// Differences between the desired and the actual state. The side decides how they are repaired.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Differences in the cluster: an apply repairs them.
    pub objects: Vec<Finding>,
    /// Differences on the VM: a re-bootstrap repairs them.
    pub vm: Vec<Finding>,
}

/// The decision about one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What the apply must do.
    pub effect: Effect,
    /// Reasons for the bootstrap; `None`: not known yet, because a value is unknown.
    pub reasons: Option<Vec<String>>,
    /// Findings of [`Drift::vm`] that remain afterwards because they are held back; `None`: not known yet.
    pub held: Option<Vec<Finding>>,
}

impl Drift {
    /// Returns true if nothing differs.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.vm.is_empty()
    }
}

/// Decides what the edits and the known drift require: the strongest effect wins.
///
/// `on` lists the causes that may re-bootstrap the VM; `None`: all of them. For an edit that is held back, the objects
/// are still written. The rest remains as drift until the next bootstrap, which repairs everything.
///
/// Reasons have the form `labels.version: v1 -> v2` or `drift: <line>`. They are empty if the VM is not bootstrapped.
/// If one of them is unknown, all of them are: a known planned value must not change when Terraform plans again.
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

/// Returns the edits that require a bootstrap.
fn bootstrapping(edits: &[Edit]) -> impl Iterator<Item = &Edit> {
    edits
        .iter()
        .filter(|edit| edit.effect >= Effect::Rebootstrap)
}

fn reasons(edits: &[Edit], drift: &Drift) -> Option<Vec<String>> {
    let edited = bootstrapping(edits).map(|edit| {
        let text = edit.text.as_ref()?;
        Some(format!("{}: {text}", edit.at))
    });
    let drifted = drift.vm.iter().map(|line| Some(format!("drift: {line}")));
    edited.chain(drifted).collect()
}

fn held(edits: &[Edit], drift: &Drift) -> Option<Vec<Finding>> {
    let mut held = drift.vm.clone();
    for edit in bootstrapping(edits) {
        edit.text.as_ref()?;
        let cause = edit.cause.unwrap_or(Cause::Configuration);
        let finding = Finding::new(Some(cause), None, &edit.at, What::Edited);
        if !held.contains(&finding) {
            held.push(finding);
        }
    }
    Some(held)
}

/// A violation of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Attribute paths as the user writes them, e.g. `services.ratings.ports.http.number`.
    /// The problem is reported at the first one.
    pub concerns: Vec<String>,
    /// The rule.
    pub rule: Rule,
    /// Sentences that say what was found, why it is a problem and how to fix it.
    pub text: String,
}
