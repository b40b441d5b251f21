//! What the project promises about itself: its arrows, its size, its lints, and the names of the
//! tests that ARCHITECTURE.md relies on. The written lists are in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cargo::{cargo, root};

/// Lines of code that each part was planned with.
const PLANNED: [(&str, usize); 9] = [
    ("tfplugin", 3000),
    ("mesh", 2500),
    ("vm", 1500),
    ("remote program", 500),
    ("cluster", 1200),
    ("provider", 2200),
    ("contract", 900),
    ("bed", 1500),
    ("xtask", 800),
];

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Returns the lines of the fenced block with that name.
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
    let output = cargo()
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// Returns `from -> to` for each dependency between members; `dev: from -> to` for those of tests.
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
    // A test may use more of what its crate uses anyway.
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

/// Returns the arrows of lines like `provider -> tfplugin mesh` and `dev: cluster -> bed`.
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

/// Returns the files below a folder with that extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir()
            && !["target", ".git", "generated"]
                .iter()
                .any(|skipped| path.ends_with(skipped))
        {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found
}

/// Returns the modules that a file declares for tests only.
fn test_modules(text: &str) -> BTreeSet<String> {
    let declared = |(at, _): (usize, &str)| {
        let name = text[at..]
            .lines()
            .find_map(|line| line.strip_prefix("mod "))?;
        name.strip_suffix(';').map(str::to_owned)
    };
    text.match_indices("#[cfg(test)]\n")
        .filter_map(declared)
        .collect()
}

/// Returns the files of a crate's `src` without those of tests and without generated ones.
fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let all = files(folder, extension);
    let tests: BTreeSet<String> = all
        .iter()
        .flat_map(|path| test_modules(&fs::read_to_string(path).unwrap()))
        .collect();
    let of_tests = |path: &Path| {
        let inner = path.strip_prefix(folder).unwrap().with_extension("");
        inner
            .iter()
            .any(|part| tests.contains(&*part.to_string_lossy()))
    };
    all.into_iter().filter(|path| !of_tests(path)).collect()
}

/// Returns the lines of code, neither blank nor comment, that stand before the tests of a file.
fn lines_without_tests(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let tests = line == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if tests {
            break;
        }
        let line = line.trim_start();
        let comment = line.starts_with("//") || (line.starts_with('#') && !line.starts_with("#["));
        count += usize::from(!line.is_empty() && !comment);
    }
    count
}

fn size(part: &str) -> usize {
    let (folder, extension) = match part {
        "remote program" => ("provider/vm/src", "sh"),
        "provider" | "xtask" => (part, "rs"),
        "contract" | "bed" => (
            if part == "bed" {
                "acceptance-tests/bed"
            } else {
                "acceptance-tests/contract"
            },
            "rs",
        ),
        _ => return size_of(&root().join("provider").join(part).join("src"), "rs"),
    };
    let folder = root().join(folder);
    size_of(
        &if extension == "rs" {
            folder.join("src")
        } else {
            folder
        },
        extension,
    )
}

fn size_of(folder: &Path, extension: &str) -> usize {
    sources(folder, extension)
        .iter()
        .map(|path| lines_without_tests(&fs::read_to_string(path).unwrap()))
        .sum()
}

/// Returns the limits of the rows `| part | lines | reason |`.
fn written_limits(text: &str) -> BTreeMap<String, (usize, String)> {
    let mut limits = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, part, lines, reason, _] = cells[..]
            && let Ok(lines) = lines.parse()
        {
            limits.insert(part.to_owned(), (lines, reason.to_owned()));
        }
    }
    limits
}

#[test]
fn each_part_stays_within_its_budget() {
    let limits = written_limits(&architecture());
    let mut wrong = Vec::new();
    for (part, planned) in PLANNED {
        let (limit, reason) = limits
            .get(part)
            .unwrap_or_else(|| panic!("ARCHITECTURE.md gives no limit for {part}"));
        let lines = size(part);
        println!("{part:<15} {lines:>5} of {limit:>5}");
        assert!(lines > 0, "no lines found for {part}");
        if lines > *limit {
            wrong.push(format!("{part}: {lines} lines, limit {limit}"));
        }
        if *limit > planned && reason.is_empty() {
            wrong.push(format!(
                "{part}: a limit above {planned} lines needs a reason"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tests_and_comments_do_not_count_as_code() {
    assert_eq!(
        lines_without_tests("/// Says a.\nfn a() {\n    // Why.\n}\n"),
        2
    );
    assert_eq!(
        lines_without_tests("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"),
        1
    );
    assert_eq!(
        lines_without_tests("#[cfg(test)]\nmod tidy;\nfn a() {}\n"),
        3
    );
}

/// Returns all functions of the project's sources that could be tests.
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

/// What stands before the code of a diagnostic, white space aside: calls, and the arms of tables.
const BEFORE_CODE: [&str; 7] = [
    "coded(\"",
    "problem(\"",
    "rule: \"",
    "Some((\"",
    "|why| (\"",
    "=> (\"",
    "=> { (\"",
];

/// Returns the codes of the diagnostics that a source file has.
fn codes(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let line = code
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("( \"", "(\"");
    // Arms of text name no code: `"dns" => ("the name of …`.
    let line = line.replace("\" => (\"", "");
    let literals = BEFORE_CODE
        .iter()
        .flat_map(|before| line.split(before).skip(1));
    let words = literals.filter_map(|rest| rest.split_once('"').map(|(word, _)| word));
    let kebab = |word: &&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    words.filter(kebab).map(str::to_owned).collect()
}

/// Returns the anchors of the guide: headings of one word, and those in tables.
fn anchors(guide: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.strip_prefix("### ").map(str::to_owned);
    let cell = |line: &str| {
        line.split_once("<a id=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(id, _)| id.to_owned())
    };
    guide
        .lines()
        .filter_map(|line| heading(line).or_else(|| cell(line)))
        .collect()
}

#[test]
fn the_troubleshooting_guide_has_each_code_and_no_other() {
    let mut found = BTreeSet::new();
    for folder in ["provider/src", "provider/mesh/src"] {
        for file in sources(&root().join(folder), "rs") {
            found.append(&mut codes(&fs::read_to_string(&file).unwrap()));
        }
    }
    let guide =
        anchors(&fs::read_to_string(root().join("docs/guides/troubleshooting.md")).unwrap());
    let missing: Vec<_> = found.difference(&guide).collect();
    let stale: Vec<_> = guide.difference(&found).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "without a section: {missing:#?}\nnobody's section: {stale:#?}"
    );
}
