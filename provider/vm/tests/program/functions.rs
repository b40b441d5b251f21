//! The functions of the program: each name is there once, and what a test puts in a function's place has one to replace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vm::program;

use crate::stage::{SHELLS, Stage};

/// Commands of the machine that tests put a function in the place of.
const COMMANDS: [&str; 31] = [
    "awk",
    "cat",
    "chown",
    "cp",
    "curl",
    "date",
    "dpkg",
    "getconf",
    "getent",
    "hostname",
    "id",
    "install",
    "ip",
    "journalctl",
    "ln",
    "mkdir",
    "nft",
    "openssl",
    "rpm",
    "rpm2cpio",
    "setpriv",
    "sh",
    "sha256sum",
    "ss",
    "sshd",
    "sudo",
    "sync",
    "systemctl",
    "timeout",
    "uname",
    "wget",
];
/// Functions that tests call themselves.
const OWN: [&str; 5] = ["did", "ran", "run", "stand_in", "thrice"];

/// Returns the names of the functions that a script defines, in their order, without those of scripts that it prints.
pub(crate) fn defined(script: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut until: Option<String> = None;
    for line in script.lines() {
        if let Some(end) = &until {
            if line == end {
                until = None;
            }
            continue;
        }
        if let Some((_, rest)) = line.split_once("<<'") {
            until = rest.split_once('\'').map(|(end, _)| end.to_owned());
        }
        if let Some((name, _)) = line.split_once("() ")
            && name.chars().all(is_of_a_name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

fn is_of_a_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Returns the names that a text defines anywhere as a function.
fn stand_ins(text: &str) -> BTreeSet<String> {
    let begins = text.match_indices("() {").chain(text.match_indices("() ("));
    let name = |(at, _): (usize, &str)| {
        let before = &text[..at];
        let begin = before.rfind(|char| !is_of_a_name(char));
        before[begin.map_or(0, |begin| begin + 1)..].to_owned()
    };
    begins.map(name).filter(|name| !name.is_empty()).collect()
}

/// Returns those of a test's functions that take no one's place: of the program, of the machine, or as a step of its own.
fn idle(text: &str) -> Vec<String> {
    let functions: BTreeSet<String> = defined(program::TEXT).into_iter().collect();
    let steps = |name: &str| {
        let step = name
            .strip_prefix("do_")
            .or_else(|| name.strip_prefix("undo_"));
        let mut lists = text.split("STEPS='").skip(1);
        step.is_some_and(|step| {
            lists.any(|list| {
                let list = list.split('\'').next().unwrap_or_default();
                list.split(' ').any(|word| word == step)
            })
        })
    };
    let known = |name: &String| {
        let name = name.as_str();
        functions.contains(name) || COMMANDS.contains(&name) || OWN.contains(&name) || steps(name)
    };
    let names = stand_ins(text).into_iter();
    names.filter(|name| !known(name)).collect()
}

/// Fails a test whose stand-ins replace nothing.
pub(crate) fn check_stand_ins(text: &str) {
    let idle = idle(text);
    assert!(idle.is_empty(), "the program has no {idle:?} to replace");
}

#[test]
fn a_stand_in_without_a_function_of_the_program_is_found() {
    let text = "is_ready() { false; }\nrenamed() { :; }; STEPS='keep alpha'; do_alpha() { :; }; do_beta() (:)\nsystemctl() { :; }";
    assert_eq!(idle(text), ["do_beta", "renamed"]);
    let functions = defined(program::TEXT);
    let both = COMMANDS
        .iter()
        .find(|name| functions.iter().any(|one| one == *name));
    assert_eq!(both, None);
}

/// The later one would silently take the place of the other.
#[test]
fn no_two_functions_of_a_script_have_one_name() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/program/carried"));
    let stage = Stage::new(SHELLS[0]);
    let mut scripts = vec![
        ("mesh-vm.sh", program::TEXT.to_owned()),
        ("proxy.sh", stage.part("proxy_script")),
        ("token.sh", crate::tokens::refresh()),
    ];
    scripts.push(("install.sh", crate::packing::of_archive("install.sh")));
    let sudo = fs::read_to_string(folder.join("sudo.sh"));
    scripts.push(("sudo.sh", sudo.unwrap()));
    for (name, script) in scripts {
        let names = defined(&script);
        assert!(!names.is_empty(), "{name}");
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = names.iter().filter(|one| !seen.insert(*one)).collect();
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
}
