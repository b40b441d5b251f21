//! How the scripts are written: one command a line, names that say what they are, and a header in each file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::functions::defined;

/// Variables that several functions of the program assign: what a run is, and what one function counts for another.
const SHARED: [&str; 14] = [
    "run",
    "verb",
    "run_dir",
    "state_dir",
    "no_block",
    "image",
    "outcome",
    "must_restart",
    "follow_restarts",
    "idle_requests",
    "idle_since",
    "last_followed",
    "setpriv_user",
    "flush_form",
];
/// What each file says of itself, in this order.
const HEADER: [&str; 5] = ["Does", "Needs", "Gives", "Owns", "Undo"];
/// Files that stand before a script of `carried`.
const BEFORE: [(&str, &[&str]); 3] = [
    ("proxy", &["emit", "closed", "sweep"]),
    ("token", &["emit", "closed", "jwt"]),
    ("join", &["emit", "install", "call"]),
];

/// A file of the program.
struct Script {
    folder: &'static str,
    name: String,
    text: String,
    /// The text without comments and without what is in quotes; commands that a text substitutes stay.
    code: String,
}

impl Script {
    fn functions(&self) -> Vec<String> {
        defined(&self.text)
    }

    /// Returns a line of the header, with the lines that continue it.
    fn header(&self, key: &str) -> Option<String> {
        let begin = format!("# {key}: ");
        let mut lines = self
            .text
            .lines()
            .skip_while(|line| !line.starts_with(&begin));
        let mut found = lines.next()?[begin.len()..].to_owned();
        for line in lines.map_while(|line| line.strip_prefix("#   ")) {
            found.push(' ');
            found.push_str(line);
        }
        Some(found)
    }

    fn words(&self, key: &str) -> BTreeSet<String> {
        let text = self.header(key).unwrap_or_default();
        let words = text.split([' ', ',']).map(str::to_owned);
        words.filter(|word| word != "nothing").collect()
    }
}

fn scripts() -> Vec<Script> {
    let program = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/program"));
    let mut found = Vec::new();
    for folder in ["sh", "carried"] {
        for entry in fs::read_dir(program.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            found.push(Script {
                folder,
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                code: code(&text),
                text,
            });
        }
    }
    assert!(found.len() > 20);
    found
}

/// Returns a script without comments, texts in quotes and here documents; lines stay where they are.
fn code(script: &str) -> String {
    let mut found = String::new();
    let mut rest = script;
    while let Some(next) = rest.chars().next() {
        let before = found.chars().next_back().unwrap_or('\n');
        let taken = match next {
            '\\' => 2,
            '\'' => {
                let text = &rest[..rest[1..].find('\'').unwrap() + 2];
                found.push('\'');
                found.extend(text.matches('\n'));
                found.push('\'');
                text.len()
            }
            '"' => {
                let (text, substituted) = quoted(rest);
                found.push('"');
                found.push_str(&substituted);
                found.push('"');
                text.len()
            }
            '#' if before.is_whitespace() => rest.find('\n').unwrap_or(rest.len()),
            '<' if rest.starts_with("<<'") => {
                let word = rest[3..].split('\'').next().unwrap();
                let end = rest.find(&format!("\n{word}\n")).unwrap();
                found.extend(rest[..end].matches('\n'));
                end
            }
            _ => {
                found.push(next);
                next.len_utf8()
            }
        };
        rest = &rest[taken.min(rest.len())..];
    }
    found
}

/// Returns the text in double quotes that a script begins with, and the commands that it substitutes.
fn quoted(script: &str) -> (&str, String) {
    let bytes = script.as_bytes();
    let (mut at, mut substituted) = (1, String::new());
    while bytes[at] != b'"' {
        if script[at..].starts_with("$(") {
            let end = at + closing(&script[at..]);
            substituted.push_str(&code(&script[at..end]));
            at = end;
        } else {
            if bytes[at] == b'\n' {
                substituted.push('\n');
            }
            at += 1 + usize::from(bytes[at] == b'\\');
        }
    }
    (&script[..=at], substituted)
}

/// Returns where the command substitution ends that a text begins with.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return at + 1,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a line of code holds more than one command. The condition of an `if` or a loop is one, and so is a command with
/// what happens if it fails.
fn is_crowded(line: &str) -> bool {
    let line = line.trim();
    let is_condition = ["if ", "elif ", "while ", "until "]
        .iter()
        .any(|word| line.starts_with(word));
    let mut rest = line.replace(";;", "");
    for end in ["; then", "; do", "; }"] {
        rest = rest.strip_suffix(end).unwrap_or(&rest).to_owned();
    }
    let joins = |word: &str| rest.split(word).skip(1).any(|rest| !rest.trim().is_empty());
    let fails = rest.matches("|| ").count() > 1;
    rest.contains(';')
        || !is_condition
            && (joins("&&") && !rest.contains("\"$(cd") && !rest.contains("=$(cd") || fails)
}

