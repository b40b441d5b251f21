//! Summary of a run: the rows, the slowest tests, the next step, and the final line.

use std::cmp::Reverse;
use std::time::Duration;

use crate::libtest::{Reader, Timed};

/// Result of a row.
#[derive(Clone)]
pub(crate) struct Outcome {
    /// Name of the row.
    pub(crate) name: &'static str,
    /// Duration.
    pub(crate) took: Duration,
    /// Whether its command succeeded.
    pub(crate) success: bool,
    /// Results of its tests.
    pub(crate) tests: Reader,
}

impl Outcome {
    /// Returns the number of failed tests. A row that fails without tests (lints, a build) counts as one.
    fn failures(&self) -> u32 {
        if self.success {
            self.tests.failed
        } else {
            self.tests.failed.max(1)
        }
    }
}

/// Returns the summary. Its last line is `N passed, N failed`, summed over all rows. Rows run in parallel, so the sum of
/// their durations exceeds `took`.
pub(crate) fn summary(outcomes: &[Outcome], took: Duration) -> String {
    let mut lines = vec![String::from(
        "\nrow                     time  passed  failed",
    )];
    lines.extend(outcomes.iter().map(line));
    lines.push(format!("{:<20}{:>7.1}s", "all", took.as_secs_f64()));
    lines.extend(slowest(
        outcomes.iter().flat_map(|row| &row.tests.tests).collect(),
    ));
    let wrong: Vec<&str> = outcomes
        .iter()
        .filter(|row| !row.success)
        .map(|row| row.name)
        .collect();
    if !wrong.is_empty() {
        let wrong = wrong.join(", ");
        lines.push(format!(
            "\nNot passed: {wrong}. The line `ROW | == COMMAND` above each names what to run again."
        ));
    }
    let passed: u32 = outcomes.iter().map(|row| row.tests.passed).sum();
    let failed: u32 = outcomes.iter().map(Outcome::failures).sum();
    lines.push(format!("\n{passed} passed, {failed} failed\n"));
    lines.join("\n")
}

fn line(row: &Outcome) -> String {
    let Reader { passed, failed, .. } = row.tests;
    let seconds = row.took.as_secs_f64();
    let verdict = if row.success { "" } else { "  not passed" };
    format!(
        "{:<20}{seconds:>7.1}s {passed:>7} {failed:>7}{verdict}",
        row.name
    )
}

fn slowest(mut tests: Vec<&Timed>) -> Vec<String> {
    tests.sort_by_key(|test| Reverse(test.took));
    let title = (!tests.is_empty()).then(|| String::from("\nslowest tests"));
    let line = |test: &&Timed| format!("{:>7.1}s {}", test.took.as_secs_f64(), test.name);
    title
        .into_iter()
        .chain(tests.iter().take(10).map(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &'static str, lines: &[&str]) -> Outcome {
        let mut tests = Reader::new(1);
        for line in lines {
            tests.line(line, Duration::from_secs(2));
        }
        Outcome {
            name,
            took: Duration::from_secs(3),
            success: tests.failed == 0 && !lines.is_empty(),
            tests,
        }
    }

    fn last_line(outcomes: &[Outcome]) -> String {
        summary(outcomes, Duration::ZERO)
            .lines()
            .last()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn the_last_line_sums_all_rows() {
        let unit = outcome("unit", &["test result: ok. 5 passed; 0 failed; 0 ignored"]);
        let acceptance = outcome(
            "acceptance",
            &["test result: FAILED. 6 passed; 2 failed; 0 ignored"],
        );
        assert_eq!(last_line(&[unit, acceptance]), "11 passed, 2 failed");
    }

    #[test]
    fn a_failed_row_without_tests_counts_as_a_failure() {
        assert_eq!(last_line(&[outcome("lints", &[])]), "0 passed, 1 failed");
    }
}
