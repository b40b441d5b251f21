//! Parses the output of `cargo test`: counts and the duration of each test.
//!
//! libtest prints no durations on a stable compiler. But it starts tests in the order of their names, with as many at a
//! time as there are threads, and starts the next one when one ends. The start of each test therefore equals the end of
//! the test that freed its thread. Scenarios first wait for a VM, and report their duration themselves:
//! `scenario NAME took 12.3s`.

use std::collections::VecDeque;
use std::time::Duration;

/// A completed test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    /// Crate and path of the test.
    pub(crate) name: String,
    /// Duration.
    pub(crate) took: Duration,
}

/// Results from the lines so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    threads: usize,
    binary: String,
    started: Duration,
    ended: Vec<(String, Duration)>,
    /// Durations that the scenarios of the binary reported.
    reported: Vec<(String, Duration)>,
    /// Number of tests that passed, over all binaries.
    pub(crate) passed: u32,
    /// Number of tests that failed, over all binaries.
    pub(crate) failed: u32,
    /// Tests of the completed binaries.
    pub(crate) tests: Vec<Timed>,
}

impl Reader {
    /// Returns a reader for a run with `threads` parallel tests.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            ..Self::default()
        }
    }

    /// Processes a line that was printed `at` this time after the start of the run.
    pub(crate) fn line(&mut self, line: &str, at: Duration) {
        if let Some(binary) = running(line) {
            self.binary = binary;
        } else if line.starts_with("running ")
            && (line.ends_with(" test") || line.ends_with(" tests"))
        {
            self.started = at;
            self.ended.clear();
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, " passed");
            self.failed += count(result, " failed");
            self.close();
        } else if let Some((name, _)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
        {
            self.ended.push((name.to_owned(), at));
        } else if let Some(scenario) = scenario(line) {
            self.reported.push(scenario);
        }
    }

    /// Computes the duration of each test of a completed binary.
    fn close(&mut self) {
        if !self.reported.is_empty() {
            self.ended.clear();
        }
        for (name, took) in self.reported.drain(..) {
            let name = format!("{} {name}", self.binary);
            self.tests.push(Timed { name, took });
        }
        let mut starts: VecDeque<Duration> =
            std::iter::repeat_n(self.started, self.threads).collect();
        starts.extend(self.ended.iter().map(|(_, at)| at));
        self.ended.sort();
        for ((name, end), start) in self.ended.drain(..).zip(starts) {
            let name = format!("{} {name}", self.binary);
            self.tests.push(Timed {
                name,
                took: end.saturating_sub(start),
            });
        }
    }
}

/// Returns the binary in a line of cargo: `Running unittests src/lib.rs (target/debug/deps/mesh-0a1b)`.
fn running(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (_, path) = line.strip_prefix("Running ")?.rsplit_once('(')?;
    let file = path.trim_end().trim_end_matches(')').rsplit('/').next()?;
    file.rsplit_once('-').map(|(name, _)| name.to_owned())
}

/// Returns a scenario and its duration from a line that it printed.
fn scenario(line: &str) -> Option<(String, Duration)> {
    let (name, seconds) = line.strip_prefix("scenario ")?.split_once(" took ")?;
    let seconds: f32 = seconds.strip_suffix('s')?.parse().ok()?;
    Some((name.to_owned(), Duration::try_from_secs_f32(seconds).ok()?))
}

/// Returns the number before `word` in `ok. 12 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> u32 {
    let before = result.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(threads: usize, lines: &[(u64, &str)]) -> Reader {
        let mut reader = Reader::new(threads);
        for (at, line) in lines {
            reader.line(line, Duration::from_secs(*at));
        }
        reader
    }

    fn took(reader: &Reader) -> Vec<(&str, u64)> {
        reader
            .tests
            .iter()
            .map(|test| (test.name.as_str(), test.took.as_secs()))
            .collect()
    }

    #[test]
    fn counts_are_summed_over_all_binaries() {
        let reader = read(
            1,
            &[
                (
                    0,
                    "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.03s",
                ),
                (
                    1,
                    "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                ),
            ],
        );
        assert_eq!((reader.passed, reader.failed), (15, 2));
    }

    #[test]
    fn the_next_test_starts_when_one_ends() {
        let reader = read(
            2,
            &[
                (
                    5,
                    "     Running unittests src/lib.rs (target/debug/deps/mesh-0a1b2c3d)",
                ),
                (10, "running 3 tests"),
                (12, "test tests::b ... ok"),
                (17, "test tests::c ... FAILED"),
                (19, "test tests::a ... ok"),
                (19, "test result: FAILED. 2 passed; 1 failed; 0 ignored"),
            ],
        );
        assert_eq!(
            took(&reader),
            [
                ("mesh tests::a", 9),
                ("mesh tests::b", 2),
                ("mesh tests::c", 5)
            ]
        );
    }

    #[test]
    fn scenarios_report_their_times_themselves() {
        let reader = read(
            500,
            &[
                (0, "running 2 tests"),
                (40, "scenario a::one took 31.0s"),
                (40, "test a::one ... ok"),
                (50, "scenario a::two took 9.0s"),
                (50, "test a::two ... FAILED"),
                (50, "test result: FAILED. 1 passed; 1 failed"),
            ],
        );
        assert_eq!(took(&reader), [(" a::one", 31), (" a::two", 9)]);
        assert_eq!((reader.passed, reader.failed), (1, 1));
    }

    #[test]
    fn one_binary_does_not_count_for_the_next() {
        let reader = read(
            1,
            &[
                (0, "running 1 test"),
                (3, "test a ... ok"),
                (3, "test result: ok. 1 passed; 0 failed"),
                (8, "   Doc-tests mesh"),
                (8, "running 1 test"),
                (9, "test z ... ok"),
                (9, "test result: ok. 1 passed; 0 failed"),
            ],
        );
        assert_eq!(took(&reader), [(" a", 3), ("mesh (documentation) z", 1)]);
    }
}
