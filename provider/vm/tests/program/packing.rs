//! Packing leaves out comments and blank lines, and changes nothing else.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use vm::program::{self, Offload, Payload, RunId, Token};

use crate::functions::defined;
use crate::stage::{SHELLS, bundle};

/// Gives a script to a shell on its standard input.
fn shell(words: &[&str], script: &str) -> String {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let script = script.to_owned();
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut stdin, script.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{words:?}: {printed}");
    printed
}

fn is_accepted_by_every_shell(script: &str) {
    for name in SHELLS {
        let words: Vec<&str> = name.split(' ').chain(["-n"]).collect();
        assert_eq!(shell(&words, script), "", "{name}");
    }
}

/// Returns a script as an archive has it.
pub(crate) fn of_archive(name: &str) -> String {
    let offload = Offload::new(&bundle(vec![]), Token::Command("true"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, offload.archive().unwrap()).unwrap();
    let tar = Command::new("tar")
        .arg("-xzOf")
        .arg(path)
        .arg(name)
        .output();
    String::from_utf8(tar.unwrap().stdout).unwrap()
}

/// Returns the scripts as user data has them.
fn of_user_data(name: &str) -> String {
    let user_data = Offload::new(&bundle(vec![]), Token::Command("true")).user_data();
    let document: Json = serde_yaml_ng::from_str(&user_data).unwrap();
    let files = document["write_files"].as_array().unwrap();
    let path = format!("/var/lib/mesh-vm/{name}");
    let file = files.iter().find(|file| file["path"] == path.as_str());
    file.unwrap()["content"].as_str().unwrap().to_owned()
}

/// Returns the program as a session sends it.
fn sent() -> String {
    let payload: Payload = program::commit(RunId::generate());
    let stdin = String::from_utf8(payload.stdin()).unwrap();
    let line = stdin.lines().next().unwrap();
    shell(&["sh", "-c", "base64 -d | gzip -dc"], line)
}

#[test]
fn comments_and_blank_lines_go_and_texts_stay() {
    let script =
        "#!/bin/sh\n# a\n\n  # b\na=1 # c\nd() {\n  cat <<'END'\n# e\n\nf\nEND\n}\n\n#g\nh='#'\n";
    let packed = "#!/bin/sh\na=1 # c\nd() {\n  cat <<'END'\n# e\n\nf\nEND\n}\nh='#'\n";
    assert_eq!(program::packed(script), packed);
    assert_eq!(program::packed(packed), packed);
}

/// bash prints functions as it has understood them, with every text in them.
#[test]
fn the_packed_program_is_the_same() {
    let understood = |script: &str| {
        let asked = format!(
            "{script}\ndeclare -f\nfor f in AWK_RULES ISTIO_CHAINS OUR_CHAINS OWNED_DIRS STEPS AUDIENCE; do declare -p $f; done"
        );
        shell(&["bash"], &asked)
    };
    let packed = sent();
    assert!(packed.len() < program::TEXT.len() * 9 / 10);
    assert_eq!(
        program::packed(&packed),
        packed.trim_end().to_owned() + "\n"
    );
    assert_eq!(understood(&packed), understood(program::TEXT));
    assert_eq!(defined(&packed), defined(program::TEXT));
    is_accepted_by_every_shell(&packed);
}

#[test]
fn user_data_has_the_program_without_what_only_ssh_asks_for() {
    let carried = of_user_data("mesh-vm.sh");
    let here: BTreeSet<String> = defined(&carried).into_iter().collect();
    let missing: Vec<_> = defined(program::TEXT)
        .into_iter()
        .filter(|name| !here.contains(name))
        .collect();
    assert_eq!(
        missing,
        [
            "list_changed",
            "changed_files",
            "is_timer_stopped",
            "is_unlisted_part",
            "is_other_container",
            "missing_image",
            "has_image",
            "changed_modes",
            "blocked_ports",
            "blocking_rule",
            "walk_iptables",
            "walk_nftables",
            "input_rules",
            "join_sets",
            "verb_check",
            "verb_observe",
            "observe_files",
            "observe_file",
            "why_not_observed",
            "observe_unfinished"
        ]
    );
    is_accepted_by_every_shell(&carried);
    let install = of_user_data("install.sh");
    assert!(install.starts_with("#!/bin/sh\nset -u\n"), "{install}");
    is_accepted_by_every_shell(&install);
}

#[test]
fn the_scripts_that_a_vm_keeps_are_accepted_by_every_shell() {
    let stage = crate::stage::Stage::new(SHELLS[0]);
    for script in [
        stage.part("proxy_script"),
        stage.part("sudo_script"),
        crate::tokens::refresh(),
    ] {
        is_accepted_by_every_shell(&script);
    }
}
