//! What differs between two values of one declaration, leaf by leaf.

use std::collections::BTreeSet;

use crate::{Attribute, Mode, Path, Raw, Rule, Step, Type};

/// Maximum length of a value in the text of a change, in characters.
const LONGEST: usize = 60;

/// A changed leaf.
#[derive(Clone, PartialEq)]
pub struct Changed {
    /// Where.
    pub at: Path,
    /// What the change does: the rule of the innermost attribute around the leaf.
    pub rule: Rule,
    /// What was there; null if nothing was.
    pub before: Raw,
    /// What shall be there.
    pub after: Raw,
    secret: bool,
}

impl Changed {
    /// Returns whether a side is not known yet.
    pub(crate) fn is_open(&self) -> bool {
        self.before.has_unknown() || self.after.has_unknown()
    }

    /// Returns whether one of two changes is at the other's place, or inside it.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let (own, other) = (self.at.steps(), other.at.steps());
        own.starts_with(other) || other.starts_with(own)
    }

    /// Returns `v1 -> v2`, with `unset` for null and long values shortened; `None` while a side is unknown.
    ///
    /// A secret attribute, and one whose rule hides it, shows no value.
    pub fn text(&self) -> Option<String> {
        if self.is_open() {
            return None;
        }
        if self.secret {
            return Some("(sensitive) changed".to_owned());
        }
        if self.rule.hides {
            return Some("changed".to_owned());
        }
        let (before, after) = (self.before.to_string(), self.after.to_string());
        let (before, after) = plain::pair(&before, &after, LONGEST);
        Some(format!("{before} -> {after}"))
    }
}

impl std::fmt::Debug for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text().unwrap_or_else(|| "unknown".to_owned());
        write!(f, "{} {text} ({:?})", self.at.notation(), self.rule)
    }
}

/// Returns the changes of what the user writes, leaf by leaf: through objects attribute by attribute,
/// through maps key by key. Lists and sets change as a whole.
///
/// An object or map that is unknown as a whole, or that changes between null and empty, is one change.
pub fn edits(attributes: &[Attribute], before: &Raw, after: &Raw) -> Vec<Changed> {
    let mut found = vec![];
    let leaf = Leaf {
        rule: Rule::NONE,
        secret: false,
    };
    let place = Place {
        at: Path::root(),
        leaf,
        before,
        after,
    };
    place.compare_object(attributes, &mut found);
    found
}

/// Two values at one path, and what holds for the leaves there by all attributes around them.
struct Place<'a> {
    at: Path,
    leaf: Leaf,
    before: &'a Raw,
    after: &'a Raw,
}

impl Place<'_> {
    /// Returns the place of an attribute or an element, if its values differ.
    fn below(&self, key: &str, step: Step, leaf: Leaf) -> Option<Place<'_>> {
        let (before, after) = (self.before.get(key), self.after.get(key));
        (before != after).then(|| Place {
            at: self.at.join(step),
            leaf,
            before,
            after,
        })
    }

    fn compare_object(&self, attributes: &[Attribute], found: &mut Vec<Changed>) {
        let written = |attribute: &&Attribute| attribute.mode != Mode::Computed;
        for attribute in attributes.iter().filter(written) {
            let own = attribute.rule;
            let own = Leaf {
                rule: if self.leaf.rule.hides {
                    own.hidden()
                } else {
                    own
                },
                secret: self.leaf.secret || attribute.mode == Mode::Secret,
            };
            let step = Step::Name(attribute.name.into());
            if let Some(place) = self.below(attribute.name, step, own) {
                place.compare(&attribute.ty, found);
            }
        }
    }

    fn compare(&self, ty: &Type, found: &mut Vec<Changed>) {
        let known_before = found.len();
        match ty {
            _ if *self.before == Raw::Unknown || *self.after == Raw::Unknown => {}
            Type::Object(attributes) => self.compare_object(attributes, found),
            Type::Map(inner) => {
                for key in keys(self.before).union(&keys(self.after)) {
                    let step = Step::Key((*key).to_owned());
                    if let Some(place) = self.below(key, step, self.leaf) {
                        place.compare(inner, found);
                    }
                }
            }
            _ => {}
        }
        // Nothing below differs, but the values do: null against empty, or a leaf.
        if found.len() == known_before && self.before != self.after {
            found.push(Changed {
                at: self.at.clone(),
                rule: self.leaf.rule,
                before: self.before.clone(),
                after: self.after.clone(),
                secret: self.leaf.secret,
            });
        }
    }
}

/// What holds for a leaf by all attributes around it.
#[derive(Clone, Copy)]
struct Leaf {
    rule: Rule,
    secret: bool,
}

fn keys(raw: &Raw) -> BTreeSet<&str> {
    match raw {
        Raw::Map(items) => items.keys().map(String::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line_that_a_terminal_shows_and_does_not_obey() {
        let deceit = "\u{1b}[2J\u{9b}31m\nError: lost\u{202e}txt.exe\u{200b}".repeat(1000);
        let changed = Changed {
            at: Path::root().name("triggers").key(&deceit),
            rule: Rule::NONE,
            before: Raw::Null,
            after: Raw::Text(deceit),
            secret: false,
        };
        let text = format!("{}: {}", changed.at.notation(), changed.text().unwrap());
        assert_eq!(plain::line(&text, 600), text);
    }
}
