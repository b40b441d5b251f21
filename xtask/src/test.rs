//! `cargo xtask test [--unit | --changed [REVISION]]`: all checks and tests that a change must pass. CI runs only this.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crate::arguments::WrongArguments;
use crate::changed::{self, Scenarios};
use crate::libtest::Reader;
use crate::row::{self, Row, UNIT};
use crate::summary::{Outcome, summary};
use crate::tools::{self, Bed};

/// Name of the row that runs the scenarios.
const ACCEPTANCE: &str = "acceptance";
/// Command for the crates whose tests need root. It always includes both: for one alone, cargo would rebuild their
/// dependencies with fewer features.
const OF_BED: &str = "cargo test -p bed -p acceptance-tests";
/// Number of threads. Each scenario waits for a VM in its own thread, so the bed's VMs limit how many run in parallel.
const SCENARIOS_AT_MOST: usize = 500;

/// Rows in the order in which they run.
struct Plan {
    /// Rows that use all cores.
    first: Vec<Row>,
    /// Rows that run in parallel, because they mostly wait.
    lanes: Vec<Vec<Row>>,
}

/// Runs the rows and exits with 1 if any of them failed.
///
/// # Errors
/// Fails if an argument is unknown or the output cannot be written.
pub(crate) fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let plan = match args {
        [] => plan(None, &Scenarios::All),
        ["--unit"] => plan(None, &Scenarios::None),
        ["--changed"] => changed_rows("main")?,
        ["--changed", revision] => changed_rows(revision)?,
        _ => return Err(WrongArguments.into()),
    };
    let mut out = io::stdout();
    let mut outcomes = match tools::provide(&tools::UNIT, plan.bed()) {
        Ok(()) => [
            row::run(&[plan.first], io::stdout())?,
            row::run(&plan.lanes, io::stdout())?,
        ]
        .concat(),
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
    outcomes.iter_mut().for_each(refuse_no_tests);
    out.write_all(summary(&outcomes, start.elapsed()).as_bytes())?;
    out.flush()?;
    if outcomes.iter().all(|outcome| outcome.success) {
        Ok(())
    } else {
        std::process::exit(1)
    }
}

/// Fails the row of the scenarios if it ran none: a filter that matches nothing is no success.
fn refuse_no_tests(outcome: &mut Outcome) {
    let ran = outcome.tests.passed + outcome.tests.failed;
    outcome.success &= outcome.name != ACCEPTANCE || ran > 0;
}

/// Returns the rows for the changes since a revision.
fn changed_rows(revision: &str) -> Result<Plan, Box<dyn Error>> {
    let reach = changed::since(revision)?;
    let names: Vec<&str> = reach.crates.iter().map(String::as_str).collect();
    eprintln!("the change affects: {}", names.join(", "));
    Ok(plan(Some(&reach.crates), &reach.scenarios))
}

fn row(name: &'static str, command: &str) -> Row {
    // Tests with an API server or sshd spend half of their time waiting.
    let threads = 2 * available_parallelism().map_or(1, usize::from);
    Row {
        name,
        command: command.to_owned(),
        threads,
    }
}

/// Returns the rows. `crates` are the crates whose unit tests run; `None`: all that do not need root.
fn plan(crates: Option<&BTreeSet<String>>, scenarios: &Scenarios) -> Plan {
    let mut first = vec![
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
    let mut unit = vec![];
    let packages = packages(crates);
    if crates.is_none() || !packages.is_empty() {
        first.push(row("compile", &format!("cargo test{packages} --no-run")));
        unit.push(row(UNIT, &format!("cargo test{packages} --no-fail-fast")));
    }
    unit.push(row("docs", "cargo xtask docs --check"));
    let chosen = match scenarios {
        Scenarios::None => {
            return Plan {
                first,
                lanes: vec![unit],
            };
        }
        Scenarios::All => String::new(),
        Scenarios::Of(modules) => {
            let modules: Vec<String> = modules.iter().map(|name| format!("{name}::")).collect();
            format!(" -- {}", modules.join(" "))
        }
    };
    first.push(row("compile bed", &format!("{OF_BED} --no-run")));
    if *scenarios == Scenarios::All {
        unit.push(row(
            "bed",
            &format!("{OF_BED} --no-fail-fast --lib --test api_server --test whole_bed"),
        ));
    }
    let bed = vec![
        // A killed run may have left its bed.
        row(
            "bed down before",
            "cargo xtask testbed down --name acceptance",
        ),
        row(
            "bed up",
            "cargo xtask testbed up --name acceptance --vms 8 --pods 1",
        ),
        Row {
            threads: SCENARIOS_AT_MOST,
            ..row(
                ACCEPTANCE,
                &format!("{OF_BED} --no-fail-fast --test bed{chosen}"),
            )
        },
        row("bed down", "cargo xtask testbed down --name acceptance"),
    ];
    Plan {
        first,
        lanes: vec![bed, unit],
    }
}

impl Plan {
    fn bed(&self) -> Bed {
        let mut rows = self.lanes.iter().flatten();
        if rows.any(|row| row.name == ACCEPTANCE) {
            Bed::Needed
        } else {
            Bed::Spared
        }
    }
}

/// Returns the arguments that select these crates, without those whose tests are scenarios.
fn packages(crates: Option<&BTreeSet<String>>) -> String {
    let of_bed = ["acceptance-tests", "bed"];
    let unit = crates.into_iter().flatten();
    let unit = unit.filter(|name| !of_bed.contains(&name.as_str()));
    unit.map(|name| format!(" -p {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_which_none_ran_are_no_success() {
        for (name, passed, success) in [
            (ACCEPTANCE, 0, false),
            (ACCEPTANCE, 1, true),
            ("docs", 0, true),
        ] {
            let mut tests = Reader::default();
            tests.passed = passed;
            let mut outcome = Outcome {
                name,
                took: Duration::ZERO,
                success: true,
                tests,
            };
            refuse_no_tests(&mut outcome);
            assert_eq!(outcome.success, success, "{name} {passed}");
        }
    }

    #[test]
    fn a_change_runs_only_the_tests_that_it_can_affect() {
        let commands = |crates: Option<&[&str]>, scenarios: &Scenarios| {
            let crates: Option<BTreeSet<String>> =
                crates.map(|names| names.iter().map(|&name| name.to_owned()).collect());
            let plan = plan(crates.as_ref(), scenarios);
            let named = |wanted: &str| {
                let found = plan.lanes.iter().flatten().find(|row| row.name == wanted);
                found.map(|row| row.command.clone()).unwrap_or_default()
            };
            [named("unit"), named(ACCEPTANCE)]
        };
        let all = commands(None, &Scenarios::All);
        assert_eq!(
            all,
            [
                "cargo test --no-fail-fast",
                "cargo test -p bed -p acceptance-tests --no-fail-fast --test bed"
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
