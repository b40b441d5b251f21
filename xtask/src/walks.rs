//! The map and the stories of ARCHITECTURE.md: what they name exists, and a story stays short.
//!
//! A story is a fenced block `walk NAME`. Each line names a file and a function, and says what happens there;
//! `provider/` is left out. A line that is indented below another one is called from there:
//!
//! ```text
//! src/workload/plan.rs  plan  compares the input with the prior one
//!   mesh/src/change.rs  decide  the strongest effect wins
//! ```

use std::fs;

use crate::cargo::root;

/// Where the stories take place.
const FOLDER: &str = "provider";

/// One step of a story.
struct Step {
    /// How many calls deep, from 0.
    depth: usize,
    file: String,
    function: String,
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Returns the name and the steps of each story.
fn walks(text: &str) -> Vec<(String, Vec<Step>)> {
    let blocks = text.split("\n```walk ").skip(1);
    let walk = |block: &str| {
        let (name, rest) = block.split_once('\n').unwrap();
        let lines = rest.lines().take_while(|line| *line != "```");
        (name.to_owned(), lines.map(step).collect())
    };
    blocks.map(walk).collect()
}

fn step(line: &str) -> Step {
    let words = line.trim_start();
    let indent = line.len() - words.len();
    let mut words = words.split_whitespace();
    let mut word = || {
        let word = words.next();
        word.unwrap_or_else(|| panic!("file, function and what happens: {line:?}"))
            .to_owned()
    };
    Step {
        depth: indent / 2,
        file: word(),
        function: word(),
    }
}

/// Whether a file defines a function.
fn defines(text: &str, function: &str) -> bool {
    let rust = format!("fn {function}");
    let is_rust = text.match_indices(&rust).any(|(at, found)| {
        let next = text[at + found.len()..].chars().next();
        matches!(next, Some('(' | '<'))
    });
    let shell = format!("{function}() {{");
    is_rust || text.lines().any(|line| line.starts_with(&shell))
}

/// Returns how often a reader changes the file: to follow a call into another file, and back to the file that makes the
/// next call.
fn changes_of_file(steps: &[Step]) -> usize {
    let mut callers: Vec<&str> = vec![];
    let mut current: Option<&str> = None;
    let mut changes = 0;
    for step in steps {
        callers.truncate(step.depth);
        for next in callers.last().into_iter().chain([&step.file.as_str()]) {
            changes += usize::from(current.is_some_and(|current| current != *next));
            current = Some(next);
        }
        callers.push(&step.file);
    }
    changes
}

#[test]
fn each_step_of_a_story_is_a_function_that_exists() {
    for (name, steps) in walks(&architecture()) {
        for Step { file, function, .. } in steps {
            let path = root().join(FOLDER).join(&file);
            let text = fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            assert!(
                defines(&text, &function),
                "{name}: {file} has no function {function}"
            );
        }
    }
}

/// A reader who looks for a fault at night follows them: at most so many changes of file.
#[test]
fn the_stories_are_short() {
    let most = [("label", 33), ("drift", 19), ("import", 8)];
    let walks = walks(&architecture());
    assert_eq!(
        walks.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        most.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    for ((name, steps), (_, most)) in walks.iter().zip(most) {
        let changes = changes_of_file(steps);
        assert!(
            changes <= most,
            "{name}: {changes} changes of file, should be at most {most}"
        );
    }
}

#[test]
fn each_entry_point_of_the_map_exists() {
    let text = architecture();
    let map = text.split("\n## ").find(|part| part.starts_with("Map\n"));
    let rows: Vec<&str> = map
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() >= 10, "{rows:#?}");
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [folder, entry] = [cells[1], cells[3]].map(|cell| cell.trim_matches('`'));
        let path = root().join(folder).join(entry);
        assert!(path.exists(), "{folder}/{entry} does not exist");
    }
}

#[test]
fn a_return_to_the_caller_counts_as_a_change_of_file() {
    let steps = |text: &str| text.lines().map(step).collect::<Vec<_>>();
    for (text, changes) in [
        ("a.rs f x", 0),
        ("a.rs f x\n  a.rs g x", 0),
        ("a.rs f x\n  b.rs g x", 1),
        ("a.rs f x\n  b.rs g x\n  c.rs h x", 3),
        ("a.rs f x\n  b.rs g x\n    c.rs h x\n  d.rs i x", 4),
        ("a.rs f x\n  b.rs g x\nc.rs h x", 2),
    ] {
        assert_eq!(changes_of_file(&steps(text)), changes, "{text}");
    }
}
