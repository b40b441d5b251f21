//! State that survives a reboot is trusted only where nobody but root can have written it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use jiff::Timestamp;
use vm::program::{self, Payload, Report, RunId};

use crate::stage::{SHELLS, Stage, bundle, owner, patience};

fn bootstrap() -> Payload {
    let now = Timestamp::UNIX_EPOCH;
    program::bootstrap(&bundle(vec![]), RunId::generate(), patience(), now)
}

fn mode(stage: &Stage, name: &str) -> u32 {
    let folder = stage.path(name).metadata().unwrap();
    folder.permissions().mode() & 0o7777
}

/// Replaces the checks by that of the state directory.
const CHECKS: &str = "do_check() { run_checks 2>/dev/null | grep 'check state' >\"$run_dir/checks\"
      ! grep -q ' bad ' \"$run_dir/checks\" || { journal_bad_checks hop; return 1; }; }
    STEPS='check keep place'; ran() { emit ran >>\"$runs_dir/../ran\"; }; run_remove() { ran; }; undo_run() { ran; }";

/// Makes the state directory one that others may have written, at each call.
const TRAPS: [(&str, &str); 3] = [
    ("open", "chmod 755 \"$state_dir\""),
    (
        "link",
        "[ -h \"$state_dir\" ] || { mv \"$state_dir\" \"$state_dir-moved\" && ln -s \"$state_dir-moved\" \"$state_dir\"; }",
    ),
    (
        "exchangeable",
        "[ -h \"${state_dir%/*}\" ] || { mkdir -m 777 \"$runs_dir/../open\" && mv \"${state_dir%/*}\" \"$runs_dir/../open/lib\" && ln -s open/lib \"${state_dir%/*}\"; }",
    ),
];

#[test]
fn a_state_directory_that_others_may_have_written_is_not_trusted() {
    for shell in SHELLS {
        for (name, trap) in TRAPS {
            let stage = Stage::new(shell);
            let first = bootstrap();
            let run = first.run().clone();
            stage.call(first, "STEPS='keep place'").report();
            let own = format!("{CHECKS}\n{trap}");
            let call = |payload: Payload| stage.call(payload, &own).report();

            let Report::Observed(vm) = call(program::observe(&bundle(vec![]))) else {
                panic!("{shell}: {name}")
            };
            assert_eq!(vm.owner, None, "{shell}: {name}");
            let folder = stage.path("lib/mesh").display().to_string();
            assert_eq!(vm.changed, [folder], "{shell}: {name}");

            let Report::Untouched { step, hop, lines } = call(bootstrap()) else {
                panic!("{shell}: {name}")
            };
            assert_eq!((step.as_str(), hop.as_deref()), ("check", Some("state")));
            assert!(lines[0].contains("root"), "{shell}: {name}: {lines:?}");

            let ours = owner("uid-1", "bookinfo/ratings");
            let remove = program::remove(&ours, RunId::generate(), patience());
            let Report::Untouched { step, lines, .. } = call(remove) else {
                panic!("{shell}: {name}")
            };
            assert_eq!(step, "launch", "{shell}: {name}");
            assert!(lines[0].contains("root"), "{shell}: {name}: {lines:?}");

            fs::remove_dir_all(stage.path("run")).unwrap();
            assert_eq!(call(program::result(run)), Report::Lost, "{shell}: {name}");
            let ran = fs::read_to_string(stage.path("ran")).unwrap_or_default();
            // Undoing the run that stopped at its check has nothing to undo, and comes to that.
            assert!(!ran.contains("ran\nran\nran"), "{shell}: {name}: {ran}");
            assert!(stage.path("lib/mesh/owner").exists(), "{shell}: {name}");
        }
    }
}

/// After a manual setup by Istio's guide, the directory above is the proxy's.
#[test]
fn the_directory_above_is_roots_until_nothing_of_roots_is_in_it() {
    let own = "STEPS='keep place'; chown() { :; }";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let above = stage.path("lib");
        let open = || fs::set_permissions(&above, fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(&above).unwrap();
        open();
        let failing = format!(
            "{own}; do_place() {{ stat -c %a \"${{state_dir%/*}}\" >\"$run_dir/../../seen\"; false; }}"
        );
        let report = stage.call(bootstrap(), &failing).report();
        assert!(
            matches!(report, Report::Reverted { .. }),
            "{shell}: {report:?}"
        );
        let seen = fs::read_to_string(stage.path("seen")).unwrap();
        assert_eq!(seen, "755\n", "{shell}");
        assert_eq!(mode(&stage, "lib"), 0o777, "{shell}: it is given back");
        assert!(!stage.path("lib/mesh").exists(), "{shell}");

        stage.call(bootstrap(), own).report();
        assert_eq!(mode(&stage, "lib"), 0o755, "{shell}");
        // Somebody follows the guide once more.
        open();
        let Report::Observed(vm) = stage.call(program::observe(&bundle(vec![])), own).report()
        else {
            panic!("{shell}")
        };
        assert_eq!(
            vm.owner, None,
            "{shell}: not read while others can exchange it"
        );
        assert_eq!(vm.changed, [above.display().to_string()], "{shell}");
        let report = stage.call(bootstrap(), own).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        assert_eq!(mode(&stage, "lib"), 0o755, "{shell}");
        let ours = owner("uid-1", "bookinfo/ratings");
        let remove = program::remove(&ours, RunId::generate(), patience());
        let report = stage.call(remove, own).report();
        assert_eq!(report, Report::Removed { left: vec![] }, "{shell}");
        assert_eq!(
            mode(&stage, "lib"),
            0o777,
            "{shell}: as it was before all runs"
        );
    }
}

/// An older version noted the owner of the directory above among the modes.
#[test]
fn the_directory_above_is_restored_after_an_older_version_too() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh/found")).unwrap();
        let lib = stage.path("lib").display().to_string();
        let modes = format!("1:2 777 {lib}\n0:0 755 {lib}/envoy\n");
        fs::write(stage.path("lib/mesh/found/modes"), modes).unwrap();
        assert_eq!(stage.part("state_parent_before"), "1:2 777\n", "{shell}");
        let own = "restore_set \"$state_dir/found\"; stat -c %a \"${state_dir%/*}\"; chown() { :; }; remove_state; stat -c %a \"${state_dir%/*}\"";
        fs::write(stage.path("lib/mesh/found/paths"), "").unwrap();
        assert_eq!(stage.part(own), "755\n777\n", "{shell}");
    }
}

#[test]
fn a_link_on_the_path_of_the_state_directory_is_trusted_if_root_made_it() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("disk/lib")).unwrap();
        symlink("disk/lib", stage.path("lib")).unwrap();
        let report = stage.call(bootstrap(), "STEPS='keep place'").report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        assert!(stage.path("disk/lib/mesh/owner").exists(), "{shell}");
    }
}
