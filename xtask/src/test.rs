//! `cargo xtask test [--unit | --changed [REVISION]]`: everything that must hold before a change lands. CI runs just
//! this.
//!
//! Rows run one after the other. A row that fails does not stop the others, so that one run shows
//! everything that is wrong.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::arguments::WrongArguments;
use crate::cargo::root;
use crate::changed::{self, Scenarios};
use crate::libtest::Reader;
use crate::summary::{Outcome, summary};
use crate::tools::{self, Bed};

/// What one row may take before it is ended; a row that hangs must not hang CI.
const LIMIT_SECONDS: &str = "1800";
/// Scenarios spend most of their time waiting.
const SCENARIOS_AT_ONCE: usize = 8;
/// The row that plays the scenarios.
const ACCEPTANCE: &str = "acceptance";
/// The bed that the scenarios share: the rows bring it up and take it down.
const BED: &str = "acceptance";
/// Tells the scenarios which bed it is.
const BED_VARIABLE: &str = "MESH_BED";

struct Row {
    name: &'static str,
    /// Words without quoting, as one would type them.
    command: String,
    threads: usize,
}

/// Runs the rows and ends the process with 1 if any of them failed.
///
/// # Errors
/// An unknown argument, or an answer that cannot be written.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let rows = match args {
        [] => rows(None, &Scenarios::All),
        ["--unit"] => rows(None, &Scenarios::None),
        ["--changed"] => changed_rows("main")?,
        ["--changed", revision] => changed_rows(revision)?,
        _ => return Err(WrongArguments.into()),
    };
    let bed = if rows.iter().any(|row| row.name == ACCEPTANCE) {
        Bed::Needed
    } else {
        Bed::Spared
    };
    let mut out = io::stdout();
    let outcomes = match tools::provide(&tools::UNIT, bed) {
        Ok(()) => rows
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

/// Returns what is run for the changes since a revision.
fn changed_rows(revision: &str) -> Result<Vec<Row>, Box<dyn Error>> {
    let reach = changed::since(revision)?;
    let names: Vec<&str> = reach.crates.iter().map(String::as_str).collect();
    eprintln!("the change reaches: {}", names.join(", "));
    Ok(rows(Some(&reach.crates), &reach.scenarios))
}

/// Returns what is run, the cheap first. `crates` are those whose unit tests run; `None`: all that need no root.
fn rows(crates: Option<&BTreeSet<String>>, scenarios: &Scenarios) -> Vec<Row> {
    // Tests with an API server or sshd wait for them half of their time.
    let threads = 2 * available_parallelism().map_or(1, usize::from);
    let row = |name, command: &str| Row {
        name,
        command: command.to_owned(),
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
    ];
    let packages = packages(crates);
    if crates.is_none() || !packages.is_empty() {
        rows.push(row("compile", &format!("cargo test{packages} --no-run")));
        rows.push(row("unit", &format!("cargo test{packages} --no-fail-fast")));
    }
    rows.push(row("docs", "cargo xtask docs --check"));
    let chosen = match scenarios {
        Scenarios::None => return rows,
        Scenarios::All => String::new(),
        Scenarios::Of(modules) => {
            let modules: Vec<String> = modules.iter().map(|name| format!("{name}::")).collect();
            format!(" --test bed -- {}", modules.join(" "))
        }
    };
    rows.extend([
        row(
            "compile bed",
            "cargo test -p bed -p acceptance-tests --no-run",
        ),
        // A run that was ended by force has left its bed.
        row(
            "bed down before",
            "cargo xtask testbed down --name acceptance",
        ),
        row(
            "bed up",
            "cargo xtask testbed up --name acceptance --vms 12 --pods 1",
        ),
        Row {
            threads: SCENARIOS_AT_ONCE,
            ..row(
                ACCEPTANCE,
                &format!("cargo test -p bed -p acceptance-tests --no-fail-fast{chosen}"),
            )
        },
        row("bed down", "cargo xtask testbed down --name acceptance"),
    ]);
    rows
}

/// Returns the words that choose these crates, without those whose tests are scenarios.
fn packages(crates: Option<&BTreeSet<String>>) -> String {
    let of_bed = ["acceptance-tests", "bed"];
    let unit = crates.into_iter().flatten();
    let unit = unit.filter(|name| !of_bed.contains(&name.as_str()));
    unit.map(|name| format!(" -p {name}")).collect()
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
            command: "cargo no-such-command".into(),
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

    #[test]
    fn a_change_runs_the_tests_of_what_it_reaches_and_no_others() {
        let commands = |crates: Option<&[&str]>, scenarios: &Scenarios| {
            let crates: Option<BTreeSet<String>> =
                crates.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            let rows = rows(crates.as_ref(), scenarios);
            let named = |wanted: &str| {
                let found = rows.iter().find(|row| row.name == wanted);
                found.map(|row| row.command.clone()).unwrap_or_default()
            };
            [named("unit"), named(ACCEPTANCE)]
        };
        let all = commands(None, &Scenarios::All);
        assert_eq!(
            all,
            [
                "cargo test --no-fail-fast",
                "cargo test -p bed -p acceptance-tests --no-fail-fast"
            ]
        );
        assert_eq!(commands(None, &Scenarios::None)[1], "");
        let some = commands(
            Some(&["bed", "mesh", "vm"]),
            &Scenarios::Of(["drift".to_owned(), "rpm".to_owned()].into()),
        );
        assert_eq!(
            some,
            [
                "cargo test -p mesh -p vm --no-fail-fast",
                "cargo test -p bed -p acceptance-tests --no-fail-fast --test bed -- drift:: rpm::"
            ]
        );
        assert_eq!(commands(Some(&[]), &Scenarios::None)[0], "");
    }
}
