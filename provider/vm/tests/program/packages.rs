//! The package manager: busy, refusing, and what a failed upgrade leaves.

use std::fs;

use vm::program::{self, Report, RunId};

use crate::stage::{SHELLS, Stage, bundle, owner, patience, script};

/// What dpkg says while another one works.
const LOCKED: &str = "dpkg: error: dpkg frontend lock was locked by another process with pid 7";

/// A package manager that refuses until a file lets it.
const REFUSING: &str = "is_registered() { [ ! -e \"$state_dir/../gone\" ]; }
PACKAGE_LOCK_WAIT=0
dpkg() { [ -e \"$state_dir/../gone\" ] || { emit 'dpkg: error: dpkg frontend lock was locked by another process with pid 7' >&2; return 2; }; }
";

#[test]
fn a_package_that_cannot_be_removed_is_reported_and_removed_by_the_next_run() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let begin = program::bootstrap(
            &bundle(vec![]),
            RunId::generate(),
            patience(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        let installs = "STEPS='keep place alpha'; do_alpha() { : >\"$state_dir/installed\"; : >\"$state_dir/found/user\"; }";
        stage.call(begin, installs).report();
        let remove = || {
            let ours = owner("uid-1", "bookinfo/ratings");
            let payload = program::remove(&ours, RunId::generate(), patience());
            stage.call(payload, REFUSING).report()
        };
        let Report::Reverted { step, lines, .. } = remove() else {
            panic!("{shell}: not reported")
        };
        assert_eq!(step, "uninstall", "{shell}");
        assert_eq!(
            lines,
            ["the package could not be removed", LOCKED],
            "{shell}"
        );
        assert!(stage.path("lib/mesh/owner").exists(), "{shell}");
        fs::write(stage.path("lib/gone"), "").unwrap();
        assert_eq!(remove(), Report::Removed { left: vec![] }, "{shell}");
        assert!(!stage.path("lib/mesh").exists(), "{shell}");
    }
}

#[test]
fn a_lock_that_is_held_too_long_is_reported_in_the_package_managers_words() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
        fs::write(stage.path("lib/mesh/run/package"), "").unwrap();
        let printed = stage.part(&format!(
            "{REFUSING}\ninstall_package 2>&1 && emit installed; true"
        ));
        assert_eq!(printed.trim(), LOCKED, "{shell}");
    }
}

/// The package manager's books stay as the new package made them: that is said, and the next
/// bootstrap puts them right.
#[test]
fn a_failed_upgrade_brings_back_every_file_and_asks_for_the_package_again() {
    let files = ["bin/envoy", "bin/pilot-agent", "bin/istio-start.sh", "unit"];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh/run/keep")).unwrap();
        fs::create_dir_all(stage.path("bin")).unwrap();
        fs::create_dir_all(stage.path("in")).unwrap();
        for name in files {
            fs::write(stage.path(name), "old").unwrap();
        }
        fs::write(stage.path("lib/mesh/package"), "sha-old\n").unwrap();
        fs::write(stage.path("lib/mesh/run/package"), "").unwrap();
        fs::write(stage.path("in/sha256"), "sha-new").unwrap();
        let upgrade = "package_version() { emit 2.0; }
            systemctl() { [ \"$1\" != show ] || emit \"FragmentPath=$run_dir/unit\"; }
            fix_owners() { :; }
            dpkg() { for f in bin/envoy bin/pilot-agent bin/istio-start.sh unit; do emit new >\"$run_dir/$f\"; done; }
            do_install && grep -qx new \"$run_dir/unit\" && is_wanted_installed && emit upgraded; undo_install
            printf sha-old >\"$run_dir/in/sha256\"; is_wanted_installed || emit again";
        assert_eq!(stage.part(upgrade), "upgraded\nagain\n", "{shell}");
        for name in files {
            let content = fs::read_to_string(stage.path(name)).unwrap();
            assert_eq!(content, "old", "{shell}: {name}");
        }
        let log = fs::read_to_string(stage.path("log")).unwrap_or_default();
        assert!(log.starts_with("line "), "{shell}: {log}");
    }
}

#[test]
fn a_package_that_somebody_else_installed_or_removed_is_installed_again() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh")).unwrap();
        fs::create_dir_all(stage.path("in")).unwrap();
        fs::write(stage.path("lib/mesh/package"), "sha 1.31.0\n").unwrap();
        fs::write(stage.path("in/sha256"), "sha").unwrap();
        for (installed, stays) in [("1.31.0", "stays\n"), ("1.30.2", ""), ("", "")] {
            let asked = format!(
                "package_version() {{ printf '{installed}'; }}; is_wanted_installed && emit stays; true"
            );
            assert_eq!(stage.part(&asked), stays, "{shell}: {installed:?}");
        }
    }
}

