//! User data is never a word of a script, and secrets are in no argument.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use vm::program::{self, Event, Report, RunId};

use crate::stage::{SHELLS, Stage, TOKEN, bundle, file, patience};

/// Values that a shell would choke on, were they ever words.
fn hostile() -> Vec<Vec<u8>> {
    let random: Vec<u8> = (0_u32..6144)
        .map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    let texts: [&[u8]; 12] = [
        b"",
        b"it's \"quoted\" \\ and `touch pwned`",
        b"$(touch pwned) ${HOME} $((1)) !! ; touch pwned &",
        b"a\0b",
        b"line\nline\n\n",
        b"no line end",
        b"-n -e %s %d \\n \\c",
        b"end\ntoken AAAA\n",
        b"=  two spaces  in it",
        b" begins with a space",
        b"ends with a space ",
        "\u{fffd}\u{1f512} caf\u{e9}\r\n".as_bytes(),
    ];
    texts
        .iter()
        .map(|text| text.to_vec())
        .chain([random])
        .collect()
}

#[test]
fn hostile_values_become_files_byte_for_byte() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let path = |at: usize| stage.path(&format!("placed/it's $(touch pwned) \"{at}\"; x/file"));
        let files = hostile()
            .iter()
            .enumerate()
            .map(|(at, value)| file(&path(at), value))
            .collect();
        let payload = program::bootstrap(
            &bundle(files),
            RunId::generate(),
            patience(),
            Timestamp::UNIX_EPOCH,
        );
        let mut call = stage.call(payload, "STEPS='keep place'");
        assert!(matches!(call.report(), Report::Committed { .. }), "{shell}");
        for (at, value) in hostile().iter().enumerate() {
            assert_eq!(fs::read(path(at)).unwrap(), *value, "{shell}, value {at}");
        }
        assert!(
            !stage.path("pwned").exists() && !fs::exists("pwned").unwrap(),
            "{shell}"
        );
    }
}

#[test]
fn observe_reads_what_is_there_and_leaves_no_trace() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let path = |at: usize| stage.path(&format!("file {at}"));
        let files: Vec<_> = hostile()
            .iter()
            .enumerate()
            .map(|(at, value)| file(&path(at), value))
            .collect();
        for (at, value) in hostile().iter().enumerate().skip(1) {
            fs::write(path(at), value).unwrap();
        }
        let mut call = stage.call(program::observe(&bundle(files)), "");
        let Report::Observed(vm) = call.report() else {
            panic!("{shell}: not observed")
        };
        assert!(call.child.wait().unwrap().success(), "{shell}");
        let name = |at: usize| path(at).to_str().unwrap().to_owned();
        assert_eq!(vm.files[&name(0)], mesh::observed::Seen::Missing, "{shell}");
        for (at, value) in hostile().iter().enumerate().skip(1) {
            let mesh::observed::Seen::File { content, .. } = &vm.files[&name(at)] else {
                panic!("{shell}: {at}")
            };
            assert_eq!(content, value, "{shell}, value {at}");
        }
        assert!(
            !stage.path("lib").exists() && !stage.path("run").exists(),
            "{shell}"
        );
    }
}

#[test]
fn input_that_breaks_off_begins_nothing() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let whole = program::check(&bundle(vec![]), Timestamp::UNIX_EPOCH)
            .appending("runs_dir=/dev/null/run")
            .stdin();
        let mut call = stage.start();
        call.stdin(&whole);
        let printed = call.stderr();
        assert!(
            printed.contains("cannot write to /dev/null/run"),
            "{shell}: {printed}"
        );

        let root = stage.path("run");
        let whole = program::check(&bundle(vec![]), Timestamp::UNIX_EPOCH)
            .appending(&format!("runs_dir={}", root.display()))
            .stdin();
        let mut call = stage.start();
        call.stdin(whole.strip_suffix(b"end\n").unwrap());
        let printed = call.stderr();
        assert!(
            printed.contains("the input is incomplete"),
            "{shell}: {printed}"
        );
        assert!(!root.exists(), "{shell}");
    }
}

#[test]
fn the_token_is_requested_and_only_the_proxy_has_it_afterwards() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let run = RunId::generate();
        let payload = program::bootstrap(&bundle(vec![]), run, patience(), Timestamp::UNIX_EPOCH);
        let mut call = stage.call(payload, "STEPS='stage keep ask token place'");
        let events: Vec<Event> = std::iter::from_fn(|| Some(call.next()))
            .take_while(|event| *event != Event::WantsToken)
            .collect();
        assert_eq!(events.last(), Some(&Event::Step("ask".into())), "{shell}");
        call.stdin(format!("{}\n", "noise that is no answer").as_bytes());
        call.stdin(
            program::token_line(&TOKEN.into())
                .expose_secret()
                .as_bytes(),
        );
        assert!(matches!(call.report(), Report::Committed { .. }), "{shell}");
        let holders = holding(stage.root.path(), TOKEN.as_bytes());
        assert_eq!(
            holders,
            [stage.path("secrets/tokens/istio-token")],
            "{shell}"
        );
    }
}

/// Returns the files below `folder` that contain these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            found.extend(holding(&entry, bytes));
        } else if fs::read(&entry)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
        {
            found.push(entry);
        }
    }
    found
}

#[test]
fn a_sudo_that_records_its_input_is_reported() {
    let cases = [
        ("env_reset, log_input, use_pty", "ubuntu", true),
        ("env_reset, log_stdin", "ubuntu", true),
        ("env_reset, !log_input", "ubuntu", false),
        ("log_input", "", false),
    ];
    for shell in SHELLS {
        for (defaults, user, expected) in cases {
            let stage = Stage::new(shell);
            let payload = program::bootstrap(
                &bundle(vec![]),
                RunId::generate(),
                patience(),
                Timestamp::UNIX_EPOCH,
            );
            let own = format!(
                "STEPS=keep SUDO_USER={user}; sudo() {{ emit 'Matching Defaults entries:'; emit '    {defaults}'; }}"
            );
            let report = stage.call(payload, &own).report();
            assert!(
                matches!(report, Report::Committed { recorded, .. } if recorded == expected),
                "{shell}: {defaults}: {report:?}"
            );
        }
    }
}
