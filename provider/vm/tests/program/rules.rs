//! Packet filter rules: which count, which go, and whom they leave alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;

use crate::stage::{SHELLS, Stage};

/// Replaces a tool by one whose `-save` prints this text, and whose `-restore` keeps what it reads and fails with
/// the option `-w` if a file `old` is there.
pub(crate) fn stand_in(stage: &Stage, tool: &str, saved: &str) {
    fs::write(stage.path(&format!("{tool}-save.text")), saved).unwrap();
    let restore =
        "case \"$*\" in *-w*) [ ! -e \"${0%/*}/old\" ] || exit 1 ;; esac\ncat >\"$0.got\"\n";
    for (name, text) in [("save", "cat \"$0.text\"\n"), ("restore", restore)] {
        let path = stage.path(&format!("{tool}-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What iptables-save prints with Istio's chains, ours, and those of others.
const SAVED: &str = r#"# Generated
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:ISTIO_INBOUND - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_EDGE - [0:0]
:MESH_IN - [0:0]
:MESH_web - [0:0]
-A PREROUTING -j MESH_IN
-A PREROUTING -p tcp -m comment --comment "two  spaces, a \" and -j ISTIO_EDGE" -j ISTIO_INBOUND
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -m comment --comment "no -j ISTIO_INBOUND" -j ISTIO_EDGE
-A PREROUTING -g MESH_web
-A DOCKER -p tcp -g MESH_IN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -j ACCEPT
COMMIT
*mangle
:ISTIO_DIVERT - [0:0]
:MESH_IN - [0:0]
-A PREROUTING -j MESH_IN
-A ISTIO_DIVERT -j MARK --set-xmark 0x539/0xffffffff
COMMIT
"#;

/// Others may name their chains `MESH_web` and `ISTIO_EDGE`.
#[test]
fn a_sweep_takes_exactly_the_chains_of_a_list_and_the_jumps_to_them() {
    let cases = [
        (
            "\"$ISTIO_CHAINS\"",
            expect![[r#"
                *nat
                -D PREROUTING -p tcp -m comment --comment "two  spaces, a \" and -j ISTIO_EDGE" -j ISTIO_INBOUND
                -F ISTIO_INBOUND
                -F ISTIO_IN_REDIRECT
                -X ISTIO_INBOUND
                -X ISTIO_IN_REDIRECT
                COMMIT
                *mangle
                -F ISTIO_DIVERT
                -X ISTIO_DIVERT
                COMMIT
            "#]],
        ),
        (
            "\"$OUR_CHAINS\"",
            expect![[r"
                *nat
                -D PREROUTING -j MESH_IN
                -D DOCKER -p tcp -g MESH_IN
                -F MESH_IN
                -X MESH_IN
                COMMIT
                *mangle
                -D PREROUTING -j MESH_IN
                -F MESH_IN
                -X MESH_IN
                COMMIT
            "]],
        ),
        (
            "MESH_IN mangle",
            expect![[r"
                *mangle
                -D PREROUTING -j MESH_IN
                -F MESH_IN
                -X MESH_IN
                COMMIT
            "]],
        ),
    ];
    for shell in SHELLS {
        for (chains, expected) in &cases {
            let stage = Stage::new(shell);
            stand_in(&stage, "iptables-nft", SAVED);
            stage.part(&format!(
                "PATH=$run_dir:$PATH; iptables_tools() {{ emit iptables-nft; }}; sweep_chains {chains}"
            ));
            let got = fs::read_to_string(stage.path("iptables-nft-restore.got")).unwrap();
            expected.assert_eq(&got);
        }
    }
}

#[test]
fn a_tool_that_cannot_wait_for_the_lock_does_its_work_without() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        stand_in(&stage, "iptables-legacy", SAVED);
        fs::write(stage.path("old"), "").unwrap();
        stage.part("PATH=$run_dir:$PATH; iptables_tools() { emit iptables-legacy; }; sweep_chains \"$OUR_CHAINS\"");
        let got = fs::read_to_string(stage.path("iptables-legacy-restore.got")).unwrap();
        assert!(got.contains("-X MESH_IN"), "{shell}: {got}");
    }
}

/// As Istio's agent and the guard leave them.
const WHOLE: &str = "*nat
:PREROUTING ACCEPT [0:0]
:ISTIO_INBOUND - [0:0]
-A PREROUTING -j MESH_IN
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -j MESH_OUT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -j ISTIO_OUTPUT_DNS
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A MESH_IN -p tcp -m tcp --dport 22 -j ACCEPT
-A MESH_OUT -p tcp -m tcp --sport 22 -j ACCEPT
COMMIT
";

/// Returns them without the lines that begin so.
fn without(starts: &[&str]) -> String {
    let stays = |line: &&str| !starts.iter().any(|start| line.starts_with(start));
    let lines = WHOLE.lines().filter(stays);
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_jump_counts_if_it_leads_to_a_chain_with_rules() {
    const MESH_IN: &str = "nft/nat/PREROUTING/MESH_IN\n";
    const MESH_OUT: &str = "nft/nat/OUTPUT/MESH_OUT\n";
    const INBOUND: &str = "nft/nat/PREROUTING/ISTIO_INBOUND\n";
    const OUTBOUND: &str = "nft/nat/OUTPUT/ISTIO_OUTPUT\n";
    let cases = [
        (
            without(&[]),
            [OUTBOUND, MESH_OUT, INBOUND, MESH_IN].concat(),
        ),
        // `iptables -t nat -F`
        (without(&["-A"]), String::new()),
        // `iptables -t nat -F PREROUTING`
        (without(&["-A PREROUTING"]), [OUTBOUND, MESH_OUT].concat()),
        // `iptables -t nat -F ISTIO_OUTPUT`
        (
            without(&["-A ISTIO_OUTPUT"]),
            [MESH_OUT, INBOUND, MESH_IN].concat(),
        ),
        // `iptables -t nat -F ISTIO_IN_REDIRECT`
        (
            without(&["-A ISTIO_IN_REDIRECT"]).replace(
                "-A MESH_IN ",
                "-A ISTIO_OUTPUT -o lo -j ISTIO_IN_REDIRECT\n-A MESH_IN ",
            ),
            [OUTBOUND, MESH_OUT, MESH_IN].concat(),
        ),
        // Rules of others beside them
        (SAVED.to_owned(), INBOUND.to_owned()),
    ];
    for shell in SHELLS {
        for (saved, expected) in &cases {
            let stage = Stage::new(shell);
            stand_in(&stage, "iptables-nft", saved);
            let printed = stage
                .part("PATH=$run_dir:$PATH; iptables_tools() { emit iptables-nft; }; list_jumps");
            assert_eq!(&printed, expected, "{shell}: {saved}");
        }
    }
}

#[test]
fn a_jump_that_the_last_bootstrap_left_is_missed_in_its_family() {
    let flushed = without(&["-A"]);
    let cases = [
        (WHOLE, WHOLE, "2001:db8::7", "", true),
        (
            WHOLE,
            flushed.as_str(),
            "2001:db8::7",
            "6/nat/OUTPUT/ISTIO_OUTPUT\n6/nat/OUTPUT/MESH_OUT\n6/nat/PREROUTING/ISTIO_INBOUND\n6/nat/PREROUTING/MESH_IN\n",
            false,
        ),
        // Without an address nothing is of that family.
        (WHOLE, flushed.as_str(), "", "", true),
        (
            flushed.as_str(),
            WHOLE,
            "",
            "4/nat/OUTPUT/ISTIO_OUTPUT\n4/nat/OUTPUT/MESH_OUT\n4/nat/PREROUTING/ISTIO_INBOUND\n4/nat/PREROUTING/MESH_IN\n",
            false,
        ),
    ];
    for shell in SHELLS {
        for (four, six, address, lost, intact) in &cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh")).unwrap();
            for tool in ["iptables-legacy", "ip6tables-legacy"] {
                stand_in(&stage, tool, WHOLE);
            }
            let own = format!(
                "PATH=$run_dir:$PATH; iptables_tools() {{ emit iptables-$backend; emit ip6tables-$backend; }}; global_ipv6() {{ emit '{address}' | grep .; }}; "
            );
            stage.part(&format!(
                "{own}backend=legacy; jumps_by_family >\"$state_dir/jumps\""
            ));
            // An update may bring another backend.
            stand_in(&stage, "iptables-nft", four);
            stand_in(&stage, "ip6tables-nft", six);
            let now = format!("{own}backend=nft; ");
            let printed = stage.part(&format!("{now}list_lost_jumps | sort; true"));
            assert_eq!(printed, *lost, "{shell}: {address}");
            let printed = stage.part(&format!("{now}if is_intact; then emit intact; fi"));
            assert_eq!(printed == "intact\n", *intact, "{shell}: {address}, {lost}");
            // A bootstrap of an earlier version left no list.
            let printed = stage.part(&format!("{now}rm \"$state_dir/jumps\"; list_lost_jumps"));
            assert_eq!(printed, "", "{shell}");
        }
    }
}

/// What iptables-save prints where Docker runs beside the proxy: it makes its chain again when it starts, and appends the jump.
const BESIDE_DOCKER: &str = r#"*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:ISTIO_INBOUND - [0:0]
:MESH_IN - [0:0]
-A PREROUTING -j MESH_IN
-A PREROUTING -m addrtype --dst-type LOCAL -m comment --comment "-j ISTIO_INBOUND" -j DOCKER
-A PREROUTING -d 10.0.0.9/32 -p tcp -j DNAT --to-destination 10.0.0.8
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -j ISTIO_OUTPUT
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A MESH_IN -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"#;

#[test]
fn a_jump_of_others_that_changes_places_with_istios_is_missed() {
    let docker = BESIDE_DOCKER.lines().nth(6).unwrap();
    let first = BESIDE_DOCKER.replace(&format!("{docker}\n"), "");
    let inbound = "-A PREROUTING -p tcp -j ISTIO_INBOUND\n";
    let last = first.replace(inbound, &format!("{inbound}{docker}\n"));
    let docker_first = "4/nat/PREROUTING/DOCKER/ISTIO_INBOUND\n";
    let istio_first = "4/nat/PREROUTING/ISTIO_INBOUND/DOCKER\n";
    let cases = [
        (BESIDE_DOCKER, BESIDE_DOCKER, ""),
        (BESIDE_DOCKER, &last, docker_first),
        // A published port that the proxy served bypasses it.
        (&last, BESIDE_DOCKER, istio_first),
        // What came or went since has no place.
        (BESIDE_DOCKER, &first, ""),
        (&first, BESIDE_DOCKER, ""),
    ];
    for shell in SHELLS {
        for (was, is, lost) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh")).unwrap();
            let own = "PATH=$run_dir:$PATH; iptables_tools() { emit iptables-nft; }; global_ipv6() { :; }; ";
            stand_in(&stage, "iptables-nft", was);
            stage.part(&format!("{own}list_reference_jumps >\"$state_dir/jumps\""));
            stand_in(&stage, "iptables-nft", is);
            let printed = stage.part(&format!("{own}list_lost_jumps; true"));
            assert_eq!(printed, lost, "{shell}: {is}");
        }
    }
}

#[test]
fn the_guard_lets_no_connection_be_taken_in_its_middle_nor_any_of_sshds() {
    const OWN: &str = "sshd_ports() { emit 22; emit 2222; }; iptables_tools() { :; }; timeout() { shift; \"$@\"; }; sh() { emit \"$2\"; }
        id() { case $1 in -u) emit 998 ;; *) emit 997 ;; esac; }
        backend=-nft; install_guard; cat \"$state_dir/guard\"; drop_in";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh")).unwrap();
        let text = |own: &str| {
            let printed = stage.part(own);
            printed.replace(stage.root.path().to_str().unwrap(), "ROOT")
        };
        let printed = text(OWN);
        expect![[r#"
            { iptables-nft-restore -w --noflush <ROOT/lib/mesh/guard || iptables-nft-restore --noflush <ROOT/lib/mesh/guard; } && { iptables-nft -w -t mangle -C OUTPUT -j MESH_TRACK 2>/dev/null || iptables-nft -w -t mangle -I OUTPUT -j MESH_TRACK; } && { iptables-nft -w -t nat -C OUTPUT -j MESH_OUT 2>/dev/null || iptables-nft -w -t nat -I OUTPUT -j MESH_OUT; } && { iptables-nft -w -t nat -C PREROUTING -j MESH_IN 2>/dev/null || iptables-nft -w -t nat -I PREROUTING -j MESH_IN; }
        "#]]
        .assert_eq(&format!("{}\n", printed.lines().next().unwrap()));
        let rules: Vec<&str> = printed
            .lines()
            .filter(|line| line.starts_with("-A") || line.starts_with("Environment"))
            .collect();
        expect![[r#"
            [
                "-A MESH_TRACK -m conntrack --ctstate NEW",
                "-A MESH_IN -p tcp ! --syn -j ACCEPT",
                "-A MESH_OUT -p tcp ! --syn -j ACCEPT",
                "-A MESH_IN -p tcp --dport 22 -j ACCEPT",
                "-A MESH_OUT -p tcp --sport 22 -j ACCEPT",
                "-A MESH_IN -p tcp --dport 2222 -j ACCEPT",
                "-A MESH_OUT -p tcp --sport 2222 -j ACCEPT",
                "Environment=PROXY_UID=998 PROXY_GID=997",
                "Environment=FORCE_IPTABLES_BINARY=nft",
            ]
        "#]]
        .assert_debug_eq(&rules);
        // With tproxy Istio takes packets in table mangle, where its jump is behind ours, and those of others are ahead.
        fs::create_dir_all(stage.path("in")).unwrap();
        fs::write(stage.path("in/tproxy"), "yes").unwrap();
        let printed = text(OWN);
        let start = printed.lines().next().unwrap();
        assert!(
            start.contains("iptables-nft -w -t mangle -A PREROUTING -j MESH_IN"),
            "{start}"
        );
        let mangle = printed.split("COMMIT").next().unwrap();
        assert!(
            mangle.contains("\n-A MESH_IN -p tcp --dport 2222 -j ACCEPT\n"),
            "{mangle}"
        );
    }
}

/// What `ss` prints: sshd on port 22, and what systemd starts an sshd for at 2200; the session of process 21 and its
/// child 22 by port 22, with `ssh -R 8080`, `-R 5000` and `-L`; root's session 31 by 2200 with `ssh -R 9090`; a session 41
/// that came by port 2022, where nothing listens any more; an application at 5432, and another on port 5000 too.
const SOCKETS: &str = r#"LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=11,fd=3))
LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=11,fd=4))
LISTEN 0 128 *:2200 *:* users:(("systemd",pid=1,fd=60))
LISTEN 0 128 127.0.0.1:5432 0.0.0.0:* users:(("postgres",pid=99,fd=5))
LISTEN 0 128 10.0.0.5:5000 0.0.0.0:* users:(("app",pid=98,fd=5))
LISTEN 0 128 127.0.0.1:8080 0.0.0.0:* users:(("sshd",pid=22,fd=9))
LISTEN 0 128 127.0.0.1:5000 0.0.0.0:* users:(("sshd",pid=22,fd=10))
LISTEN 0 128 127.0.0.1:9090 0.0.0.0:* users:(("sshd-session",pid=31,fd=8))
ESTAB 0 0 10.0.0.5:22 10.0.0.1:50001 users:(("sshd",pid=22,fd=4),("sshd",pid=21,fd=4))
ESTAB 0 0 127.0.0.1:8080 127.0.0.1:50002 users:(("sshd",pid=22,fd=11))
ESTAB 0 0 127.0.0.1:5000 127.0.0.1:50003 users:(("sshd",pid=22,fd=12))
ESTAB 0 0 10.0.0.5:40000 10.0.0.7:5432 users:(("sshd",pid=22,fd=13))
ESTAB 0 0 127.0.0.1:5432 127.0.0.1:40002 users:(("postgres",pid=99,fd=6))
ESTAB 0 0 [::ffff:10.0.0.5]:2200 [::ffff:10.0.0.1]:50004 users:(("sshd-session",pid=31,fd=5))
ESTAB 0 0 127.0.0.1:9090 127.0.0.1:50005 users:(("sshd-session",pid=31,fd=10))
ESTAB 0 0 10.0.0.5:2022 10.0.0.1:50006 users:(("sshd",pid=42,fd=4),("sshd",pid=41,fd=4))
"#;

/// Process, its parent, its name, and what it calls itself.
const PROCESSES: [(u32, u32, &str, &str); 9] = [
    (1, 0, "systemd", "/sbin/init"),
    (
        11,
        1,
        "sshd",
        "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
    ),
    (21, 11, "sshd", "sshd: ubuntu [priv]"),
    (22, 21, "sshd", "sshd: ubuntu@pts/0"),
    (31, 1, "sshd-session", "sshd-session: root@notty"),
    (41, 1, "sshd", "sshd: ubuntu [priv]"),
    (42, 41, "sshd", "sshd: ubuntu@notty"),
    (43, 42, "sudo", "sudo -n /bin/sh"),
    (44, 43, "sh", "/bin/sh"),
];

#[test]
fn ports_of_sshd_are_those_that_sessions_come_by_and_not_those_that_they_forward() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("sockets.text"), SOCKETS).unwrap();
        for (process, parent, name, words) in PROCESSES {
            let folder = stage.path(&format!("proc/{process}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(
                folder.join("status"),
                format!("Name:\t{name}\nPPid:\t{parent}\n"),
            )
            .unwrap();
            fs::write(folder.join("comm"), format!("{name}\n")).unwrap();
            fs::write(folder.join("cmdline"), words.replace(' ', "\0")).unwrap();
        }
        let own = "PROC_DIR=$run_dir/proc; ss() { cat \"$run_dir/sockets.text\"; }; sshd() { :; }; sshd_ports";
        assert_eq!(stage.part(own), "22\n2200\n", "{shell}");
        // The session that follows this run came by port 2022.
        fs::write(stage.path("follower"), "44\n").unwrap();
        assert_eq!(stage.part(own), "22\n2022\n2200\n", "{shell}");
    }
}

/// What iptables-save prints of table nat, with ports that Docker and Podman publish, on the loopback interface too.
const PUBLISHED: &str = r#"*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.3:80
-A NETAVARK-DN-1D8721804F16F -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.88.0.2:443
-A MESH_web -p tcp -m tcp --dport 8443 -m comment --comment "-j ACCEPT" -j DNAT --to-destination 10.88.0.3:443
-A MESH_IN -p tcp -m tcp --dport 22 -j ACCEPT
-A ISTIO_OUTPUT -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.1:15053
COMMIT
"#;

#[test]
fn ports_that_are_forwarded_before_the_proxy_are_found() {
    for shell in SHELLS {
        for (redirect, found) in [("yes", "443 8080 8443 "), ("no", "")] {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::write(stage.path("in/redirect"), redirect).unwrap();
            stand_in(&stage, "iptables-nft", PUBLISHED);
            let asked = "PATH=$run_dir:$PATH; iptables_tools() { emit iptables-nft; emit ip6tables-nft; }; published_ports";
            assert_eq!(stage.part(asked), found, "{shell}");
        }
    }
}
