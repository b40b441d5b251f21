//! The hosts file: the program's block, and lines of others for the same name.

use std::fs;

use jiff::Timestamp;
use mesh::desired::Bundle;
use vm::program::{self, Report, RunId};

use crate::stage::{SHELLS, Stage, bundle, patience};

/// An old line of others, as Istio's guide appends one, and what an earlier version wrote behind it.
const OLD: &str = "127.0.0.1 localhost\n10.9.9.9 istiod.istio-system.svc\n";
const BLOCK: &str = "# BEGIN mesh-vm\n10.0.0.1 istiod.istio-system.svc\n# END mesh-vm\n";

/// Bootstraps with these steps, the last of which is `own`.
fn bootstrap(stage: &Stage, address: &str, own: &str) -> Report {
    let bundle = Bundle {
        hosts_line: Some(format!("{address} istiod.istio-system.svc")),
        ..bundle(vec![])
    };
    let now = Timestamp::UNIX_EPOCH;
    let payload = program::bootstrap(&bundle, RunId::generate(), patience(), now);
    let steps = format!("STEPS='keep stop place last'; do_last() {{ {own}; }}");
    stage.call(payload, &steps).report()
}

#[test]
fn the_block_stands_first_and_an_undo_puts_it_where_it_was() {
    let cases = [
        OLD.to_owned(),
        format!("{OLD}{BLOCK}"),
        format!("127.0.0.1 localhost\n{BLOCK}10.9.9.9 istiod.istio-system.svc\n"),
        format!("{BLOCK}{OLD}"),
        "10.9.9.9 istiod.istio-system.svc".to_owned(),
    ];
    for shell in SHELLS {
        for before in &cases {
            let stage = Stage::new(shell);
            let read = || fs::read_to_string(stage.path("hosts")).unwrap();
            fs::write(stage.path("hosts"), before).unwrap();
            // Also where only its place changes.
            for address in ["10.0.0.2", "10.0.0.1"] {
                let report = bootstrap(&stage, address, "false");
                assert!(matches!(report, Report::Reverted { .. }), "{report:?}");
                assert_eq!(read(), *before, "{shell}");
            }
            let report = bootstrap(&stage, "10.0.0.1", "true");
            assert!(matches!(report, Report::Committed { .. }), "{report:?}");
            let theirs = before.replace(BLOCK, "");
            assert_eq!(read(), format!("{BLOCK}{theirs}"), "{shell}");
            stage.part(": >\"$run_dir/block\"; write_hosts_block \"$run_dir/block\"");
            assert_eq!(read(), theirs, "{shell}");
        }
    }
}