/// Returns the variables that a line of code assigns.
fn assigned(line: &str) -> Vec<&str> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !text.starts_with(|first: char| first.is_ascii_digit())
    };
    let mut line = line.trim();
    for word in ["if ! ", "if ", "while ", "until ", "elif "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    if let Some((pattern, command)) = line.split_once(") ")
        && !pattern.contains(['(', '='])
    {
        line = command;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.first() == Some(&"for") {
        return words[1..2].to_vec();
    }
    if let Some(read) = words.windows(2).position(|pair| pair == ["read", "-r"]) {
        let mut names = Vec::new();
        for word in &words[read + 2..] {
            let name = word.trim_end_matches(';');
            if is_name(name) {
                names.push(name);
            }
            if name != *word || !is_name(name) {
                break;
            }
        }
        return names;
    }
    let names = words
        .iter()
        .map_while(|word| word.split_once('=').map(|(name, _)| name));
    names.take_while(|name| is_name(name)).collect()
}

#[test]
fn a_line_holds_one_command() {
    let crowded = [
        "a; b",
        "a && b",
        "a || b || return 1",
        "case $1 in x) a ;; y) b; c ;; esac",
        "if a; then b; fi",
    ];
    let plain = [
        "a || return 1",
        "if a && b; then",
        "while read -r x; do",
        "a() { b \"c; d\"; }",
        "x) a ;;",
        "a &&",
    ];
    assert!(crowded.into_iter().all(is_crowded));
    assert!(!plain.into_iter().any(|line| is_crowded(&code(line))));
    for script in scripts() {
        let crowded: Vec<_> = script
            .code
            .lines()
            .filter(|line| is_crowded(line))
            .collect();
        assert!(crowded.is_empty(), "{}: {crowded:#?}", script.name);
    }
}

#[test]
fn a_variable_has_a_name_and_belongs_to_one_function() {
    assert_eq!(assigned("  a=1 b=\"$(c)\" d"), ["a", "b"]);
    assert_eq!(assigned("while IFS= read -r a b; do"), ["a", "b"]);
    assert_eq!(assigned("if ! a=$(b); then"), ["a"]);
    assert_eq!(assigned("for a in b; do"), ["a"]);
    assert_eq!(assigned("x) a=1 ;;"), ["a"]);
    assert_eq!(assigned("a b=1"), Vec::<&str>::new());
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for script in scripts() {
        let mut function = script.name.clone();
        for line in script.code.lines() {
            if let Some((name, _)) = line.split_once("() ") {
                name.clone_into(&mut function);
            }
            for name in assigned(line) {
                assert!(name == "_" || name.len() > 2, "{}: {line}", script.name);
                let is_own = name.starts_with(|first: char| first.is_ascii_lowercase());
                if is_own && script.folder == "sh" && !SHARED.contains(&name) {
                    owners
                        .entry(name.to_owned())
                        .or_default()
                        .insert(function.clone());
                }
            }
            if line == "}" || line == ")" {
                function.clone_from(&script.name);
            }
        }
    }
    owners.retain(|_, functions| functions.len() > 1);
    assert!(owners.is_empty(), "{owners:#?}");
}

#[test]
fn each_file_says_what_it_does_needs_gives_owns_and_undoes() {
    for script in scripts() {
        let printed = script.text.lines().filter_map(|line| {
            let (key, _) = line.strip_prefix("# ")?.split_once(": ")?;
            HEADER.into_iter().find(|word| *word == key)
        });
        assert_eq!(printed.collect::<Vec<_>>(), HEADER, "{}", script.name);
        let before = script.text.split("# Does: ").next().unwrap();
        let is_comment = |line: &str| line.is_empty() || line.starts_with('#');
        assert!(before.lines().all(is_comment), "{}", script.name);
    }
}

/// Dispatch by a variable names no function: the files of all steps are needed then.
#[test]
fn what_a_file_needs_and_gives_is_what_is_called() {
    let scripts = scripts();
    let mut file_of = BTreeMap::new();
    for script in scripts.iter().filter(|script| script.folder == "sh") {
        for function in script.functions() {
            file_of.insert(function, script);
        }
    }
    for script in &scripts {
        let own: BTreeSet<_> = script.functions().into_iter().collect();
        let needs = script.words("Needs");
        let before = BEFORE.iter().find(|(name, _)| *name == script.name);
        for word in script.code.split_whitespace() {
            let word = word.trim_matches(['(', ')', ';', '"', '`']);
            let word = word.rsplit("$(").next().unwrap_or_default();
            let Some(file) = file_of.get(word) else {
                continue;
            };
            let is_before = before.is_none_or(|(_, names)| names.contains(&file.name.as_str()));
            if own.contains(word) || script.folder == "carried" && !is_before {
                continue;
            }
            let (name, from) = (&script.name, &file.name);
            assert!(needs.contains(from), "{name} calls {word} of {from}");
            assert!(
                file.words("Gives").contains(word),
                "{from} gives {word} to {name}"
            );
        }
        if script.folder == "sh" && script.name != "head" {
            for given in script.words("Gives") {
                assert!(own.contains(&given), "{}: {given}", script.name);
            }
        }
    }
}
