//! The program says exactly the words of the protocol's lists, and reads exactly those that it is sent.

use std::collections::BTreeSet;

use vm::program;
use vm::program::protocol::{
    BOOTSTRAP, Caller, CheckWord, Entry, FilePart, FileWord, Input, InputEnd, Line, OTHER_STEPS,
    ReportWord, Step, Verb,
};

use crate::functions::defined;

type Words = BTreeSet<String>;

/// Returns the program without comments, and without the scripts that it carries.
fn text() -> String {
    let packed = program::packed(program::TEXT);
    let mut parts = packed.split("<<'CARRIED'\n");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once("\nCARRIED\n").unwrap().1
    })
}

/// Returns the body of a function.
fn body(function: &str) -> String {
    let text = text();
    let (_, rest) = text.split_once(&format!("\n{function}() {{\n")).unwrap();
    rest.split("\n}\n").next().unwrap().to_owned()
}

/// Returns the words that stand behind these, without those that the program computes.
fn after(begins: &[&str]) -> Words {
    let text = text();
    let mut found = Words::new();
    for begin in begins {
        for (at, _) in text.match_indices(begin) {
            let before = text[..at].trim_end_matches(' ');
            let is_command = before.ends_with(|char: char| "\n!&|(){".contains(char))
                || ["if", "elif"].iter().any(|word| before.ends_with(word))
                || begin.ends_with('=');
            let rest = &text[at + begin.len()..];
            let word =
                rest.split(|char: char| !(char.is_ascii_alphanumeric() || ".-".contains(char)));
            let word = word.into_iter().next().unwrap_or_default();
            if is_command && !word.is_empty() {
                found.insert(word.to_owned());
            }
        }
    }
    found
}

/// Returns the patterns of the cases in a function, without `*` and those in quotes.
fn patterns(function: &str) -> Words {
    let body = body(function);
    let pattern = |line: &str| {
        line.trim()
            .split_once(')')
            .map(|(pattern, _)| pattern.to_owned())
    };
    let all: Vec<String> = body.lines().filter_map(pattern).collect();
    let words = all
        .iter()
        .flat_map(|pattern| pattern.split(" | "))
        .map(str::to_owned);
    words
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect()
}

/// Returns all words of a list.
macro_rules! all {
    ($kind:ident) => {
        $kind::ALL
            .iter()
            .map(|word| word.text().to_owned())
            .collect::<Words>()
    };
}

fn names<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Words {
    steps.into_iter().map(|step| step.name.to_owned()).collect()
}

/// Returns the words of a variable that the program sets once.
fn variable(name: &str) -> Vec<String> {
    let text = text();
    let (_, rest) = text.split_once(&format!("\n{name}='")).unwrap();
    let words = rest.split('\'').next().unwrap().split(' ');
    words.map(str::to_owned).collect()
}

#[test]
fn the_program_is_called_by_the_verbs_and_entries_of_the_protocol() {
    assert_eq!(patterns("dispatch"), all!(Verb));
    assert_eq!(patterns("call_entry"), all!(Entry));
}

#[test]
fn the_program_reads_the_keys_of_the_protocol() {
    let mut read = after(&["field ", "field_lines ", "has "]);
    let text = text();
    for (at, begin) in text.match_indices("$run_dir/in/") {
        let rest = &text[at + begin.len()..];
        read.insert(rest.split('"').next().unwrap().to_owned());
    }
    read.retain(|key| !key.contains('$') && !key.contains('*'));
    assert_eq!(read, all!(Input));
    assert_eq!(patterns("read_caller"), all!(Caller));
    assert_eq!(patterns("read_input"), all!(InputEnd));
    for part in FilePart::ALL {
        let is_read = text.contains(&format!("$bundle_file.{part}"))
            || text.contains(&format!("/file.*.{part}"));
        assert!(is_read, "{part}");
    }
}

#[test]
fn the_program_answers_in_the_words_of_the_protocol() {
    let keys = after(&["send ", "send_text ", "journal ", "journal_text "]);
    assert_eq!(keys, all!(Line));
    let mut reports = after(&["send report ", "journal report ", "finish "]);
    reports.extend(after(&["refuse_state launch "]));
    let outcome = body("outcome_of");
    for report in ["untouched", "reverted"] {
        assert!(outcome.contains(&format!("emit {report} ;;")), "{report}");
        reports.insert(report.to_owned());
    }
    assert_eq!(reports, all!(ReportWord));
    let verdicts = after(&["judged_verdict=", "send check \"$1\" "]);
    assert_eq!(verdicts, all!(CheckWord));
    let mut lying = Words::new();
    for word in FileWord::ALL {
        let body = body("observe_file");
        assert!(
            body.contains(&format!("emit {word}\n")) || body.contains(&format!("emit \"{word} "))
        );
        lying.insert(word.text().to_owned());
    }
    assert_eq!(lying, all!(FileWord));
}

#[test]
fn the_program_has_the_steps_of_the_protocol() {
    let ordered: Vec<_> = BOOTSTRAP.iter().map(|step| step.name.to_owned()).collect();
    assert_eq!(variable("STEPS"), ordered);
    let steps = || BOOTSTRAP.iter().chain(&OTHER_STEPS);
    let untouching: Words = variable("UNTOUCHING_STEPS").into_iter().collect();
    assert_eq!(untouching, names(steps().filter(|step| !step.touches)));
    let functions = defined(program::TEXT);
    for step in BOOTSTRAP {
        assert!(
            functions.contains(&format!("do_{}", step.name)),
            "{}",
            step.name
        );
        // What touches the VM is undone, by a step of its own or by that of an earlier one.
        let undone = functions.contains(&format!("undo_{}", step.name));
        assert!(step.touches || !undone, "{}", step.name);
    }
    let printed = after(&[
        "journal step ",
        "journal failed ",
        "fail ",
        "begin_removal ",
        "end_removal ",
        "refuse_state ",
    ]);
    let others = names(&OTHER_STEPS);
    let unknown: Words = printed.difference(&names(steps())).cloned().collect();
    assert_eq!(unknown, Words::new());
    let unsaid: Words = others.difference(&printed).cloned().collect();
    assert_eq!(unsaid, Words::new());
}
