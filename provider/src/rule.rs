//! What a change of an attribute does, and for what cause. Each attribute names one of these; there is no other list.

use mesh::cause::Cause;
use mesh::change::Effect;
use plugin::Rule;

/// The mesh objects are applied; the VM is not touched.
pub(crate) const OBJECTS: Rule = Rule::new(Effect::Objects as u8);
/// The VM is re-bootstrapped with other files.
pub(crate) const BOOTSTRAP: Rule = Rule::new(Effect::Rebootstrap as u8).topic("files");
/// The VM is re-bootstrapped with the same files: the proxy's package, image and runtime are not among them.
pub(crate) const PACKAGE: Rule = BOOTSTRAP.topic("package");
/// The VM is re-bootstrapped because it may be another machine, which observing it would show.
pub(crate) const MACHINE: Rule = BOOTSTRAP.topic("machine");
/// The VM is re-bootstrapped because the user says that it is another machine.
pub(crate) const TRIGGER: Rule = BOOTSTRAP.topic("trigger");
/// An archive is written. This is never held back.
pub(crate) const ARCHIVE: Rule = BOOTSTRAP.topic("archive");
/// The resource is replaced.
pub(crate) const REPLACE: Rule = Rule::new(Effect::Replace as u8).replacing();

/// Returns the effect of a rule.
pub(crate) fn effect(rule: Rule) -> Effect {
    let all = [Effect::Replace, Effect::Rebootstrap, Effect::Objects];
    let found = all.into_iter().find(|effect| rule.rank >= *effect as u8);
    found.unwrap_or(Effect::Nothing)
}

/// Returns the cause by which a bootstrap of this rule can be held back; `None` if it cannot be.
pub(crate) fn cause(rule: Rule) -> Option<Cause> {
    match rule.topic {
        "files" | "package" => Some(Cause::Configuration),
        "machine" | "trigger" => Some(Cause::Machine),
        _ => None,
    }
}

/// Returns whether only the edit itself shows a change: observing the VM does not.
pub(crate) fn is_unseen(rule: Rule) -> bool {
    matches!(rule.topic, "package" | "trigger")
}
