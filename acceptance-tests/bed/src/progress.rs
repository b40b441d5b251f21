//! Reports progress on stderr: the current step, the time it took and the remaining time.
//!
//! On a terminal, the current step is one line that is updated. Elsewhere, as in CI, it is one line per minute.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Minimum total duration for which the steps are announced.
const WORTH_A_LINE: u64 = 60;

/// A planned step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Name of the step, in the form that follows "cannot".
    pub(crate) name: String,
    /// Usual duration in seconds on two cores.
    pub(crate) seconds: u64,
    /// What to do if it fails.
    pub(crate) remedy: &'static str,
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, seconds: u64, remedy: &'static str) -> Self {
        Self {
            name: name.into(),
            seconds,
            remedy,
        }
    }
}

/// The remaining steps and the speed of this machine so far.
pub(crate) struct Progress {
    state: Mutex<State>,
    live: bool,
}

struct State {
    left: Vec<Step>,
    expected: u64,
    taken: u64,
}

impl Progress {
    /// Announces the steps in one line, unless they are short.
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        if let Some(line) = opening(&steps) {
            eprintln!("{line}");
        }
        Self {
            state: Mutex::new(State {
                left: steps,
                expected: 0,
                taken: 0,
            }),
            live: io::stderr().is_terminal(),
        }
    }

    /// Runs an announced step and reports it. A long step is also reported while it runs.
    ///
    /// # Errors
    /// Returns an error with the step, the cause and the next step.
    pub(crate) fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let (done, running) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            scope.spawn(move || self.follow(name, start, &running));
            let result = work();
            drop(done);
            result
        });
        let remedy = self.finish(name, start.elapsed());
        let took = start.elapsed().as_secs_f32();
        match &result {
            Ok(_) => self.line(
                &format!("bed: {name}: {took:.1} s, {}", self.rest(name, 0)),
                Line::Stays,
            ),
            Err(_) => self.line(
                &format!("bed: {name}: failed after {took:.1} s"),
                Line::Stays,
            ),
        }
        result
            .map_err(|error| Error::Refused(format!("cannot {name}: {}\n{remedy}", error.chain())))
    }

    fn follow(&self, name: &str, start: Instant, running: &mpsc::Receiver<()>) {
        let pause = Duration::from_secs(if self.live { 1 } else { 60 });
        while running.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let so_far = start.elapsed().as_secs();
            let rest = self.rest(name, so_far);
            self.line(
                &format!("bed: {name}: {so_far} s so far, {rest}"),
                Line::IsReplaced,
            );
        }
    }

    fn line(&self, text: &str, kind: Line) {
        let mut stderr = io::stderr().lock();
        // If stderr is closed, nobody reads it.
        let _ = match (self.live, kind) {
            (true, Line::Stays) => writeln!(stderr, "\r\x1b[K{text}"),
            (true, Line::IsReplaced) => write!(stderr, "\r\x1b[K{text}"),
            (false, _) => writeln!(stderr, "{text}"),
        };
        let _ = stderr.flush();
    }

    /// Removes the step from the list and returns what to do if it failed.
    fn finish(&self, name: &str, took: Duration) -> &'static str {
        let Ok(mut state) = self.state.lock() else {
            return "";
        };
        let Some(at) = state.left.iter().position(|step| step.name == name) else {
            return "";
        };
        let step = state.left.remove(at);
        state.expected += step.seconds;
        state.taken += took.as_secs();
        step.remedy
    }

    fn rest(&self, name: &str, so_far: u64) -> String {
        self.state.lock().map_or_else(
            |_| String::new(),
            |state| in_words(state.seconds_left(name, so_far)),
        )
    }
}

/// Lifetime of a line on a terminal.
#[derive(Clone, Copy)]
enum Line {
    Stays,
    /// Replaced by the next line.
    IsReplaced,
}

impl State {
    /// Returns the remaining seconds. A step that takes longer than usual does not shorten the others, and a slow machine
    /// is assumed to stay slow.
    fn seconds_left(&self, name: &str, so_far: u64) -> u64 {
        let slower = |seconds: u64| match (self.taken > self.expected, self.expected) {
            (true, 1..) => seconds * self.taken / self.expected,
            _ => seconds,
        };
        let of_step = |step: &Step| {
            let spent = if step.name == name { so_far } else { 0 };
            slower(step.seconds).saturating_sub(spent)
        };
        self.left.iter().map(of_step).sum()
    }
}

/// Returns the line that lists the steps ahead.
fn opening(steps: &[Step]) -> Option<String> {
    let seconds: u64 = steps.iter().map(|step| step.seconds).sum();
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    (seconds >= WORTH_A_LINE).then(|| {
        format!(
            "bed: {} steps, about {} min on two cores: {}",
            steps.len(),
            seconds.div_ceil(60),
            names.join(", ")
        )
    })
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0 => "nearly done".into(),
        1..=119 => format!("about {seconds} s left"),
        _ => format!("about {} min left", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        vec![
            Step::new("build etcd", 60, "run the same command again"),
            Step::new("build kubectl", 40, "run the same command again"),
        ]
    }

    #[test]
    fn planned_steps_are_announced_in_one_line_with_names_and_time() {
        assert_eq!(
            opening(&steps()).unwrap(),
            "bed: 2 steps, about 2 min on two cores: build etcd, build kubectl"
        );
        assert_eq!(opening(&[Step::new("boot", 3, "")]), None);
    }

    #[test]
    fn a_long_step_does_not_shorten_the_time_of_others() {
        let mut state = State {
            left: steps(),
            expected: 0,
            taken: 0,
        };
        assert_eq!(state.seconds_left("build etcd", 50), 50);
        assert_eq!(state.seconds_left("build etcd", 500), 40);
        (state.expected, state.taken) = (10, 20);
        state.left.remove(0);
        assert_eq!(state.seconds_left("build kubectl", 0), 80);
    }

    #[test]
    fn a_failed_step_reports_its_name_the_cause_and_the_next_step() {
        let progress = Progress::new(steps());
        let failed = progress.step("build etcd", || -> Result<()> {
            Err(Error::Refused("no network".into()))
        });
        assert_eq!(
            failed.unwrap_err().chain(),
            "cannot build etcd: no network\nrun the same command again"
        );
    }
}