/// Returns the checks of the path to istiod. `curl` reports the certificate of whoever answers.
fn checks(stage: &Stage, hosts: &str, own: &str) -> String {
    fs::write(stage.path("hosts"), hosts).unwrap();
    let asked = format!(
        "encode() {{ cat; }}; can_connect() {{ :; }}; ip() {{ case $* in *2001:db8:* | *fd00:*) : ;; *) return 1 ;; esac; }}
         id() {{ return 1; }}; {own}\ncheck_network"
    );
    let printed = stage.part(&asked);
    let lines = printed.lines().filter(|line| line.contains(" bad "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_line_of_others_that_resolvers_prefer_is_bad_and_one_behind_the_block_is_not() {
    let name = "istiod.istio-system.svc";
    let cases = [
        (format!("10.9.9.9 {name}"), false),
        (format!("10.0.0.1 {name}"), false),
        (format!("# 127.0.0.1 {name}"), false),
        (format!("127.0.0.1 x # {name}"), false),
        (format!("127.0.0.1 other.{name}"), false),
        (format!("2001:dead::1 {name}"), false),
        (format!("2001:db8::1 {name}"), true),
        (format!("::1\t{name}"), true),
        ("127.0.1.1 vm ISTIOD.istio-system.svc. # past".into(), true),
    ];
    for shell in SHELLS {
        for (line, is_bad) in &cases {
            let stage = Stage::new(shell);
            fs::create_dir(stage.path("in")).unwrap();
            fs::write(stage.path("in/control-plane"), format!("{name}:15012")).unwrap();
            fs::write(stage.path("in/hosts"), format!("10.0.0.1 {name}")).unwrap();
            let found = checks(&stage, &format!("127.0.0.1 localhost\n{line}\n"), "");
            let address = line.split([' ', '\t']).next().unwrap();
            let file = stage.path("hosts");
            let expected = format!(
                "check hosts bad line 2 of {} has the address {address} for {name}\n",
                file.display()
            );
            let expected = if *is_bad { expected } else { String::new() };
            assert_eq!(found, expected, "{shell}: {line}");
        }
    }
}

/// By the precedence of RFC 6724: `::1`, then IPv6, IPv4, and last the unique local addresses of IPv6.
#[test]
fn a_line_counts_by_what_a_resolver_makes_of_both_addresses() {
    let cases = [
        ("10.0.0.1", "fd00::10", false),
        ("10.0.0.1", "FD00::10", false),
        ("10.0.0.1", "2001:db8::9", true),
        ("2001:db8::1", "10.9.9.9", false),
        ("2001:db8::1", "127.0.1.1", false),
        ("2001:db8::1", "fd00::10", false),
        ("2001:db8::1", "2001:db8::9", true),
        ("2001:db8::1", "2001:db8::10", true),
        ("2001:db8::1", "::1", true),
        ("2001:db8::1", "fe80::9", true),
        ("2001:db8::1", "2001:db8:0::1", false),
        ("2001:db8::1", "2001:0DB8:0:0:0:0:0:0001", false),
        ("2001:DB8::1", "2001:db8::1", false),
        ("2001:db8::", "2001:db8:0:0:0:0:0:0", false),
        ("2001:db8:0:1::1", "2001:db8:1:0::1", true),
        ("fd00::1", "10.9.9.9", true),
        ("fd00::1", "127.0.1.1", true),
        ("fd00::1", "2001:db8::9", true),
        ("fd00::1", "fd00::10", true),
        ("fd00::1", "fd00:0::1", false),
    ];
    let name = "istiod.istio-system.svc";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("in")).unwrap();
        fs::write(stage.path("in/control-plane"), format!("{name}:15012")).unwrap();
        for (ours, theirs, is_bad) in cases {
            fs::write(stage.path("in/hosts"), format!("{ours} {name}")).unwrap();
            let found = checks(&stage, &format!("{theirs} {name}\n"), "");
            assert_eq!(
                !found.is_empty(),
                is_bad,
                "{shell}: {ours} {theirs}: {found}"
            );
        }
    }
}

/// Where no address is known, the machine's own name service decides: an old line leads to another mesh.
#[test]
fn a_line_that_leads_to_an_untrusted_control_plane_is_named() {
    let cases = [
        ("unable to get local issuer certificate", true),
        ("unable to get issuer certificate", true),
        ("self-signed certificate in certificate chain", true),
        ("self signed certificate", true),
        // Another root of the same name.
        ("certificate signature failure", true),
        // Whoever shows these may well be the mesh's own.
        ("certificate has expired", false),
        ("certificate is not yet valid", false),
    ];
    for shell in SHELLS {
        for (problem, is_bad) in cases {
            let said = format!("curl: (60) SSL certificate problem: {problem}");
            let stage = Stage::new(shell);
            fs::create_dir(stage.path("in")).unwrap();
            fs::write(stage.path("in/control-plane"), "mesh.example.com:15012").unwrap();
            fs::write(stage.path("in/tls-name"), "mesh.example.com").unwrap();
            fs::write(stage.path("in/root"), "").unwrap();
            let own = format!(
                "getent() {{ emit '10.9.9.9 STREAM mesh.example.com'; }}; curl() {{ emit '{said}'; }}"
            );
            let found = checks(&stage, "10.9.9.9 mesh.example.com\n", &own);
            let file = stage.path("hosts");
            let expected = format!(
                "check hosts bad mesh.example.com, which is 10.9.9.9 by line 1 of {}; {said}\n",
                file.display()
            );
            let expected = if is_bad { expected } else { String::new() };
            assert_eq!(found, expected, "{shell}: {said}");
        }
    }
}

/// The mesh's root says nothing of a certificate that the proxy holds against another one.
#[test]
fn a_line_is_not_judged_where_the_proxy_has_another_root() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("in")).unwrap();
        for (input, value) in [
            ("control-plane", "mesh.example.com:15012"),
            ("tls-name", "mesh.example.com"),
            ("root", ""),
            ("other-root", "yes"),
        ] {
            fs::write(stage.path("in").join(input), value).unwrap();
        }
        fs::write(stage.path("hosts"), "10.9.9.9 mesh.example.com\n").unwrap();
        let asked = "encode() { cat; }; can_connect() { :; }; id() { return 1; }; ip() { return 1; }
             getent() { emit '10.9.9.9 STREAM mesh.example.com'; }
             curl() { emit 'SSL certificate problem: unable to get local issuer certificate'; }; check_network";
        let printed = stage.part(asked);
        let file = stage.path("hosts");
        let expected = format!(
            "check hosts unknown mesh.example.com, which is 10.9.9.9 by line 1 of {}: whether that is the control plane is not known with XDS_ROOT_CA\n",
            file.display()
        );
        assert!(printed.contains(&expected), "{shell}: {printed}");
        assert!(!printed.contains(" bad "), "{shell}: {printed}");
    }
}
