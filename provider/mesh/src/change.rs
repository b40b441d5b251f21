//! What a change or drift asks for.

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
    /// `v1 -> v2`; `None` while a side is unknown.
    pub text: Option<String>,
}

/// What is different from what should be, as readable lines; the side decides the repair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// In the cluster: an apply repairs it.
    pub objects: Vec<String>,
    /// On the VM: a re-bootstrap repairs it.
    pub vm: Vec<String>,
}

/// What will be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What must happen.
    pub effect: Effect,
    /// Why the VM is bootstrapped; `None`: not known yet, a value is unknown.
    pub reasons: Option<Vec<String>>,
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.vm.is_empty()
    }

    /// Returns what repairs it.
    pub fn effect(&self) -> Effect {
        match (self.vm.is_empty(), self.objects.is_empty()) {
            (false, _) => Effect::Rebootstrap,
            (true, false) => Effect::Objects,
            (true, true) => Effect::Nothing,
        }
    }
}

/// Decides what edits and the drift seen so far ask for: the strongest effect wins.
///
/// The reasons are `labels.version: v1 -> v2` and `drift: <line>`; they are empty if the VM is not
/// bootstrapped. They are not known as a whole while one is not: a planned value that is known must
/// stay as it is when the plan is made again.
pub fn decide(edits: &[Edit], drift: &Drift) -> Change {
    let effect = edits
        .iter()
        .map(|edit| edit.effect)
        .fold(drift.effect(), Effect::max);
    let causes = edits
        .iter()
        .filter(|edit| edit.effect >= Effect::Rebootstrap);
    let edited = causes.map(|edit| {
        edit.text
            .as_ref()
            .map(|text| format!("{}: {text}", edit.at))
    });
    let drifted = drift.vm.iter().map(|line| Some(format!("drift: {line}")));
    Change {
        effect,
        reasons: edited.chain(drifted).collect(),
    }
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