/// As the unit of a package that does not start: it must not block the undo.
#[test]
fn a_unit_that_cannot_be_stopped_is_halted_where_nothing_of_it_runs() {
    let cases = [
        ("inactive", "halted\n"),
        ("failed", "halted\n"),
        ("active", ""),
        ("deactivating", ""),
        ("", ""),
    ];
    for shell in SHELLS {
        for (state, halted) in cases {
            let stage = Stage::new(shell);
            let asked = format!(
                "has_unit() {{ :; }}; sweep_chains() {{ :; }}; remove_tproxy_routes() {{ :; }}
                 systemctl() {{ [ \"$1\" = is-active ] && emit '{state}'; return 1; }}; stop_proxy && emit halted; true"
            );
            assert_eq!(stage.part(&asked), halted, "{shell}: {state}");
        }
    }
}

/// The address may hold a password, and everybody on the VM may read arguments.
#[test]
fn the_packages_address_is_in_no_argument() {
    let url = "https://user:se\"cr\\et@packages.example/istio.deb";
    let cases = [
        (
            "curl",
            "url = \"https://user:se\\\"cr\\\\et@packages.example/istio.deb\"\n",
        ),
        (
            "wget",
            "https://user:se\"cr\\et@packages.example/istio.deb\n",
        ),
    ];
    for shell in SHELLS {
        for (tool, stdin) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
            fs::write(stage.path("in/url"), url).unwrap();
            stage.part(&format!(
                "have() {{ [ \"$1\" = {tool} ]; }}
                 {tool}() {{ emit \"$*\" >\"$run_dir/args\"; cat >\"$run_dir/stdin\"; return 3; }}
                 timeout() {{ shift; \"$@\"; }}
                 do_stage 2>\"$run_dir/err\" && exit 1; true"
            ));
            let args = fs::read_to_string(stage.path("args")).unwrap();
            assert!(!args.contains("packages.example"), "{shell}: {args}");
            let given = fs::read_to_string(stage.path("stdin")).unwrap();
            assert_eq!(given, stdin, "{shell}");
        }
    }
}

/// A server that accepts and sends nothing is tried once: more tries would use up the caller's time.
#[test]
fn a_download_that_does_not_arrive_is_given_up_with_all_its_tries() {
    for shell in SHELLS {
        for tool in ["curl", "wget"] {
            let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::write(stage.path("in/wait.fetch"), "1").unwrap();
            let printed = stage.part(&format!(
                "have() {{ [ \"$1\" = {tool} ]; }}; fetch 'http://{}/' \"$run_dir/package\" 2>&1; true",
                silent.local_addr().unwrap()
            ));
            let expected = "the package did not arrive within 1 seconds";
            assert!(printed.contains(expected), "{shell}, {tool}: {printed}");
            silent.set_nonblocking(true).unwrap();
            let asked = silent.incoming().take_while(Result::is_ok).count();
            assert_eq!(asked, 1, "{shell}, {tool}");
        }
    }
}

#[test]
fn busyboxs_wget_is_not_taken_for_one_that_hides_addresses() {
    let fetcher = |shell: &'static str, wget: &str| {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("in")).unwrap();
        fs::write(stage.path("in/url"), "https://packages.example/istio.deb").unwrap();
        stage.part(&format!(
            "have() {{ [ \"$1\" != curl ]; }}; wget() {{ {wget}; }}; can_fetch && emit fetches; true"
        ))
    };
    for shell in SHELLS {
        assert_eq!(
            fetcher(shell, "emit 'GNU Wget 1.21'"),
            "fetches\n",
            "{shell}"
        );
        assert_eq!(fetcher(shell, "busybox wget \"$@\""), "", "{shell}");
    }
}

/// The package of a release is for a machine that has none, or not the configured version.
#[test]
fn a_release_is_fetched_where_its_package_is_missing_or_another() {
    let cases = [
        ("", None, true),
        ("1.31.0", None, false),
        ("1.31.0", Some("1.31.0"), false),
        ("1.31.0rc.1", Some("1.31.0-rc.1"), false),
        ("1.30.2", Some("1.31.0"), true),
        ("", Some("1.31.0"), true),
    ];
    for shell in SHELLS {
        for (installed, version, lacks) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::write(stage.path("in/release"), "https://example.com/1.31.0").unwrap();
            if let Some(version) = version {
                fs::write(stage.path("in/version"), version).unwrap();
            }
            let asked = format!(
                "package_version() {{ printf '{installed}'; }}; needs_package && emit lacks; true"
            );
            let expected = if lacks { "lacks\n" } else { "" };
            assert_eq!(
                stage.part(&asked),
                expected,
                "{shell}: {installed} {version:?}"
            );
        }
    }
}

#[test]
fn a_release_has_a_package_for_each_kind_of_machine_and_its_digest_beside_it() {
    let cases = [
        ("x86_64", true, "deb/istio-sidecar.deb"),
        ("aarch64", true, "deb/istio-sidecar-arm64.deb"),
        ("x86_64", false, "rpm/istio-sidecar.rpm"),
        ("arm64", false, "rpm/istio-sidecar-arm64.rpm"),
    ];
    let digest = "03ba204e50d126e4674c005e04d82e84c21366780af1f43bd54a37816b6ab340";
    for shell in SHELLS {
        for (machine, debian, path) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
            fs::write(stage.path("in/release"), "https://example.com/1.31.0").unwrap();
            let staged = format!(
                "have() {{ [ \"$1\" != dpkg ] || {debian}; }}; uname() {{ emit {machine}; }}; package_version() {{ :; }}
                 fetch() {{ case $1 in
                   https://example.com/1.31.0/{path}.sha256) emit '{digest}  istio-sidecar' >\"$2\" ;;
                   https://example.com/1.31.0/{path}) emit package >\"$2\" ;;
                   *) return 1 ;; esac; }}
                 package_fits() {{ :; }}
                 digest_of() {{ cp \"$1\" \"$run_dir/whole\"; cat \"$run_dir/of\"; }}
                 emit {digest} >\"$run_dir/of\"; do_stage 2>&1 && cat \"$run_dir/whole\"
                 rm \"$run_dir/in/url\"; emit other >\"$run_dir/of\"; do_stage 2>&1; true"
            );
            let refused = format!("the package has SHA-256 other, not {digest}\n");
            assert_eq!(
                stage.part(&staged),
                format!("package\n{refused}"),
                "{shell}: {path}"
            );
        }
    }
}

#[test]
fn the_digest_of_a_package_needs_no_openssl() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("package"), "abc").unwrap();
        for own in ["", "openssl() { return 1; }; "] {
            let printed = stage.part(&format!("{own}digest_of \"$run_dir/package\""));
            assert_eq!(printed.trim(), digest, "{shell}: {own}");
        }
    }
}

/// Before anything stops: what it cannot run on is no reason to interrupt what runs.
#[test]
fn a_package_that_the_machine_cannot_install_is_reported_when_it_is_fetched() {
    let cases = [
        ("true", "2.36", "2.34", "fits\n"),
        (
            "emit 'package architecture (arm64) does not match system (amd64)'; false",
            "2.36",
            "2.34",
            "package architecture (arm64) does not match system (amd64)\n",
        ),
        // What holds the lock may be gone when it is installed.
        (
            "emit 'dpkg frontend lock was locked by another process'; false",
            "2.36",
            "2.34",
            "fits\n",
        ),
        (
            "true",
            "2.28",
            "2.34",
            "the package needs glibc 2.34, and the VM has 2.28\n",
        ),
        ("true", "2.28", "2.9", "fits\n"),
    ];
    for shell in SHELLS {
        for debian in [true, false] {
            for (answer, is, wants, expected) in cases {
                let stage = Stage::new(shell);
                fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
                let asked = format!(
                    "have() {{ [ \"$1\" != dpkg ] || {debian}; }}; dpkg() {{ {answer}; }}; rpm() {{ {answer}; }}
                     PATH=$run_dir:$PATH; rpm2cpio() {{ dpkg-deb; }}
                     getconf() {{ emit 'glibc {is}'; }}
                     package_fits 2>&1 && emit fits; true"
                );
                let own = stage.path("dpkg-deb");
                let symbols = format!(
                    "[ \"$1\" = -f ] || printf 'envoy\\000GLIBC_2.2.5\\000GLIBC_{wants}\\000'"
                );
                script(&own, &symbols);
                assert_eq!(stage.part(&asked), expected, "{shell}: {debian} {answer}");
            }
        }
    }
}

/// What is installed in `dependencies_of_the_package_are_checked_before_anything_stops`: status, name, version, provided.
const INSTALLED: &str = "installed\\tiproute2\\t6.1.0-3\\tarping\\n\
     installed\\tlibc6\\t2.36-9\\t\\n\
     triggers-pending\\tsudo-rs\\t0.2.0\\tsudo (= 1.9.13), su-exec\\n\
     config-files\\tiptables\\t1.8.9\\t\\n\
     unpacked\\thostname\\t3.23\\t\\n";

/// `dpkg --no-act` ignores `Depends`, so the proxy would stop for a package that cannot be configured.
#[test]
fn dependencies_of_the_package_are_checked_before_anything_stops() {
    let cases = [
        ("", "", ""),
        ("iproute2, libc6", "dpkg-less | libc6 (>= 2.34)", ""),
        ("iproute2", "sudo", ""),
        ("sudo (>= 1.9), su-exec:any", "libc6:any (>=2.34)", ""),
        ("iptables", "", "iptables|iptables"),
        ("hostname", "", "hostname|hostname"),
        (
            "iproute2,\n iptables (>= 1.8) | nftables",
            "",
            "iptables (>= 1.8) | nftables|iptables",
        ),
        ("libc6 (>= 2.38), sudo", "", "libc6 (>= 2.38)|libc6"),
        // What is provided without a version fits no required version.
        (
            "su-exec (>= 0.1), nothing",
            "sudo (<< 1.9)",
            "sudo (<< 1.9), su-exec (>= 0.1), nothing|sudo su-exec nothing",
        ),
    ];
    for shell in SHELLS {
        for (depends, pre_depends, missing) in cases {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
            script(
                &stage.path("dpkg-deb"),
                &format!(
                    "[ \"$1\" = -f ] || exit 0; case $3 in Depends) printf '{depends}' ;; *) printf '{pre_depends}' ;; esac"
                ),
            );
            script(&stage.path("dpkg-query"), &format!("printf '{INSTALLED}'"));
            let versions = "[ \"$1\" = --compare-versions ] || exit 0
                least=$(printf '%s\\n' \"$2\" \"$4\" | sort -V | head -n 1)
                case $3 in '>=') [ \"$least\" = \"$4\" ] ;; '<<') [ \"$least\" = \"$2\" ] && [ \"$2\" != \"$4\" ] ;; esac";
            script(&stage.path("dpkg"), versions);
            let printed = stage.part("PATH=$run_dir:$PATH; package_fits 2>&1 && emit fits; true");
            let expected = missing.rsplit_once('|').map_or("fits\n".to_owned(), |(unmet, names)| {
                format!(
                    "the package depends on what the VM does not have: {unmet}. Install it first, e.g. by apt-get install {names}\n"
                )
            });
            assert_eq!(printed, expected, "{shell}: {depends:?}, {pre_depends:?}");
        }
    }
}
