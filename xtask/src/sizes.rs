//! Limits on the length of files and functions, so that each can be read at once.
//!
//! An exception is declared by a comment at the file or function that begins with `Long:` and gives the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cargo::root;

/// Folders of shipped Rust code, and of the code that tests and builds it.
const RUST: [&str; 10] = [
    "provider/src",
    "provider/plugin/src",
    "provider/tfplugin/src",
    "provider/mesh/src",
    "provider/cluster/src",
    "provider/vm/src",
    "acceptance-tests/src",
    "acceptance-tests/contract/src",
    "acceptance-tests/bed/src",
    "xtask/src",
];
/// Maximum number of lines in a Rust file, without blank lines, comments and tests.
const MOST_OF_RUST: usize = 300;
/// The program that runs on VMs, and the scripts that are copied there.
const SHELL: &str = "provider/vm/src/program";
/// Maximum number of lines in one of its files.
const MOST_OF_SHELL: usize = 150;
/// Maximum number of lines in one of its functions.
const MOST_OF_FUNCTION: usize = 25;
/// Marker of an exception.
const EXCEPTION: &str = "Long: ";

/// Returns the files below a folder with an extension.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
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

/// Returns the modules that a file declares only for tests.
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

/// Returns the files of a crate's `src`, without tests and generated files.
pub(crate) fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
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

/// Returns the number of lines before the tests of a file, without blank lines and comments.
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

/// Returns the multi-line functions of a shell script, each with the comment above it and its number of lines.
fn functions(script: &str) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    let mut comment = String::new();
    let mut open: Option<(String, String, usize)> = None;
    for line in script.lines() {
        if let Some(function) = &mut open {
            if line == "}" || line == ")" {
                found.extend(open.take());
            } else {
                function.2 += 1;
            }
        } else if let Some((name, rest)) = line.split_once("() ") {
            let spans = rest == "{" || rest == "(" || !rest.trim_end().ends_with(['}', ')']);
            open = spans.then(|| (name.to_owned(), std::mem::take(&mut comment), 0));
        } else if line.starts_with('#') {
            comment += line;
        } else {
            comment.clear();
        }
    }
    found
}

#[test]
fn each_file_and_each_function_of_the_remote_program_can_be_read_at_one_sitting() {
    let mut wrong = Vec::new();
    for folder in RUST {
        for path in sources(&root().join(folder), "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines = lines_without_tests(&text);
            if lines > MOST_OF_RUST && !text.contains(EXCEPTION) {
                wrong.push(format!(
                    "{}: {lines} lines of {MOST_OF_RUST}",
                    path.display()
                ));
            }
        }
    }
    let scripts = files(&root().join(SHELL), "sh");
    assert!(!scripts.is_empty());
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        let shown = path.display();
        if lines > MOST_OF_SHELL && !text.contains(EXCEPTION) {
            wrong.push(format!("{shown}: {lines} lines of {MOST_OF_SHELL}"));
        }
        for (name, comment, lines) in functions(&text) {
            if lines > MOST_OF_FUNCTION && !comment.contains(EXCEPTION) {
                wrong.push(format!(
                    "{shown}: {name} has {lines} lines of {MOST_OF_FUNCTION}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_lines_of_a_shell_function_are_counted() {
    let script = "a() { b; }\n# Why.\nc() {\n  d\n  e\n}\nf() (\n  g\n)\n";
    let found = functions(script);
    let found: Vec<_> = found
        .iter()
        .map(|(name, comment, lines)| (name.as_str(), comment.as_str(), *lines))
        .collect();
    assert_eq!(found, [("c", "# Why.", 2), ("f", "", 1)]);
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
