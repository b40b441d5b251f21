//! Single parts of the program, each under three shells.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use vm::program::{self, RunId};

use crate::stage::{SHELLS, Stage};

#[test]
fn shellcheck_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("mesh-vm.sh");
    fs::write(&program, program::TEXT).unwrap();
    let install = folder.path().join("install.sh");
    fs::write(&install, crate::packing::of_archive("install.sh")).unwrap();
    let output = Command::new("shellcheck")
        .args(["-s", "sh", "proxy.sh", "sudo.sh", "token.sh"])
        .args([&program, &install])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/program/carried"))
        .output();
    let output = output
        .unwrap_or_else(|err| panic!("install shellcheck (apt-get install shellcheck): {err}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn the_remote_command_is_free_of_what_login_shells_disagree_on() {
    let commit = program::commit(RunId::generate());
    let commands = [program::Privilege::Root, program::Privilege::Sudo].map(|privilege| {
        let at_hand = program::command_at_hand(privilege, &commit).unwrap();
        [program::command(privilege), at_hand]
    });
    for command in commands.as_flattened() {
        let (before, rest) = command.split_once('\'').unwrap();
        assert_eq!(rest.matches('\'').count(), 1, "{command}");
        assert!(
            !before.contains(['$', '"', '\\', '!']) && !rest.contains(['!', '\\']),
            "{command}"
        );
    }
}

/// What iptables-save prints where outbound traffic is led to the proxy.
const REDIRECTED: &str = "*nat
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
";

#[test]
fn a_global_ipv6_address_whose_traffic_no_rule_intercepts_is_told() {
    let address = "2: eth0    inet6 2001:db8::7/64 scope global";
    let cases = [
        ("yes", "iptables-nft", address, "2001:db8::7"),
        ("yes", "ip6tables-nft", address, ""),
        ("yes", "iptables-nft", "", ""),
        ("", "", address, ""),
    ];
    for shell in SHELLS {
        for (redirect, ruled, address, expected) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::write(stage.path("in/redirect"), redirect).unwrap();
            for tool in ["iptables-nft", "ip6tables-nft"] {
                let rules = if tool == ruled { REDIRECTED } else { "" };
                crate::rules::stand_in(&stage, tool, rules);
            }
            let own =
                "PATH=$run_dir:$PATH; iptables_tools() { emit iptables-nft; emit ip6tables-nft; }";
            let printed = stage.part(&format!(
                "{own}; ip() {{ emit '{address}'; }}; ipv6_bypass; true"
            ));
            assert_eq!(printed.trim(), expected, "{shell}: {redirect:?}, {ruled:?}");
        }
    }
}

/// Where the image configures it, cloud-init rewrites the file at each boot.
#[test]
fn the_unit_brings_back_a_hosts_line_that_is_gone_and_no_other() {
    const BLOCK: &str = "# BEGIN mesh-vm\n10.0.0.1 istiod.istio-system.svc\n# END mesh-vm\n";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let brings_back = "backend=; emit '10.0.0.1 istiod.istio-system.svc' >\"$run_dir/block\"; drop_in | sed -n '/BEGIN mesh-vm/s/^ExecStartPre=-+//p' >\"$run_dir/back\"; . \"$run_dir/back\"; . \"$run_dir/back\"; cat \"$HOSTS_FILE\"";
        let edited = "127.0.0.1 localhost\n# BEGIN mesh-vm\n10.0.0.2 other\n# END mesh-vm\n";
        for (is, will_be) in [
            (
                "127.0.0.1 localhost\n",
                format!("{BLOCK}127.0.0.1 localhost\n"),
            ),
            (edited, edited.to_owned()),
        ] {
            fs::write(stage.path("hosts"), is).unwrap();
            assert_eq!(stage.part(brings_back), will_be, "{shell}");
            // A link stays one.
            fs::write(stage.path("hosts.link"), is).unwrap();
            fs::remove_file(stage.path("hosts")).unwrap();
            std::os::unix::fs::symlink("hosts.link", stage.path("hosts")).unwrap();
            assert_eq!(stage.part(brings_back), will_be, "{shell}");
            assert!(stage.path("hosts").is_symlink(), "{shell}");
            assert!(!stage.path("hosts.mesh").exists(), "{shell}");
            fs::remove_file(stage.path("hosts")).unwrap();
        }
    }
}

