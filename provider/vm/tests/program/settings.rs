//! What is at `/etc/istio`, where the package makes a link: a directory of somebody's, or what the proxy cannot use.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use jiff::Timestamp;
use vm::program::{self, Report, RunId};

use crate::draining::BOOTSTRAP;
use crate::stage::{SHELLS, Stage, bundle, file, owner, patience};

/// Makes what is there.
type Make = fn(&Stage);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// As cloud-init makes it with its umask, before the package is there.
fn make(stage: &Stage) {
    for folder in ["etc-istio", "etc-istio/config"] {
        fs::create_dir(stage.path(folder)).unwrap();
        fs::set_permissions(stage.path(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(stage.path("etc-istio/theirs"), "theirs").unwrap();
}

fn is_as_made(stage: &Stage) {
    let shell = stage.shell;
    for folder in ["etc-istio", "etc-istio/config"] {
        assert_eq!(mode(&stage.path(folder)), 0o700, "{shell}: {folder}");
    }
    assert!(stage.path("etc-istio/theirs").exists(), "{shell}");
    // The last one is the package's.
    for ours in [
        "etc-istio/proxy",
        "etc-istio/config/mesh",
        "lib/config/mesh",
    ] {
        assert!(!stage.path(ours).exists(), "{shell}: {ours}");
    }
}

/// Bootstraps; the last step is `own`.
fn bootstrap(stage: &Stage, own: &str) -> Report {
    let mesh = file(&stage.path("etc-istio/config/mesh"), b"defaultConfig: {}");
    let now = Timestamp::UNIX_EPOCH;
    let payload = program::bootstrap(&bundle(vec![mesh]), RunId::generate(), patience(), now);
    let steps = format!(
        "STEPS='keep own place last'; do_own() {{ ensure_dir \"${{state_dir%/*}}/config\"; : >\"${{state_dir%/*}}/config/mesh\"; own_settings_dir; }}; undo_own() {{ restore_set \"$state_dir/run/keep\"; }}
         do_last() {{ : >\"$ETC_DIR/proxy/XDS\" && {own}; }}"
    );
    stage.call(payload, &steps).report()
}

#[test]
fn a_directory_at_the_place_of_the_packages_link_is_used_and_given_back() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        make(&stage);
        let report = bootstrap(&stage, "false");
        assert!(matches!(report, Report::Reverted { .. }), "{report:?}");
        is_as_made(&stage);
        let report = bootstrap(&stage, "true");
        assert!(matches!(report, Report::Committed { .. }), "{report:?}");
        for folder in ["etc-istio", "etc-istio/config", "etc-istio/proxy"] {
            assert_eq!(mode(&stage.path(folder)), 0o755, "{shell}: {folder}");
        }
        assert!(stage.path("etc-istio/config/mesh").exists(), "{shell}");
        let owner = owner("uid-1", "bookinfo/ratings");
        let remove = program::remove(&owner, RunId::generate(), patience());
        let report = stage.call(remove, "").report();
        assert_eq!(report, Report::Removed { left: vec![] }, "{shell}");
        is_as_made(&stage);
    }
}

/// Only root's directories are safe to change something in, so what is inside comes first.
#[test]
fn an_undo_gives_back_what_is_in_a_directory_that_others_control() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        make(&stage);
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(stage.path("etc-istio"), everybody).unwrap();
        let report = bootstrap(&stage, "false");
        assert!(matches!(report, Report::Reverted { .. }), "{report:?}");
        assert_eq!(mode(&stage.path("etc-istio")), 0o777, "{shell}");
        assert_eq!(mode(&stage.path("etc-istio/config")), 0o700, "{shell}");
    }
}

#[test]
fn the_packages_link_stays_a_link() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        symlink("/var/lib/istio", stage.path("etc-istio")).unwrap();
        assert_eq!(stage.part("own_settings_dir && emit done"), "done\n");
        // The directories behind it are on the list by their own names.
        let printed = stage.part("list_new_dirs");
        assert!(!printed.contains("etc-istio/"), "{shell}: {printed}");
        assert!(printed.contains("/etc-istio\n"), "{shell}: {printed}");
    }
}

/// The agent reads and writes there, and leaves what is in the package's directory as an earlier one left it.
#[test]
fn the_drain_asks_the_port_that_the_agent_wrote_there() {
    for shell in SHELLS {
        for is_link in [false, true] {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("lib/config")).unwrap();
            fs::write(stage.path("lib/config/mesh"), "proxyAdminPort: 15098\n").unwrap();
            if is_link {
                symlink("lib", stage.path("etc-istio")).unwrap();
            } else {
                make(&stage);
            }
            let expected = if is_link { "15098\n" } else { "15000\n" };
            assert_eq!(stage.part("admin_port"), expected, "{shell}");
            let folder = stage.path("etc-istio/proxy");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("envoy-rev.json"), BOOTSTRAP).unwrap();
            let asked = stage.part(
                "have() { [ \"$1\" = curl ]; }; as_proxy() { \"$@\"; }
                 curl() { emit \"asked::$*\"; emit 'inbound|80||::a::rq_active::2'; }
                 request_admin clusters; count_requests",
            );
            assert!(
                asked.contains("//localhost:15099/clusters\n"),
                "{shell}: {asked}"
            );
            assert!(asked.ends_with("\n2 0\n"), "{shell}: {asked}");
        }
    }
}

#[test]
fn what_the_proxy_cannot_use_there_is_found_before_anything_stops() {
    let made: [(Make, &str); 7] = [
        (|_| (), ""),
        (make, ""),
        (
            |stage| symlink("/var/lib/istio", stage.path("etc-istio")).unwrap(),
            "",
        ),
        (
            |stage| fs::write(stage.path("etc-istio"), "").unwrap(),
            "ROOT/etc-istio is no directory. Run: mv ROOT/etc-istio ROOT/etc-istio.old",
        ),
        (
            |stage| symlink("gone", stage.path("etc-istio")).unwrap(),
            "ROOT/etc-istio is no directory. Run: mv ROOT/etc-istio ROOT/etc-istio.old",
        ),
        (
            |stage| {
                make(stage);
                fs::write(stage.path("etc-istio/proxy"), "").unwrap();
            },
            "ROOT/etc-istio/proxy is no directory. Run: mv ROOT/etc-istio/proxy ROOT/etc-istio/proxy.old",
        ),
        (
            |stage| {
                fs::create_dir_all(stage.path("open/istio")).unwrap();
                let everybody = fs::Permissions::from_mode(0o777);
                fs::set_permissions(stage.path("open"), everybody).unwrap();
                symlink("open/istio", stage.path("etc-istio")).unwrap();
            },
            "others than root can replace ROOT/etc-istio. Run: mv ROOT/etc-istio ROOT/etc-istio.old",
        ),
    ];
    for shell in SHELLS {
        for (make, expected) in made {
            let stage = Stage::new(shell);
            make(&stage);
            let printed = stage.part("encode() { cat; }; check_settings");
            let printed = printed.replace(&stage.root.path().display().to_string(), "ROOT");
            let verdict = if expected.is_empty() { "ok" } else { "bad" };
            assert_eq!(
                printed.trim_end(),
                format!("check settings {verdict} {expected}").trim_end(),
                "{shell}"
            );
        }
    }
}
