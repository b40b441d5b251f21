//! The path to a certificate authority that is not istiod: checked before the proxy stops, and named where it breaks.

use std::fs;
use std::net::TcpListener;

use crate::stage::{SHELLS, Stage};

/// Writes the input of a check.
fn input(stage: &Stage, authority: &str) {
    let values = [
        ("now", "0"),
        ("control-plane", "127.0.0.1:1"),
        ("hosts", "127.0.0.1 istiod.istio-system.svc"),
        ("ca", authority),
        ("root", "root"),
    ];
    fs::create_dir_all(stage.path("in")).unwrap();
    for (key, value) in values {
        fs::write(stage.path("in").join(key), value).unwrap();
    }
}

/// Returns the checks of the authority, each as `NAME VERDICT FOUND`.
fn checks(stage: &Stage, own: &str) -> Vec<String> {
    let decoded = "while read -r _ name verdict found; do emit \"$name $verdict $(emit \"$found\" | base64 -d)\"; done";
    let printed = stage.part(&format!("{own}\nrun_checks 2>/dev/null | {decoded}"));
    let lines = printed.lines().filter(|line| line.starts_with("ca"));
    lines.map(str::to_owned).collect()
}

/// Replaces curl, which prints a line and ends with a status, and notes its words.
const CURL: &str = r#"as_proxy_group() { "$@"; }
curl() { emit "$*" >"$run_dir/words"; cat "$run_dir/line" >&2; return "$(cat "$run_dir/status")"; }"#;

#[test]
fn a_name_and_a_port_of_the_authority_that_lead_nowhere_are_bad() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (authority, expected) in [
            (
                "csr.invalid:443",
                "ca-dns bad csr.invalid:443: no address of csr.invalid",
            ),
            ("127.0.0.1:1", "ca bad 127.0.0.1:1"),
            ("[::1]:1", "ca bad [::1]:1"),
            // Its line of the hosts file comes with the bootstrap.
            (
                "istiod.istio-system.svc:1",
                "ca bad istiod.istio-system.svc:1",
            ),
        ] {
            input(&stage, authority);
            assert_eq!(checks(&stage, ""), [expected], "{shell}");
        }
        fs::remove_file(stage.path("in/ca")).unwrap();
        assert!(checks(&stage, "").is_empty(), "{shell}: it is istiod");
    }
}

#[test]
fn a_certificate_of_the_authority_is_bad_where_the_proxy_refuses_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = [
        (
            60,
            "(60) SSL certificate problem: unable to get local issuer certificate",
        ),
        (
            60,
            "(60) SSL: no alternative certificate subject name matches target host name 'b'",
        ),
        (
            51,
            "(51) SSL: certificate subject name 'a' does not match target host name 'b'",
        ),
        (77, "(77) error setting certificate verify locations"),
        (
            35,
            "(35) OpenSSL/3.0: error:0A00010B:SSL routines::wrong version number",
        ),
    ];
    // What gRPC makes of a request of HTTP/1.1 without a certificate, and an older curl of an option.
    let accepted = [
        (0, ""),
        (2, "curl: option --no-alpn: is unknown"),
        (28, "(28) Operation timed out"),
        (35, "(35) sslv3 alert handshake failure"),
        (52, "(52) Empty reply from server"),
        (56, "(56) tlsv13 alert certificate required"),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let authority = format!("127.0.0.1:{port}");
        input(&stage, &authority);
        let judged = |(status, line): (u8, &str)| {
            fs::write(stage.path("status"), status.to_string()).unwrap();
            fs::write(stage.path("line"), line).unwrap();
            checks(&stage, CURL)
        };
        let ok = format!("ca ok {authority}");
        for case in refused {
            let expected = format!("ca-certificate bad {authority}: {}", case.1);
            assert_eq!(judged(case), [ok.clone(), expected], "{shell}");
        }
        for case in accepted {
            let expected = format!("ca-certificate ok {authority}");
            assert_eq!(judged(case), [ok.clone(), expected], "{shell}: {case:?}");
        }
    }
}

#[test]
fn the_authority_is_verified_against_the_root_that_the_proxy_uses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("status"), "0").unwrap();
        fs::write(stage.path("line"), "").unwrap();
        let mesh = format!("--cacert {} ", stage.path("in/root").display());
        for (root, words) in [
            ("", Some(mesh.as_str())),
            ("system", Some("--no-alpn --connect-to")),
            ("/etc/ssl/corp.pem", Some("--cacert /etc/ssl/corp.pem ")),
            ("unknown", None),
        ] {
            input(&stage, &format!("istiod.istio-system.svc:{port}"));
            if !root.is_empty() {
                fs::write(stage.path("in/ca-root"), root).unwrap();
            }
            let checks = checks(&stage, CURL);
            assert_eq!(checks.len(), 1 + usize::from(words.is_some()), "{shell}");
            if let Some(words) = words {
                let asked = fs::read_to_string(stage.path("words")).unwrap();
                let target = format!(
                    "--connect-to ::127.0.0.1:{port} https://istiod.istio-system.svc:{port}/"
                );
                assert!(asked.contains(words) && asked.contains(&target), "{asked}");
            }
        }
    }
}

/// The agent logs requests for a certificate by these words, whoever it asks.
#[test]
fn the_proxys_last_lines_name_a_broken_hop_at_the_authority() {
    let request = "warn sds failed to warm certificate: failed to generate workload certificate: create certificate: rpc error:";
    let cases = [
        ("lookup csr on 10.0.0.2:53: no such host", "ca-dns", "dns"),
        (
            "dial tcp 10.0.0.1:443: connect: connection refused",
            "ca",
            "control-plane",
        ),
        (
            "x509: certificate signed by unknown authority",
            "ca-certificate",
            "trust-root",
        ),
        (
            "x509: certificate is valid for a, not b",
            "ca-certificate",
            "tls-name",
        ),
        (
            "code = Unauthenticated desc = request authenticate failure",
            "ca-token",
            "token",
        ),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (line, at_authority, at_istiod) in cases {
            let hop = |line: &str| {
                fs::write(stage.path("tail"), line).unwrap();
                fs::write(stage.path("log"), "").unwrap();
                stage.part("journal_hop_of_log || :");
                fs::read_to_string(stage.path("log")).unwrap()
            };
            input(&stage, "csr:443");
            let requested = format!("{request} {line}");
            assert_eq!(hop(&requested), format!("hop {at_authority}\n"), "{shell}");
            assert_eq!(hop(line), format!("hop {at_istiod}\n"), "{shell}");
            fs::remove_file(stage.path("in/ca")).unwrap();
            assert_eq!(hop(&requested), format!("hop {at_istiod}\n"), "{shell}");
        }
    }
}
