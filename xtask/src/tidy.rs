//! Checks promises of the project: its dependencies between crates, its lints, and the names of tests in ARCHITECTURE.md,
//! which has the written lists.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::cargo::{metadata, root};
use crate::sizes::files;

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Returns the lines of the fenced block with a name.
fn block(text: &str, name: &str) -> Vec<String> {
    let lines = text
        .lines()
        .skip_while(|line| *line != format!("```{name}"))
        .skip(1);
    lines
        .take_while(|line| *line != "```")
        .map(str::to_owned)
        .collect()
}

fn members() -> Vec<Value> {
    let metadata = metadata().unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Returns `from -> to` for each dependency between members, and `dev: from -> to` for those of tests.
fn arrows() -> BTreeSet<String> {
    let members = members();
    let names: BTreeSet<&str> = members
        .iter()
        .map(|member| member["name"].as_str().unwrap())
        .collect();
    let mut arrows = BTreeSet::new();
    for member in &members {
        let from = member["name"].as_str().unwrap();
        for dependency in member["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let kind = dependency["kind"]
                .as_str()
                .map_or(String::new(), |kind| format!("{kind}: "));
            if names.contains(to) {
                arrows.insert(format!("{kind}{from} -> {to}"));
            }
        }
    }
    // Tests may also use the dependencies of their crate.
    let also_normal = |arrow: &String| {
        arrow
            .split_once(": ")
            .is_some_and(|(_, normal)| arrows.contains(normal))
    };
    arrows
        .iter()
        .filter(|arrow| !also_normal(arrow))
        .cloned()
        .collect()
}

/// Parses lines like `tfplugin -> plugin proto` and `dev: cluster -> bed`.
fn written_arrows(lines: &[String]) -> BTreeSet<String> {
    let of_line = |line: &String| {
        let (from, to) = line
            .split_once(" -> ")
            .unwrap_or_else(|| panic!("no arrow in {line:?}"));
        to.split_whitespace()
            .map(|to| format!("{from} -> {to}"))
            .collect::<Vec<_>>()
    };
    lines.iter().flat_map(of_line).collect()
}

#[test]
fn the_crates_depend_on_each_other_as_written() {
    let (written, found) = (written_arrows(&block(&architecture(), "arrows")), arrows());
    let new: Vec<_> = found.difference(&written).collect();
    let gone: Vec<_> = written.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not in ARCHITECTURE.md: {new:#?}\nonly in ARCHITECTURE.md: {gone:#?}"
    );
}

#[test]
fn each_crate_inherits_the_lints() {
    let lax: Vec<String> = members()
        .iter()
        .map(|member| member["manifest_path"].as_str().unwrap().to_owned())
        .filter(|path| {
            !fs::read_to_string(path)
                .unwrap()
                .contains("[lints]\nworkspace = true\n")
        })
        .collect();
    assert!(
        lax.is_empty(),
        "these need `[lints] workspace = true`: {lax:#?}"
    );
}

/// Returns all functions of the project that could be tests.
fn functions() -> BTreeSet<String> {
    let name = |line: &str| {
        let rest = line
            .trim_start()
            .trim_start_matches("async ")
            .strip_prefix("fn ")?;
        rest.split_once('(').map(|(name, _)| name.to_owned())
    };
    let texts = files(root(), "rs")
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| text.lines().filter_map(name).collect::<Vec<_>>())
        .collect()
}

#[test]
fn each_invariant_names_a_test_that_exists() {
    let text = architecture();
    let invariants: Vec<&str> = text
        .split("\n## ")
        .find(|part| part.starts_with("Invariants"))
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("- "))
        .collect();
    assert!(invariants.len() >= 8, "{invariants:#?}");
    let functions = functions();
    for invariant in invariants {
        let (_, names) = invariant
            .rsplit_once("Held by ")
            .unwrap_or_else(|| panic!("no test holds: {invariant}"));
        let tests: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test holds: {invariant}");
        for test in tests {
            assert!(
                functions.contains(test),
                "no test is called {test}: {invariant}"
            );
        }
    }
}
