//! What is taken for a token, wherever it comes from: from the provider, from an archive, from the user's command.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh::desired::Bundle;
use secrecy::ExposeSecret as _;
use vm::program::{self, Event, Offload, Report, RunId, Token};

use crate::offload::files_of;
use crate::stage::{SHELLS, Stage, TOKEN, bundle, patience};

const MARK: &str = "canary";

fn token(payload: &str) -> String {
    format!("{MARK}.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

/// Texts that istiod would take, as far as their form says.
fn good() -> Vec<String> {
    let payloads = [
        r#"{"aud":["istio-ca"],"exp":1}"#,
        r#"{"iss":"a\"}","aud" : "istio-ca" }"#,
        r#"{"aud":["https://kubernetes.default.svc","istio-ca"],"n":{"aud":["x"]}}"#,
        "{\n  \"sub\": \"ü?>\",\n  \"aud\": [\n    \"istio-ca\"\n  ]\n}",
    ];
    payloads.map(token).into()
}

/// Invalid tokens, and a word of the message for each.
fn bad() -> Vec<(String, &'static str)> {
    let fine = token(r#"{"aud":["istio-ca"]}"#);
    let payload = |text: &str| token(text);
    vec![
        ("..".to_owned(), "2 bytes, 3 parts"),
        (format!("{MARK}.a"), "2 parts"),
        (format!("{MARK}.a.b.c"), "4 parts"),
        (format!("WARNING: {MARK} is old\n{fine}"), "2 lines"),
        (format!("\n{fine}"), "2 lines"),
        (format!("{fine}\n{fine}"), "2 lines"),
        (format!("{fine} "), "3 parts"),
        (format!("{fine}="), "3 parts"),
        (format!("{MARK}.!.c2ln"), "3 parts"),
        (format!("{MARK}.aaaa.c2ln"), "no JSON"),
        (payload(r#"["istio-ca"]"#), "no JSON"),
        (payload(r#"{"aud":["istio-ca"]"#), "no JSON"),
        (payload(r#"{"aud":["istio-ca"]}{}"#), "no JSON"),
        (payload(r#"{"aud":["other"]}"#), "for the audience other,"),
        (
            payload(r#"{"aud":"istio-ca2"}"#),
            "for the audience istio-ca2,",
        ),
        (
            payload(r#"{"aud":"x","n":{"aud":["istio-ca"]}}"#),
            "for the audience x,",
        ),
        (
            payload(r#"{"n":"\"aud\":[\"istio-ca\"]"}"#),
            "for the audience nobody,",
        ),
        (payload(r#"{"sub":"istio-ca"}"#), "for the audience nobody,"),
        (
            payload("{\"aud\":\"a\u{1b}[2Jb\"}"),
            "for the audience a?[2Jb,",
        ),
        (
            format!("{}.{}.c", "a".repeat(70_000), MARK),
            "which is too much",
        ),
    ]
}

#[test]
fn the_program_wants_the_audience_that_the_provider_asks_for() {
    let line = format!("\nAUDIENCE={}\n", mesh::bundle::TOKEN_AUDIENCE);
    assert!(program::TEXT.contains(&line) && refresh().contains(&line));
}

#[test]
fn a_token_has_three_parts_and_an_audience_that_fits() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let came = |text: &str| {
            fs::write(stage.path("came"), text).unwrap();
            stage.part("if is_token \"$run_dir/came\"; then emit token; fi")
        };
        for text in good() {
            assert_eq!(came(&text), "token\n", "{shell}: {text}");
            assert_eq!(came(&format!("{text}\n")), "token\n", "{shell}: {text}");
        }
        for (text, word) in bad() {
            let printed = came(&text);
            assert!(printed.contains(word), "{shell}: {text}: {printed}");
            assert_eq!(printed.lines().count(), 1, "{shell}: {printed}");
            assert!(
                !printed.contains(MARK) && printed != "token\n",
                "{shell}: {printed}"
            );
        }
        assert!(came("").contains("0 bytes"), "{shell}");
    }
}

#[test]
fn an_invalid_token_is_refused_at_once() {
    for shell in SHELLS {
        for (text, word) in bad() {
            let stage = Stage::new(shell);
            let run = RunId::generate();
            let payload = program::bootstrap(
                &bundle(vec![]),
                run,
                patience(),
                jiff::Timestamp::UNIX_EPOCH,
            );
            let mut call = stage.call(payload, "STEPS='keep ask token place'");
            while call.next() != Event::WantsToken {}
            call.stdin(program::token_line(&text.into()).expose_secret().as_bytes());
            let Report::Untouched { step, lines, .. } = call.report() else {
                panic!("{shell}: taken")
            };
            assert_eq!(step, "ask", "{shell}");
            assert!(lines.concat().contains(word), "{shell}: {lines:?}");
            assert!(!lines.concat().contains(MARK), "{shell}: {lines:?}");
            assert!(
                !stage.path("secrets/tokens/istio-token").exists(),
                "{shell}"
            );
        }
    }
}

fn carried(token: Token<'_>, bundle: &Bundle) -> Vec<u8> {
    Offload::new(bundle, token).archive().unwrap()
}

#[test]
fn an_archive_refuses_an_invalid_token() {
    let warned = format!("WARNING: {MARK}\n{TOKEN}");
    let command = format!("echo 'WARNING: {MARK}'; echo {TOKEN}");
    let bundle = bundle(vec![]);
    for shell in SHELLS {
        for token in [
            Token::Enclosed(&warned.clone().into()),
            Token::Command(&command),
        ] {
            let stage = Stage::new(shell);
            let own = "put_file() { :; }\nkeep_file() { :; }\nSTEPS='keep ask token place'";
            let install = stage.unpack(&carried(token, &bundle), own);
            let (joined, printed) = stage.install(&install, &[]);
            assert!(!joined, "{shell}: {printed}");
            assert!(
                printed.contains("failed: ask") && printed.contains("2 lines"),
                "{shell}: {printed}"
            );
            assert!(
                !printed.contains(MARK) && !printed.contains(TOKEN),
                "{shell}: {printed}"
            );
        }
    }
}

/// The script that a timer calls on the VM, as an archive brings it.
pub(crate) fn refresh() -> String {
    let archive = Offload::new(&bundle(vec![]), Token::Command("true"));
    let data = files_of(&archive).remove("join.data").unwrap();
    let data = String::from_utf8(data).unwrap();
    let value = |key: &str| {
        let line = data
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        if let Some(text) = line.unwrap().strip_prefix('=') {
            return text.to_owned();
        }
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(line.unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let at = (0..99).find(|at| value(&format!("file.{at}.path")).ends_with("/mesh-vm-token"));
    value(&format!("file.{}.content", at.unwrap()))
}

#[test]
fn a_refresh_keeps_the_token_of_before_where_the_command_prints_none() {
    let script = refresh();
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let root = stage.root.path().display().to_string();
        let placed = script
            .replace("/var/run/secrets", &format!("{root}/secrets"))
            .replace("/run/mesh-vm-token", &format!("{root}/new"))
            .replace("/var/lib/istio/token-command", &format!("{root}/command"));
        let own = "setpriv() { shift 5; \"$@\"; }\nchown() { :; }\n";
        fs::write(stage.path("refresh"), format!("root={root}\n{own}{placed}")).unwrap();
        let mut words = shell.split(' ');
        let program = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        let refreshed = |printed: &str| {
            fs::write(stage.path("printed"), printed).unwrap();
            fs::write(stage.path("command"), format!("cat {root}/printed")).unwrap();
            let output = std::process::Command::new(program)
                .args(&words)
                .arg(stage.path("refresh"))
                .output()
                .unwrap();
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.success(), printed)
        };
        let there = || fs::read_to_string(stage.path("secrets/tokens/istio-token")).unwrap();
        for text in good() {
            assert_eq!(
                refreshed(&format!("{text}\n")),
                (true, String::new()),
                "{shell}"
            );
            assert_eq!(there().trim_end(), text, "{shell}");
        }
        let before = there();
        for (text, word) in bad() {
            let (done, printed) = refreshed(&text);
            assert!(
                !done && printed.contains(word),
                "{shell}: {text}: {printed}"
            );
            assert!(!printed.contains(MARK), "{shell}: {printed}");
            assert_eq!(there(), before, "{shell}");
        }
    }
}

/// Tries a token command as a bootstrap does, and returns how it ended.
fn tried(stage: &Stage, command: &str) -> Report {
    let bundle = bundle(vec![mesh::bundle::token_command(command)]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let payload = program::bootstrap(&bundle, RunId::generate(), patience(), now);
    let own = "as_proxy_group() { \"$@\"; }; STEPS='keep ask'";
    stage.call(payload, own).report()
}

#[test]
fn a_token_command_that_prints_no_token_is_refused_before_anything_changes() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let printed = stage.path("printed");
        let command = format!("cat '{}' # it's \"ours\"", printed.display());
        for (text, word) in bad() {
            fs::write(&printed, text).unwrap();
            let Report::Untouched { step, hop, lines } = tried(&stage, &command) else {
                panic!("{shell}: taken")
            };
            let found = (step.as_str(), hop.as_deref());
            assert_eq!(found, ("ask", Some("token-command")), "{shell}");
            let lines = lines.concat();
            assert!(
                lines.contains("the token command printed ") && lines.contains(word),
                "{shell}: {lines}"
            );
            assert!(!lines.contains(MARK), "{shell}: {lines}");
        }
        let Report::Untouched { lines, .. } = tried(&stage, "echo why >&2; exit 3") else {
            panic!("{shell}: taken")
        };
        let expected = ["why", "the token command ended with status 3"];
        assert_eq!(lines, expected, "{shell}");
        fs::write(&printed, TOKEN).unwrap();
        let report = tried(&stage, &command);
        assert!(matches!(report, Report::Committed { .. }), "{report:?}");
    }
}

#[test]
fn a_bundle_with_a_token_command_brings_what_runs_it() {
    let paths = |files| {
        let offload = Offload::new(&bundle(files), Token::Enclosed(&TOKEN.into()));
        let data = String::from_utf8(files_of(&offload).remove("join.data").unwrap()).unwrap();
        let paths = data
            .lines()
            .filter_map(|line| line.split_once(".path ="))
            .map(|(_, path)| path.to_owned());
        paths.collect::<Vec<_>>()
    };
    assert!(paths(vec![]).is_empty());
    let all = paths(vec![mesh::bundle::token_command("true")]);
    assert_eq!(
        all,
        [
            "/var/lib/istio/token-command",
            "/var/lib/istio/mesh-vm-token",
            "/etc/systemd/system/mesh-vm-token.service",
            "/etc/systemd/system/mesh-vm-token.timer",
            "/etc/systemd/system/istio.service.d/token.conf",
        ]
    );
    // The command of the bundle is that of the archive: it is there once.
    let twice = bundle(vec![mesh::bundle::token_command("true")]);
    let data = |token| files_of(&Offload::new(&twice, token)).remove("join.data");
    assert_eq!(
        data(Token::Command("true")),
        data(Token::Enclosed(&TOKEN.into()))
    );
}

#[test]
fn a_timer_that_does_not_run_beside_the_proxy_is_reported() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for folder in ["units", "lib/mesh"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        let looked = |stopped: &str| {
            stage.part(&format!(
                "list_sums >\"$state_dir/sums\"; systemctl() {{ case $3 in {stopped}) return 3 ;; esac; }}; changed_files"
            ))
        };
        assert_eq!(looked("*.timer"), "", "{shell}: there is none");
        fs::write(stage.path("units/mesh-vm-token.timer"), "").unwrap();
        assert_eq!(looked("none"), "", "{shell}");
        assert_eq!(looked("*.timer"), "the timer mesh-vm-token\n", "{shell}");
        assert_eq!(looked("*"), "", "{shell}: the proxy is stopped");
    }
}
