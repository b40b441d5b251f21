//! Values as the bytes that Terraform sends and expects.

pub(crate) mod json;
pub(crate) mod kind;
pub(crate) mod msgpack;

use std::collections::BTreeMap;

use plugin::{Kind, Path, Raw, Step};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Bytes that are no value of the type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Malformed {
    /// Innermost step first, since the caller adds the outer steps.
    steps: Vec<Step>,
    what: String,
}

impl Malformed {
    fn new(what: impl Into<String>) -> Self {
        Self {
            steps: vec![],
            what: what.into(),
        }
    }

    fn below(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Returns the path of the malformed value.
    pub(crate) fn at(&self) -> Path {
        self.steps.iter().rev().cloned().collect()
    }
}

/// Returns text in Unicode's composed form, the only one in which Terraform compares text.
fn composed(text: &str) -> String {
    if text.is_ascii() || is_nfc(text) {
        text.to_owned()
    } else {
        text.nfc().collect()
    }
}

/// Returns an object's attributes, all null: an object always has every one of them. A map has none.
fn empty_fields(kind: &Kind) -> BTreeMap<String, Raw> {
    match kind {
        Kind::Object(attributes) => attributes
            .keys()
            .map(|name| (name.clone(), Raw::Null))
            .collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests;
