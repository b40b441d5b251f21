//! Collects the findings of one side, with limits on their number and on the length of values.

use std::collections::BTreeMap;

use super::finding::{Finding, What};
use crate::cause::Cause;

/// Maximum number of findings of one side.
const MOST: usize = 20;
/// Maximum length of a value in characters.
const LONGEST: usize = 80;

#[derive(Default)]
pub(super) struct Findings {
    cause: Option<Cause>,
    kept: Vec<Finding>,
    left_out: BTreeMap<Option<Cause>, usize>,
}

impl Findings {
    /// Sets the cause of the findings that follow; `None`: they have none.
    pub(super) fn because(&mut self, cause: impl Into<Option<Cause>>) -> &mut Self {
        self.cause = cause.into();
        self
    }

    /// Adds a finding with the current cause.
    pub(super) fn push(&mut self, finding: Finding) {
        if self.kept.len() < MOST {
            self.kept.push(Finding {
                cause: self.cause,
                ..finding
            });
        } else {
            *self.left_out.entry(self.cause).or_default() += 1;
        }
    }

    /// Adds a finding from its text.
    pub(super) fn say(&mut self, text: &str) {
        self.push(Finding::sentence(None, text));
    }

    /// Adds a finding about a part of a subject.
    pub(super) fn add(&mut self, subject: Option<&str>, at: &str, what: What) {
        self.push(Finding::new(None, subject, at, what));
    }

    /// Adds the difference between the actual and the desired value. Either may be absent.
    pub(super) fn compare(
        &mut self,
        subject: Option<&str>,
        at: &str,
        is: Option<&str>,
        should: Option<&str>,
    ) {
        let what = match (is, should) {
            (Some(is), Some(should)) => differs(is, should),
            (None, Some(should)) => What::Missing {
                should: Some(plain(should)),
            },
            (Some(is), None) => What::Unwanted {
                is: Some(plain(is)),
            },
            (None, None) => return,
        };
        self.add(subject, at, what);
    }

    pub(super) fn finish(mut self) -> Vec<Finding> {
        let more = self.left_out.into_iter();
        let more =
            more.map(|(cause, count)| Finding::sentence(cause, &format!("and {count} more")));
        self.kept.extend(more);
        self.kept
    }
}

/// Returns the difference between two values, shortened so that it is visible.
pub(super) fn differs(is: &str, should: &str) -> What {
    let (is, should) = pair(is, should);
    What::Differs { is, should }
}

/// Returns two values of foreign origin, shortened so that their difference is visible.
pub(super) fn pair(one: &str, other: &str) -> (String, String) {
    plain::pair(one, other, LONGEST)
}

/// Returns a text of foreign origin, shortened and without characters that a terminal interprets.
pub(super) fn plain(text: &str) -> String {
    plain::line(text, LONGEST)
}
