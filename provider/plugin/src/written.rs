//! What the user wrote, in contrast to what is stored: each required attribute must be set in it.

use crate::{Attribute, Diagnostic, Diagnostics, Mode, Object, Path, Raw, Step, Type};

/// Reads what the user wrote, and reports every problem in it.
///
/// An engine refuses a required attribute that is left out, but not one whose value turns out to be null.
pub(crate) fn read_written<O: Object>(raw: &Raw, problems: &mut Diagnostics) -> Option<O> {
    unset(&O::attributes(), raw, &Path::root(), problems);
    O::read(raw, &Path::root(), problems)
}

/// Reports each required attribute of an object that is null.
fn unset(attributes: &[Attribute], raw: &Raw, at: &Path, problems: &mut Diagnostics) {
    let Raw::Map(_) = raw else { return };
    for attribute in attributes {
        let (value, at) = (raw.get(attribute.name), at.name(attribute.name));
        if *value == Raw::Null && attribute.mode == Mode::Required {
            problems.push(Diagnostic::invalid(&at, "must be set, got null."));
        }
        unset_below(&attribute.ty, value, &at, problems);
    }
}

fn unset_below(ty: &Type, raw: &Raw, at: &Path, problems: &mut Diagnostics) {
    match (ty, raw) {
        (Type::Object(attributes), raw) => unset(attributes, raw, at, problems),
        (Type::List(inner) | Type::Set(inner), Raw::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                unset_below(inner, item, &at.index(index), problems);
            }
        }
        (Type::Map(inner), Raw::Map(items)) => {
            for (key, item) in items {
                unset_below(inner, item, &at.join(Step::Key(key.clone())), problems);
            }
        }
        _ => {}
    }
}
