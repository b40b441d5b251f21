//! The proxy's start: its user, and the report of a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;

use crate::stage::{SHELLS, Stage, script};

/// A machine on which the proxy's user is there, with a `setpriv` that only says what it is called with.
const INSTALLED: &str = "
    id() { case $1 in -u) emit 998 ;; -g) emit 997 ;; esac; }
    setpriv() { case $* in *' id -u') emit 65534 ;; *) emit \"setpriv $*\" ;; esac; }";

/// As of RHEL, whose sudoers may want a terminal and let root run commands as users only, not as groups.
const REFUSING: &str =
    "sudo() { echo 'sudo: sorry, you must have a tty to run sudo' >&2; return 1; }";

#[test]
fn a_check_runs_as_the_proxys_user_whatever_sudo_says() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let printed = stage.part(&format!(
            "{INSTALLED}\n{REFUSING}\nas_proxy getent ahosts b; as_proxy_group curl b"
        ));
        expect![[r"
            setpriv --reuid 998 --regid 997 --init-groups getent ahosts b
            setpriv --regid 997 --keep-groups curl b
        "]]
        .assert_eq(&printed);
        // busybox has a setpriv that changes no user.
        let printed = stage.part(&format!(
            "{INSTALLED}\nsetpriv() {{ return 1; }}; sudo() {{ emit \"sudo $*\"; }}; as_proxy getent ahosts b; as_proxy_group curl b"
        ));
        expect![[r"
            sudo -n -u istio-proxy getent ahosts b
            sudo -n -g istio-proxy curl b
        "]]
        .assert_eq(&printed);
    }
}

#[test]
fn a_check_that_cannot_be_made_is_not_bad() {
    let cases = [
        (
            "setpriv() { return 1; }; REFUSING",
            "control-plane",
            "no command runs as istio-proxy: sudo: sorry, you must have a tty to run sudo",
        ),
        (
            "have() { [ \"$1\" != getent ]; }",
            "dns",
            "b: there is no getent",
        ),
        (
            "getent() { emit 10.0.0.1; }; have() { case $1 in bash | nc) return 1 ;; esac; }",
            "control-plane",
            "b port 1: there is neither bash nor nc",
        ),
    ];
    for shell in SHELLS {
        for (own, name, why) in cases {
            let stage = Stage::new(shell);
            fs::create_dir(stage.path("in")).unwrap();
            fs::write(stage.path("in/control-plane"), "b:1").unwrap();
            let own = own.replace("REFUSING", REFUSING);
            let asked = format!(
                "encode() {{ cat; }}; {INSTALLED}\nsetpriv() {{ case $* in *' id -u') emit 65534 ;; *) shift 5; \"$@\" ;; esac; }}; can_connect() {{ :; }}
                 {own}\ncheck_network >\"$run_dir/checks\"; cat \"$run_dir/checks\"; journal_bad_checks hop; cat \"$run_dir/log\""
            );
            let printed = stage.part(&asked);
            assert!(
                printed.contains(&format!("check {name} unknown {why}\n")),
                "{shell}: {printed}"
            );
            assert!(
                !printed.contains(" bad ") && !printed.contains("hop "),
                "{shell}: {printed}"
            );
            assert!(
                printed.contains(&format!("\nunknown {name} ")),
                "{shell}: {printed}"
            );
        }
    }
}

/// To look up users and groups elsewhere, or the machine's own name, would need the proxy.
#[test]
fn the_stand_in_of_sudo_takes_users_and_groups_from_this_machine() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh")).unwrap();
        stage.part(&format!("{INSTALLED}\nplace_sudo"));
        let shim = stage.path("lib/mesh/bin/sudo");
        let text = fs::read_to_string(&shim).unwrap();
        assert_eq!(
            fs::metadata(&shim).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let accounts = stage.path("passwd");
        fs::write(
            &accounts,
            "root:x:0:0::/root:/bin/sh\nistio-proxy:x:998:997::/var/lib/istio:/bin/false\n",
        )
        .unwrap();
        let groups = stage.path("group");
        fs::write(&groups, "root:x:0:\nistio-proxy:x:997:\nssl-cert:x:105:a,istio-proxy\nadm:x:4:istio-proxy-2\nx:x:7:istio-proxy\n").unwrap();
        let text = text
            .replace("/etc/passwd", &accounts.display().to_string())
            .replace("/etc/group", &groups.display().to_string());
        fs::write(stage.path("shim"), text).unwrap();
        script(&stage.path("setpriv"), "echo \"$* at $HOME as $USER\"");
        script(&stage.path("id"), "echo \"looked up $*\"");
        let printed = stage.part(
            "PATH=$run_dir:$PATH; unset HOME
             stand_in() { (. \"$run_dir/shim\"); }
             stand_in -E -u istio-proxy -s /bin/bash -c 'exec it'
             stand_in -E -u root -s /bin/bash -c 'exec it'
             stand_in -u of-a-directory true",
        );
        expect![[r"
            --reuid 998 --regid 997 --groups 997,105,7 /bin/bash -c exec it at /var/lib/istio as istio-proxy
            --reuid 0 --regid 0 --groups 0 /bin/bash -c exec it at /root as root
            --reuid looked up -u of-a-directory --regid looked up -g of-a-directory --groups looked up -g of-a-directory true at  as of-a-directory
        "]]
        .assert_eq(&printed);
    }
}

#[test]
fn a_machine_without_setpriv_starts_the_proxy_by_a_sudo_that_keeps_the_environment() {
    for shell in SHELLS {
        for (keeps, outcome) in [
            ("true", "started\n"),
            (
                "false",
                "there is no setpriv of util-linux, and sudo -E does not keep the environment\n",
            ),
        ] {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh/bin")).unwrap();
            fs::write(stage.path("lib/mesh/bin/sudo"), "of before").unwrap();
            let printed = stage.part(&format!(
                "has_setpriv() {{ false; }}; sudo_works() {{ {keeps}; }}; place_sudo 2>&1 && emit started; true"
            ));
            assert_eq!(printed, outcome, "{shell}");
            assert!(!stage.path("lib/mesh/bin/sudo").exists(), "{shell}");
        }
    }
}

#[test]
fn the_proxys_last_words_are_its_complaints_and_never_its_configuration() {
    let log = "2026-11-22T23:00:00.1Z\tinfo\tstarting, errors: none
    SECRET_ERROR_KEY: canary-of-the-mesh
2026-11-22T23:00:01.1Z\twarn\tnot ready
2026-11-22T23:00:02.1Z\twarn\tnot ready
/usr/local/bin/envoy: libc.so.6: version `GLIBC_9' not found
";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("istio.err.log"), format!("old error\n{log}")).unwrap();
        fs::write(stage.path("istio.log"), "").unwrap();
        fs::write(stage.path("sizes"), "10\n0\n").unwrap();
        let printed = stage.part(
            "LOG_DIR=$run_dir; journalctl() { :; }; journal_lines() { cat; }; journal_last_words",
        );
        expect![[r"
            2026-11-22T23:00:01.1Z	warn	not ready
            /usr/local/bin/envoy: libc.so.6: version `GLIBC_9' not found
        "]]
        .assert_eq(&printed);
    }
}

/// Of a masked unit the journal has lines of earlier starts only.
#[test]
fn a_failed_start_is_reported_in_systemds_words_and_no_earlier_ones() {
    let journal = "journalctl() { case $* in
        *--show-cursor*) emit '-- cursor: s=1;i=2' ;;
        *'--after-cursor=s=1;i=2'*) [ ! -e \"$run_dir/fails\" ] || emit 'istio.service: Failed with result exit-code.' ;;
        *) emit 'istio.service: Failed long ago.' ;; esac; }";
    let masked = "Failed to restart istio.service: Unit istio.service is masked.\n";
    let cases = [
        (masked, false, masked.to_owned()),
        (
            "Job for istio.service failed.\nSee \"systemctl status istio.service\" for details.\n",
            true,
            "Job for istio.service failed.\nistio.service: Failed with result exit-code.\n".to_owned(),
        ),
        (
            "",
            false,
            "the log has no error; the unit istio is activating start-pre and its process is gone\n".to_owned(),
        ),
    ];
    for shell in SHELLS {
        for (error, fails, expected) in &cases {
            let stage = Stage::new(shell);
            fs::write(stage.path("err"), error).unwrap();
            if *fails {
                fs::write(stage.path("fails"), "").unwrap();
            }
            let printed = stage.part(&format!(
                "{journal}\nsystemctl() {{ case $3 in MainPID) emit MainPID=0 ;; *) printf '%s\\n' ActiveState=activating SubState=start-pre ;; esac; }}
                 journal_lines() {{ cat; }}; mkdir \"$LOG_DIR\"; mark_logs; journal_last_words"
            ));
            assert_eq!(printed, *expected, "{shell}");
        }
    }
}