#[test]
fn the_proxys_last_lines_name_the_broken_hop() {
    let cases = [
        ("lookup istiod on 10.0.0.2:53: no such host", "dns"),
        (
            "dial tcp 10.0.0.1:15012: connect: connection refused",
            "control-plane",
        ),
        (
            "lds: cannot bind '127.0.0.1:443': Permission denied",
            "ports",
        ),
        (
            "tls: failed to verify certificate: x509: certificate is valid for a, not b",
            "tls-name",
        ),
        (
            "x509: certificate signed by unknown authority",
            "trust-root",
        ),
        (
            "x509: certificate has expired or is not yet valid: current time",
            "clock",
        ),
        (
            "code = Unauthenticated desc = request authenticate failure",
            "token",
        ),
        (
            "code = PermissionDenied desc = service account x not allowed",
            "service-account",
        ),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (line, hop) in cases {
            fs::write(
                stage.path("tail"),
                format!("info starting\nerror {line}\ninfo retrying\n"),
            )
            .unwrap();
            fs::write(stage.path("log"), "").unwrap();
            stage.part("journal_hop_of_log");
            assert_eq!(
                fs::read_to_string(stage.path("log")).unwrap(),
                format!("hop {hop}\n"),
                "{shell}: {line}"
            );
        }
    }
}

/// What curl prints with either of two TLS libraries. The proxy reports what is not about the name.
#[test]
fn a_certificate_with_another_name_differs_from_other_tls_errors() {
    let cases = [
        (
            "(60) SSL: no alternative certificate subject name matches target host name 'b'",
            "bad",
        ),
        (
            "(60) SSL: certificate subject name (a) does not match target hostname 'b'",
            "bad",
        ),
        (
            "(60) SSL certificate problem: unable to get local issuer certificate",
            "ok",
        ),
        ("(28) Connection timed out after 5000 milliseconds", "ok"),
        ("", "ok"),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("in")).unwrap();
        fs::write(stage.path("in/now"), "0").unwrap();
        fs::write(stage.path("in/control-plane"), "127.0.0.1:1").unwrap();
        fs::write(stage.path("in/hosts"), "::1 istiod").unwrap();
        fs::write(stage.path("in/tls-name"), "b").unwrap();
        fs::write(stage.path("in/root"), "root").unwrap();
        for (line, verdict) in cases {
            fs::write(stage.path("line"), line).unwrap();
            let printed = stage.part(
                "as_proxy_group() { \"$@\"; }; curl() { emit \"$*\" >\"$run_dir/args\"; cat \"$run_dir/line\" >&2; }; run_checks 2>/dev/null",
            );
            let expected = format!("check tls-name {verdict} ");
            assert!(printed.contains(&expected), "{shell}: {line}: {printed}");
            let asked = fs::read_to_string(stage.path("args")).unwrap();
            assert!(
                asked.contains("--connect-to ::[::1]:1 https://b:1/"),
                "{shell}: {asked}"
            );
        }
        fs::remove_file(stage.path("in/root")).unwrap();
        let printed = stage.part("run_checks 2>/dev/null");
        assert!(!printed.contains("check tls-name"), "{shell}: {printed}");
    }
}

#[test]
fn a_clock_is_bad_when_it_is_wrong() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("in")).unwrap();
        fs::write(stage.path("in/control-plane"), "127.0.0.1:1").unwrap();
        for (now, verdict) in [("1000", "bad"), ("$(date +%s)", "ok")] {
            let printed = stage.part(&format!(
                "printf %s \"{now}\" >\"$run_dir/in/now\"; run_checks 2>/dev/null"
            ));
            assert!(
                printed.contains(&format!("check clock {verdict} ")),
                "{shell}: {printed}"
            );
        }
    }
}

/// The VM's address is the source of its route to the control plane, however that is given.
#[test]
fn a_vm_finds_its_address_by_its_route_to_the_control_plane() {
    let commands = "ip() {
          case $4 in 10.0.0.2) f=10.0.0.9 ;; 10.1.0.2) f=10.1.0.9 ;; 2001:db8:5::1) f=2001:db8:5::9 ;;
          192.0.2.1) f=192.168.0.9 ;; *) return 2 ;; esac
          emit \"$4 dev eth0 src $f uid 0\"
        }
        getent() {
          case $2 in istiod.example) emit '10.1.0.2 STREAM istiod.example' ;; 2001:*) emit \"$2 STREAM\" ;; *) return 2 ;; esac
        }";
    let cases = [
        ("10.0.0.2 istiod", "istiod.example:15012", "10.0.0.9\n"),
        ("", "istiod.example:15012", "10.1.0.9\n"),
        ("", "[2001:db8:5::1]:15012", "2001:db8:5::9\n"),
        ("", "unheard.example:15012", "192.168.0.9\n"),
    ];
    for shell in SHELLS {
        for (hosts, control_plane, address) in cases {
            let stage = Stage::new(shell);
            fs::create_dir(stage.path("in")).unwrap();
            fs::write(stage.path("in/hosts"), hosts).unwrap();
            fs::write(stage.path("in/control-plane"), control_plane).unwrap();
            let found = stage.part(&format!("{commands}\noutward_address"));
            assert_eq!(found, address, "{shell}: {control_plane}");
        }
    }
}

