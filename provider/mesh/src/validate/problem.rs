//! Construction of problems.

use crate::change::Problem;
use crate::rule::Rule;

/// Returns a violation of a rule that concerns these attributes.
pub(super) fn problem(rule: Rule, concerns: &[&str], text: String) -> Problem {
    Problem {
        concerns: concerns.iter().map(|&at| at.to_owned()).collect(),
        rule,
        text,
    }
}
