//! The reader finds the answer of the program among any other output, and never panics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh::observed::Seen;
use proptest::prelude::*;
use vm::program::{self, Event, Reader, Report, RunId, Verdict};

use crate::stage::bundle;

const MACHINE: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn run() -> RunId {
    "0123456789abcdef0123456789abcdef".parse().unwrap()
}

/// Feeds lines and returns what became of the last.
fn read(lines: &str) -> Event {
    let mut reader = Reader::new(&run());
    lines.lines().map(|line| reader.feed(line)).last().unwrap()
}

fn answer(lines: &str) -> Report {
    match read(&format!("begin {}\n{lines}\nend {}", run(), run())) {
        Event::Finished(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn banners_and_other_runs_are_no_answer() {
    let other = "fedcba9876543210fedcba9876543210";
    let noise = format!(
        "Welcome!\nalive\nwant token\nstep stop\nreport removed\nend {}\nbegin {other}\nreport lost",
        run()
    );
    let mut reader = Reader::new(&run());
    for line in noise.lines() {
        assert_eq!(reader.feed(line), Event::Ignored, "{line}");
    }
    assert_eq!(reader.feed(&format!("begin {}\r\n", run())), Event::Begun);
    assert_eq!(reader.feed("alive"), Event::Heartbeat);
    assert_eq!(reader.feed("step install"), Event::Step("install".into()));
    assert_eq!(reader.feed("want token"), Event::WantsToken);
    assert_eq!(reader.feed(&format!("end {other}")), Event::Ignored);
    assert_eq!(reader.feed("report removed"), Event::Ignored);
    assert_eq!(
        reader.feed(&format!("end {}", run())),
        Event::Finished(Report::Removed { left: vec![] })
    );
}

#[test]
fn an_answer_without_a_report_is_malformed() {
    let malformed = |lines: &str| {
        matches!(
            read(&format!("begin {}\n{lines}\nend {}", run(), run())),
            Event::Malformed(_)
        )
    };
    assert!(malformed("alive"));
    assert!(malformed("report nonsense"));
    assert!(malformed("file !! root 644\nreport observed"));
    assert!(malformed("report foreign !!"));
}

#[test]
fn the_first_failure_is_the_reason_and_bad_checks_come_first() {
    let text = |text: &str| STANDARD.encode(text);
    let lines = format!(
        "failed ready\nline {}\nundo start\nhop token\nbad clock {}\nfailed other\nreport reverted",
        text("last words"),
        text("90 seconds")
    );
    let lines_wanted = vec!["clock: 90 seconds".to_owned(), "last words".to_owned()];
    let wanted = Report::Reverted {
        step: "ready".into(),
        hop: Some("token".into()),
        lines: lines_wanted,
    };
    assert_eq!(answer(&lines), wanted);
}

#[test]
fn a_check_has_a_verdict_and_what_was_found() {
    let Report::Checked(checks) = answer("check clock bad OTA=\ncheck disk ok\nreport checked")
    else {
        panic!()
    };
    assert_eq!(
        (
            checks[0].name.as_str(),
            checks[0].verdict,
            checks[0].found.as_str()
        ),
        ("clock", Verdict::Bad, "90")
    );
    assert_eq!(checks[1].verdict, Verdict::Ok);
}

#[test]
fn a_check_that_could_not_be_made_is_reported_as_such() {
    let why = STANDARD.encode("no command runs as istio-proxy");
    let lines = format!("check control-plane unknown {why}\nreport checked");
    let Report::Checked(checks) = answer(&lines) else {
        panic!()
    };
    assert_eq!(checks[0].verdict, Verdict::Unknown);
    let clock = STANDARD.encode("90 seconds");
    let lines = format!(
        "failed ready\nunknown control-plane {why}\nhop clock\nbad clock {clock}\nreport reverted"
    );
    let Report::Reverted { hop, lines, .. } = answer(&lines) else {
        panic!()
    };
    assert_eq!(hop.as_deref(), Some("clock"));
    assert_eq!(
        lines,
        [
            "clock: 90 seconds",
            "control-plane: no command runs as istio-proxy (not checked)"
        ]
    );
}

/// Whatever a VM says, what reaches state has the form that it should have.
#[test]
fn a_value_in_the_wrong_form_is_not_used() {
    let hostile = [
        "\u{1b}]0;owned\u{7}\u{1b}[2J",
        "1.31.0\nError: all is lost",
        "\u{202e}0.13.1",
        &"9".repeat(400_000),
    ];
    for text in hostile {
        let printed = |key: &str| format!("{key} {}\n", STANDARD.encode(text));
        let lines: String = ["version", "machine", "ipv6"].map(printed).concat();
        let ports = STANDARD.encode("80 \u{1b}[2J");
        let Report::Committed {
            version,
            machine_id,
            bypass,
            published,
            strange,
            ..
        } = answer(&format!("{lines}published {ports}\nreport committed"))
        else {
            panic!("not committed")
        };
        assert_eq!((version, machine_id.as_str()), (None, ""), "{text:?}");
        assert_eq!((bypass, published), (None, None), "{text:?}");
        assert_eq!(strange, ["version", "machine", "ipv6", "published"]);
    }
    for version in [
        "1.31.0",
        "1.31.0~rc.1-2",
        "2:1.31.0+git20260101",
        "1.31-alpha.abc_d",
    ] {
        let line = format!("version {}\nreport committed", STANDARD.encode(version));
        let Report::Committed {
            version: read,
            strange,
            ..
        } = answer(&line)
        else {
            panic!("not committed")
        };
        assert_eq!((read.as_deref(), strange.len()), (Some(version), 0));
    }
}

#[test]
fn names_that_the_program_does_not_have_are_unknown() {
    for word in ["\u{1b}[2J", "Error:done", &"a".repeat(33)] {
        let Report::Reverted { step, hop, .. } =
            answer(&format!("failed {word}\nhop {word}\nreport reverted"))
        else {
            panic!("not reverted")
        };
        assert_eq!(
            (step.as_str(), hop.as_deref()),
            ("unknown", Some("unknown"))
        );
        assert_eq!(
            answer(&format!("report busy {word} {word}")),
            Report::Busy {
                run: "unknown".into(),
                verb: "unknown".into()
            }
        );
        assert!(
            matches!(answer(&format!("report halfway {word}")), Report::Halfway { step, .. } if step == "unknown")
        );
    }
}

#[test]
fn an_answer_is_bounded_as_a_whole_and_in_each_line() {
    let begun = || {
        let mut reader = Reader::new(&run());
        reader.feed_part();
        assert_eq!(reader.feed(&format!("begin {}", run())), Event::Begun);
        reader
    };
    let mut reader = begun();
    let events =
        (0..400_000).map(|_| reader.feed("a b c d e f g h i j k l m n o p q r s t u v w x y z"));
    assert!(events.take_while(|event| *event == Event::Ignored).count() < 400_000);
    assert_eq!(
        reader.feed("report removed"),
        Event::Ignored,
        "nothing more is read"
    );

    assert_eq!(begun().feed_part(), Event::Excessive);
    // What the program really sends.
    let mut reader = begun();
    let content = STANDARD.encode(vec![b'x'; 1 << 20]);
    for _ in 0..8 {
        assert_eq!(
            reader.feed(&format!("file L2E= root 644 {content}")),
            Event::Ignored
        );
    }
}

/// Self-signed, by `openssl ca -selfsign -enddate 20300102030405Z`.
const UTC_TIME: &str = include_str!("until-2030.pem");
const GENERALIZED_TIME: &str = include_str!("until-2060.pem");

#[test]
fn an_address_whose_traffic_bypasses_the_proxy_is_read() {
    let bypass = |line: &str| match answer(&format!("{line}report committed")) {
        Report::Committed { bypass, .. } => bypass,
        other => panic!("{other:?}"),
    };
    let line = format!("ipv6 {}\n", STANDARD.encode("2001:db8::7"));
    assert_eq!(bypass(&line).as_deref(), Some("2001:db8::7"));
    assert_eq!(bypass(""), None);
    let published = format!(
        "published {}\nreport committed",
        STANDARD.encode("8080 9000 ")
    );
    let Report::Committed { published, .. } = answer(&published) else {
        panic!("not committed")
    };
    assert_eq!(published.as_deref(), Some("8080 9000 "));
}

#[test]
fn the_end_of_a_certificate_is_read_in_both_forms() {
    let end = |pem: &str| {
        let lines = format!(
            "machine {}\ncertificate {}\nreport observed",
            STANDARD.encode(format!("{MACHINE}\n")),
            STANDARD.encode(pem)
        );
        let Report::Observed(vm) = answer(&lines) else {
            panic!("not observed")
        };
        assert_eq!(vm.machine_id, MACHINE);
        vm.certificate.map(|(_, end)| end.to_string())
    };
    assert_eq!(end(UTC_TIME).as_deref(), Some("2030-01-02T03:04:05Z"));
    assert_eq!(
        end(GENERALIZED_TIME).as_deref(),
        Some("2060-01-02T03:04:05Z")
    );
    assert_eq!(
        end("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        None
    );
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(lines in prop::collection::vec("(file|check|clock|report|owner|certificate|end|begin|bad|line)? ?[ -~]{0,40}", 0..30)) {
        let mut reader = Reader::new(&run());
        reader.feed(&format!("begin {}", run()));
        for line in &lines {
            reader.feed(line);
        }
        reader.feed(&format!("end {}", run()));
    }

    #[test]
    fn no_bytes_in_a_certificate_make_the_reader_panic(der in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..200, byte: u8) {
        let real = UTC_TIME.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let mut bent = STANDARD.decode(real).unwrap();
        if let Some(place) = bent.get_mut(at) {
            *place = byte;
        }
        for der in [der, bent] {
            let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(der));
            answer(&format!("certificate {}\nreport committed", STANDARD.encode(pem)));
        }
    }

    #[test]
    fn what_is_observed_comes_through_unchanged(path in "/[ -~]{1,30}", content in prop::collection::vec(any::<u8>(), 0..300), mode in 0_u32..0o7777) {
        let lines = format!("file {} root {mode:o} {}\nreport observed", STANDARD.encode(&path), STANDARD.encode(&content));
        let Report::Observed(vm) = answer(&lines) else { panic!() };
        prop_assert_eq!(&vm.files[&path], &Seen::File { owner: "root".into(), mode, content });
    }

    #[test]
    fn a_payload_is_lines_of_plain_words(control_plane in ".{0,40}", hosts in ".{0,40}") {
        let bundle = mesh::desired::Bundle { control_plane, hosts_line: Some(hosts), ..bundle(vec![]) };
        let stdin = String::from_utf8(program::check(&bundle, jiff::Timestamp::UNIX_EPOCH).stdin()).unwrap();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=.- ".contains(&byte);
        prop_assert!(stdin.lines().all(|line| line.bytes().all(plain)));
        prop_assert!(stdin.ends_with("\nend\n"));
    }
}
