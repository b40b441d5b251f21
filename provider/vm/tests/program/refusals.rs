//! What is refused stays refused, even where the reason cannot be written.

use std::fs;
use std::path::Path;

use crate::stage::{SHELLS, Stage};

/// Returns the scripts of the program and those that the VM keeps.
fn scripts() -> Vec<(String, String)> {
    let program = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/program"));
    let folders = ["sh", "carried"].map(|name| fs::read_dir(program.join(name)).unwrap());
    let paths = folders
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), text)
    };
    paths.map(read).collect()
}

/// Returns the lines of a script that write a message and end with a failure by a command of its own: where that depends
/// on the write, the script goes on.
fn own_refusals(script: &str) -> Vec<&str> {
    let lines: Vec<&str> = script.lines().map(str::trim).collect();
    let ends = |text: &str| {
        let text = text.trim_start_matches([' ', ';', '&', '}']);
        text.starts_with("return 1") || text.starts_with("exit 1")
    };
    let writes = |line: &str| {
        ["emit ", "echo ", "printf ", "cat "]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut found = Vec::new();
    let mut within = "";
    for (at, line) in lines.iter().enumerate() {
        if let Some((name, _)) = line.split_once("() {") {
            within = name;
        }
        if ["refuse", "die"].contains(&within) || line.starts_with('#') {
            continue;
        }
        let next = lines.get(at + 1).copied().unwrap_or_default();
        let expected = line.split_once(">&2").is_some_and(|(before, after)| {
            writes(before) && (ends(after) || after.is_empty() && ends(next))
        });
        let depends = line.split("&& ").skip(1).any(ends) && {
            let last = line.rsplit(" && ").nth(1).unwrap_or_default();
            let last = last.rsplit(['{', ';']).next().unwrap_or_default();
            writes(last.trim_start())
                && !last.contains(['>', '|'])
                && last.trim_start().starts_with("emit ")
        };
        if expected || depends {
            found.push(*line);
        }
    }
    found
}

#[test]
fn a_message_and_its_failure_are_one_command() {
    let old = [
        "a() {",
        "  [ -e b ] || { emit \"no b\" >&2 && return 1; }",
        "  [ -e c ] || { emit 'no c' && return 1; }",
        "  [ -e d ] || {",
        "    emit \"no d\" >&2",
        "    return 1",
        "  }",
        "  e || refuse \"no e\" || return 1",
        "  emit 1 >\"$run_dir/f\" || return 1",
        "}",
    ];
    assert_eq!(
        own_refusals(&old.join("\n")),
        [1, 2, 4].map(|at| old[at].trim())
    );
    for (path, text) in scripts() {
        let found = own_refusals(&text);
        assert!(found.is_empty(), "{path}: {found:#?}");
    }
}

/// As where /run is full, or whoever reads the messages is gone.
#[test]
fn a_package_with_another_digest_is_refused_where_no_message_can_be_written() {
    for shell in SHELLS {
        for (errors, digest, staged) in [
            ("2>/dev/full", "another", ""),
            ("2>&-", "another", ""),
            ("2>/dev/full", "own", "staged\n"),
            ("2>&-", "own", "staged\n"),
        ] {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
            fs::write(stage.path("package"), "a package").unwrap();
            let url = format!("file://{}", stage.path("package").display());
            fs::write(stage.path("in/url"), url).unwrap();
            let printed = stage.part(&format!(
                "package_fits() {{ :; }}; if [ {digest} = own ]; then sum=$(sha256sum <\"$run_dir/package\"); else sum=another; fi
                 printf %s \"${{sum%% *}}\" >\"$run_dir/in/sha256\"; do_stage {errors} && emit staged; true"
            ));
            assert_eq!(printed, staged, "{shell}: {errors}, {digest}");
        }
    }
}

/// Each script that the VM keeps has one of its own.
#[test]
fn a_refusal_fails_whatever_becomes_of_its_message() {
    for shell in SHELLS {
        for (path, text) in scripts() {
            let Some((_, rest)) = text.split_once("refuse() {") else {
                continue;
            };
            let own = rest.split_once("\n}").unwrap().0;
            for errors in ["2>/dev/full", "2>&-", "2>/dev/null"] {
                let asked = format!(
                    "refuse() {{{own}\n}}\nif refuse words {errors}; then emit 'goes on'; fi"
                );
                assert_eq!(
                    Stage::new(shell).part(&asked),
                    "",
                    "{shell}: {path}: {errors}"
                );
            }
        }
    }
}
