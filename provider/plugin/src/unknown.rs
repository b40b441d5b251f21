//! Which parts of a value are not known yet.

use crate::{Diagnostics, Path, Raw};

/// The paths of a value that are not known yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paths(Vec<String>);

impl Paths {
    /// Collects the paths of everything unknown in a value.
    pub fn unknown_in(raw: &Raw) -> Self {
        let mut found = vec![];
        collect(raw, &Path::root(), &mut found);
        Self(found)
    }

    /// Adds what was reported already: a value with a problem reads as unknown.
    #[must_use]
    pub fn with_reported(mut self, reported: &Diagnostics) -> Self {
        let paths = reported.iter().filter_map(|reported| reported.at.as_ref());
        self.0.extend(paths.map(Path::flat));
        self
    }

    /// Returns whether the value at the path, something around it or something in it is unknown.
    ///
    /// A rule that concerns such a value cannot be judged yet.
    pub fn is_unknown(&self, path: impl Into<Path>) -> bool {
        let path = path.into().flat();
        self.0
            .iter()
            .any(|unknown| is_within(unknown, &path) || is_within(&path, unknown))
    }
}

fn collect(raw: &Raw, at: &Path, found: &mut Vec<String>) {
    match raw {
        Raw::Unknown => found.push(at.flat()),
        Raw::List(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| collect(item, &at.index(index), found)),
        Raw::Map(items) => items
            .iter()
            .for_each(|(key, item)| collect(item, &at.key(key), found)),
        Raw::Dynamic { value, .. } => collect(value, at, found),
        Raw::Null | Raw::Bool(_) | Raw::Number(_) | Raw::Text(_) => {}
    }
}

fn is_within(inner: &str, outer: &str) -> bool {
    outer.is_empty()
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_reaches_up_and_down() {
        let labels = Raw::Map([("app.kubernetes.io/name".into(), Raw::Unknown)].into());
        let raw = Raw::Map(
            [
                ("address".into(), Raw::Unknown),
                ("labels".into(), labels),
                ("name".into(), Raw::Null),
            ]
            .into(),
        );
        let unknown = Paths::unknown_in(&raw);
        for path in [
            "address",
            "address.host",
            "labels",
            "labels.app.kubernetes.io/name",
        ] {
            assert!(unknown.is_unknown(path), "{path}");
        }
        for path in ["name", "addresses", "labels.app"] {
            assert_eq!(unknown.is_unknown(path), path == "labels.app", "{path}");
        }
    }
}
