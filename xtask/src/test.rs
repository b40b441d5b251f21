//! `cargo xtask test [--unit]`: everything that must hold before a change lands. CI runs just this.
//!
//! Rows run one after the other. A row that fails does not stop the others, so that one run shows
//! everything that is wrong.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::arguments::WrongArguments;
use crate::cargo::root;
use crate::libtest::Reader;
use crate::summary::{Outcome, summary};
use crate::tools::{self, Bed};

/// What one row may take before it is ended; a row that hangs must not hang CI.
const LIMIT_SECONDS: &str = "1800";
/// Scenarios spend most of their time waiting.
const SCENARIOS_AT_ONCE: usize = 8;
/// The bed that the scenarios share: the rows bring it up and take it down.
const BED: &str = "acceptance";
/// Tells the scenarios which bed it is.
const BED_VARIABLE: &str = "MESH_BED";

struct Row {
    name: &'static str,
    /// Words without quoting, as one would type them.
    command: &'static str,
    threads: usize,
}

/// Runs the rows and ends the process with 1 if any of them failed.
///
/// # Errors
/// An unknown argument, or an answer that cannot be written.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let bed = match args {
        [] => Bed::Needed,
        ["--unit"] => Bed::Spared,
        _ => return Err(WrongArguments.into()),
    };
    let mut out = io::stdout();
    let outcomes = match tools::provide(&tools::UNIT, bed) {
        Ok(()) => rows(bed)
            .iter()
            .map(|row| row.run(&mut out))
            .collect::<Result<Vec<_>, _>>()?,
        Err(error) => {
            writeln!(out, "{error}")?;
            vec![Outcome {
                name: "tools",
                took: Duration::ZERO,
                success: false,
                tests: Reader::default(),
            }]
        }
    };
    out.write_all(summary(&outcomes).as_bytes())?;
    out.flush()?;
    if outcomes.iter().all(|outcome| outcome.success) {
        Ok(())
    } else {
        std::process::exit(1)
    }
}

/// Returns what is run, the cheap first.
fn rows(bed: Bed) -> Vec<Row> {
    // Tests with an API server or sshd wait for them half of their time.
    let threads = 2 * available_parallelism().map_or(1, usize::from);
    let row = |name, command| Row {
        name,
        command,
        threads,
    };
    let mut rows = vec![
        row("format", "cargo fmt --all --check"),
        row(
            "examples",
            "terraform fmt -check -diff -recursive examples acceptance-tests/scenarios",
        ),
        row(
            "lints",
            "cargo clippy --workspace --all-targets -- --deny=warnings",
        ),
        row("compile", "cargo test --no-run"),
        row("unit", "cargo test --no-fail-fast"),
        row("docs", "cargo xtask docs --check"),
    ];
    if bed == Bed::Needed {
        rows.push(row(
            "compile bed",
            "cargo test -p bed -p acceptance-tests --no-run",
        ));
        let acceptance = row(
            "acceptance",
            "cargo test -p bed -p acceptance-tests --no-fail-fast",
        );
        // A run that was ended by force has left its bed.
        rows.push(row(
            "bed down before",
            "cargo xtask testbed down --name acceptance",
        ));
        rows.push(row(
            "bed up",
            "cargo xtask testbed up --name acceptance --vms 12 --pods 1",
        ));
        rows.push(Row {
            threads: SCENARIOS_AT_ONCE,
            ..acceptance
        });
        rows.push(row(
            "bed down",
            "cargo xtask testbed down --name acceptance",
        ));
    }
    rows
}

impl Row {
    /// Runs the row; what it prints goes to `out` while it runs.
    fn run(&self, out: &mut impl Write) -> Result<Outcome, Box<dyn Error>> {
        writeln!(out, "\n== {}: {}", self.name, self.command)?;
        let start = Instant::now();
        let mut tests = Reader::new(self.threads);
        let success = match self.follow(out, &mut tests, start) {
            Ok(success) => success,
            Err(error) => {
                writeln!(out, "cannot run {}: {error}", self.command)?;
                false
            }
        };
        Ok(Outcome {
            name: self.name,
            took: start.elapsed(),
            success,
            tests,
        })
    }

    /// Returns whether the command succeeded. Both of its streams go into one pipe: cargo announces
    /// on stderr which binary the lines on stdout are of.
    fn follow(&self, out: &mut impl Write, tests: &mut Reader, start: Instant) -> io::Result<bool> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        // The command holds the pipe's other end, which would never close.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(out, "{line}")?;
            tests.line(&line, start.elapsed());
        }
        Ok(child.wait()?.success())
    }

    fn command(&self) -> Command {
        let words = self.command.split_whitespace();
        // Not on every system; where it is missing, nothing ends a row that hangs.
        let mut timeout = Command::new(if cfg!(target_os = "linux") {
            "timeout"
        } else {
            "env"
        });
        if cfg!(target_os = "linux") {
            timeout.args(["--kill-after=30", LIMIT_SECONDS]);
        }
        timeout.args(words).current_dir(root());
        timeout
            .env("RUST_TEST_THREADS", self.threads.to_string())
            .env(BED_VARIABLE, BED)
            .env("CARGO_TERM_COLOR", "never");
        timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_prints_is_shown_and_its_exit_code_kept() {
        let row = Row {
            name: "broken",
            command: "cargo no-such-command",
            threads: 1,
        };
        let mut out = Vec::new();
        let outcome = row.run(&mut out).unwrap();
        assert!(!outcome.success);
        let shown = String::from_utf8(out).unwrap();
        assert!(
            shown.contains("== broken: cargo no-such-command"),
            "{shown}"
        );
        assert!(shown.contains("no such command"), "{shown}");
    }
}
