//! Lines that people read in a plan and that state keeps: bounded in number and length, with no
//! character that could deceive a terminal.

use std::collections::BTreeMap;

use crate::change::Cause;

/// Lines of one side.
const MOST: usize = 20;
/// Characters of a value.
const LONGEST: usize = 80;

#[derive(Default)]
pub(super) struct Lines {
    cause: Option<Cause>,
    kept: Vec<String>,
    left_out: BTreeMap<Option<Cause>, usize>,
}

impl Lines {
    /// Sets the cause with which the lines that follow begin; `None`: they have none.
    pub(super) fn because(&mut self, cause: impl Into<Option<Cause>>) -> &mut Self {
        self.cause = cause.into();
        self
    }

    pub(super) fn push(&mut self, line: String) {
        if self.kept.len() < MOST {
            self.kept.push(caused(self.cause, line));
        } else {
            *self.left_out.entry(self.cause).or_default() += 1;
        }
    }

    /// Adds what is, and what should be.
    pub(super) fn changed(&mut self, what: &str, is: Option<&str>, should_be: Option<&str>) {
        self.push(sentence(what, is, should_be));
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        let more = self.left_out.into_iter();
        let more = more.map(|(cause, count)| caused(cause, format!("and {count} more")));
        self.kept.extend(more);
        self.kept
    }
}

fn caused(cause: Option<Cause>, line: String) -> String {
    match cause {
        Some(cause) => format!("{cause}: {line}"),
        None => line,
    }
}

/// Returns what is, and what should be. A plan shows the line with a red minus, so both are in words: an arrow
/// would read as if things got worse.
fn sentence(what: &str, is: Option<&str>, should_be: Option<&str>) -> String {
    let is = is.map_or_else(
        || "is missing".to_owned(),
        |is| format!("is '{}'", plain(is)),
    );
    let should_be = should_be.map_or_else(
        || "should not be there".to_owned(),
        |value| format!("should be '{}'", plain(value)),
    );
    format!("{what} {is}, {should_be}")
}

/// Returns the line of a fact of the mesh that is another one by now.
pub fn of_fact(name: &str, is: &str, should_be: &str) -> String {
    caused(Some(Cause::Mesh), sentence(name, Some(is), Some(should_be)))
}

/// Returns a text that came from elsewhere, shortened and without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    crate::plain::line(text, LONGEST)
}