#[test]
fn files_of_the_unit_that_are_changed_gone_or_new_are_reported() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for folder in ["drop", "units", "lib/mesh"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        for name in [
            "drop/mesh.conf",
            "drop/a user's.conf",
            "units/istio.service",
            "lib/mesh/proxy",
        ] {
            fs::write(stage.path(name), name).unwrap();
        }
        assert_eq!(
            stage.part("list_sums >\"$state_dir/sums\"; changed_files"),
            "",
            "{shell}"
        );
        fs::write(stage.path("drop/a user's.conf"), "changed").unwrap();
        fs::remove_file(stage.path("units/istio.service")).unwrap();
        fs::write(stage.path("drop/new.conf"), "new").unwrap();
        let root = stage.root.path().display();
        let expected = ["drop/a user's.conf", "drop/new.conf", "units/istio.service"]
            .map(|name| format!("{root}/{name}\n"));
        assert_eq!(
            stage.part("changed_files | sort -u"),
            expected.concat(),
            "{shell}"
        );
    }
}

/// A manual upgrade of the package gives directories that root reads to the proxy's user.
#[test]
fn a_changed_owner_or_mode_is_reported() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for folder in ["lib/mesh", "lib/envoy", "lib/config", "bin", "in"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        let set = |name: &str, mode| {
            fs::set_permissions(stage.path(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let (settings, placed) = ("lib/envoy/sidecar.env", "lib/envoy/cluster.env");
        for name in [settings, placed, "bin/envoy", "bin/pilot-agent"] {
            fs::write(stage.path(name), "").unwrap();
        }
        // Its mode is compared with the wanted one.
        let listed = stage.path(placed).display().to_string();
        fs::write(stage.path("lib/mesh/files"), listed).unwrap();
        let looked = |own: &str| {
            let printed = stage.part(&format!("{own} changed_modes"));
            printed.replace(&stage.root.path().display().to_string(), "")
        };
        for tproxy in [false, true] {
            for name in ["lib/config", "bin/envoy", "bin/pilot-agent"] {
                set(name, 0o755);
            }
            fs::write(stage.path(settings), "").unwrap();
            set(settings, 0o644);
            if tproxy {
                fs::write(stage.path("in/tproxy"), "yes").unwrap();
            }
            assert_eq!(looked("list_modes >\"$state_dir/modes\";"), "", "{shell}");
            for name in ["lib/config", placed, "bin/envoy"] {
                set(name, 0o777);
            }
            let printed = looked("");
            assert_eq!(
                printed.lines().count(),
                1 + usize::from(tproxy),
                "{printed}"
            );
            assert!(printed.starts_with("/lib/config ("), "{shell}: {printed}");
            assert!(printed.contains(" 777, was "), "{shell}: {printed}");
            assert_eq!(
                printed.contains("/bin/envoy ("),
                tproxy,
                "{shell}: {printed}"
            );
            set("lib/config", 0o755);
            set("bin/envoy", 0o755);
            // Another check reports missing files.
            fs::remove_file(stage.path(settings)).unwrap();
            assert_eq!(looked(""), "", "{shell}");
        }
    }
}

/// The caller lists these ports: any other one may be in use.
#[test]
fn a_port_of_the_proxys_that_somebody_has_is_found() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("in")).unwrap();
        fs::write(stage.path("in/control-plane"), "127.0.0.1:1").unwrap();
        fs::write(stage.path("in/now"), "0").unwrap();
        fs::write(stage.path("in/ports"), "15001\n15006\n").unwrap();
        for (port, verdict) in [("15006", "bad"), ("1500", "ok"), ("15021", "ok")] {
            let printed = stage.part(&format!(
                "ss() {{ emit 'LISTEN 0 128 0.0.0.0:{port} 0.0.0.0:*'; }}; is_running() {{ false; }}; run_checks 2>/dev/null"
            ));
            assert!(
                printed.contains(&format!("check ports {verdict} ")),
                "{shell}: {port}: {printed}"
            );
        }
    }
}
