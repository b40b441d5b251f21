//! What cannot be undone is reported and kept, and no run blocks another.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mesh::desired::Bundle;
use mesh::workload::Interception;
use vm::program::{self, Event, Patience, Payload, Report, RunId};

use crate::rules::stand_in;
use crate::stage::{Call, SHELLS, Stage, bundle, file, owner, patience};

fn begin_with(bundle: &Bundle) -> Payload {
    program::bootstrap(bundle, RunId::generate(), patience(), Timestamp::UNIX_EPOCH)
}

fn begin() -> Payload {
    begin_with(&bundle(vec![]))
}

/// Two steps that write down what is done and undone.
const STEPS: &str = "STEPS='check alpha beta'
did() { emit \"$*\" >>\"$state_dir/../did\"; }
do_alpha() { did alpha; }; do_beta() { did beta; }
undo_alpha() { did undo alpha; }; undo_beta() { did undo beta; }
";

fn did(stage: &Stage) -> String {
    let text = fs::read_to_string(stage.path("lib/did")).unwrap();
    text.replace('\n', ", ")
}

#[test]
fn a_check_that_fails_leaves_the_run_before_as_it_was() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        stage.call(begin(), STEPS).report();
        let own = format!("{STEPS}\ndo_check() {{ false; }}");
        let report = stage.call(begin(), &own).report();
        assert!(
            matches!(&report, Report::Untouched { step, .. } if step == "check"),
            "{shell}: {report:?}"
        );
        assert_eq!(did(&stage), "alpha, beta, ", "{shell}");
    }
}

#[test]
fn what_cannot_be_undone_is_reported_and_undone_by_the_next_run() {
    let own = "do_beta() { did beta; return 1; }
        undo_alpha() { emit 'the disk is read-only' >&2; return 1; }";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let report = stage.call(begin(), &format!("{STEPS}\n{own}")).report();
        let lines = vec![
            "the disk is read-only".to_owned(),
            "undoing alpha failed".to_owned(),
        ];
        let step = "beta".into();
        assert_eq!(report, Report::Halfway { step, lines }, "{shell}");
        let again = "undo_alpha() { return 1; }";
        let report = stage.call(begin(), &format!("{STEPS}\n{again}")).report();
        assert!(
            matches!(report, Report::Halfway { .. }),
            "{shell}: {report:?}"
        );
        let report = stage.call(begin(), STEPS).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        let wanted = "alpha, beta, undo beta, undo beta, undo beta, undo alpha, alpha, beta, ";
        assert_eq!(did(&stage), wanted, "{shell}");
    }
}

#[test]
fn the_set_before_outlives_an_undoing_that_fails() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let place = |content: &[u8], own: &str| {
            let bundle = bundle(vec![file(&stage.path("folder/placed"), content)]);
            let own = format!("STEPS='keep place last'; do_last() {{ {own}; }}");
            stage.call(begin_with(&bundle), &own).report()
        };
        place(b"old", "true");
        let report = place(
            b"new",
            "rm -r \"$state_dir/../../folder\" && : >\"$state_dir/../../folder\" && false",
        );
        assert!(
            matches!(&report, Report::Halfway { step, lines } if step == "last" && !lines.is_empty()),
            "{shell}: {report:?}"
        );
        fs::remove_file(stage.path("folder")).unwrap();
        let report = place(b"newer", "false");
        assert!(
            matches!(report, Report::Reverted { .. }),
            "{shell}: {report:?}"
        );
        let content = fs::read(stage.path("folder/placed")).unwrap();
        assert_eq!(content, b"old", "{shell}");
    }
}

/// What iptables-save prints where both ways lead to the proxy.
const INTERCEPTED: &str = "*nat
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
";
/// The same after `iptables -t nat -F`.
const FLUSHED: &str = "*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_OUTPUT - [0:0]
COMMIT
";

#[test]
fn the_vm_itself_knows_which_rules_are_new() {
    let cases = [
        (false, INTERCEPTED, true),
        (true, FLUSHED, true),
        (true, INTERCEPTED, false),
    ];
    for shell in SHELLS {
        for (guarded, saved, asked) in cases {
            let stage = Stage::new(shell);
            let mut bundle = bundle(vec![]);
            bundle.proxy.interception = Interception::Redirect;
            stand_in(&stage, "iptables-nft", saved);
            let root = stage.root.path().display();
            let own =
                format!("STEPS=keep PATH={root}:$PATH; iptables_tools() {{ emit iptables-nft; }}");
            if guarded {
                fs::create_dir_all(stage.path("lib/mesh")).unwrap();
                fs::write(stage.path("lib/mesh/guard"), "").unwrap();
            }
            let report = stage.call(begin_with(&bundle), &own).report();
            assert_eq!(
                matches!(report, Report::AwaitsVerdict(_)),
                asked,
                "{shell}: {report:?}"
            );
        }
    }
}

#[test]
fn a_proxy_that_fails_again_and_again_counts_as_running() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh/run")).unwrap();
        for (state, kept) in [
            ("active", "active\n"),
            ("activating", "active\n"),
            ("deactivating", ""),
            ("failed", ""),
        ] {
            let printed = stage.part(&format!(
                "systemctl() {{ [ $1 != is-active ] || emit {state}; }}; do_keep; cat \"$state_dir/run/unit\""
            ));
            assert_eq!(printed, kept, "{shell}: {state}");
        }
    }
}

/// What is on tmpfs goes, and the program is called as the unit in the journal's company says.
#[test]
fn a_reboot_undoes_the_run_that_it_interrupted() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let placed = stage.path("placed");
        let call = |content: &[u8], own: &str| {
            let bundle = bundle(vec![file(&placed, content)]);
            let own = format!("STEPS='keep place last'; do_last() {{ {own}; }}");
            let payload = begin_with(&bundle);
            (payload.run().clone(), stage.call(payload, &own))
        };
        call(b"old", "true").1.report();
        let units = [
            stage.path("units/mesh-vm-undo.service"),
            stage.path("units/multi-user.target.wants/mesh-vm-undo.service"),
        ];
        let there = || units.each_ref().map(|unit| unit.exists());
        // The stand-in for the end leaves it; the end of a real run has the unit's whole life on the bed.
        for unit in &units {
            fs::remove_file(unit).unwrap();
        }
        let (run, mut cut) = call(b"new", "kill -9 $$");
        cut.until("last");
        cut.cut();
        assert_eq!(fs::read(&placed).unwrap(), b"new", "{shell}");
        assert_eq!(there(), [true; 2], "{shell}");
        fs::remove_dir_all(stage.path("run")).unwrap();

        let unit = fs::read_to_string(&units[0]).unwrap();
        let command = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let command = command.unwrap().replace("/bin/sh", shell);
        let mut words = command.split(' ');
        let done = Command::new(words.next().unwrap())
            .args(words)
            .output()
            .unwrap();
        assert!(done.status.success(), "{shell}: {done:?}");
        assert_eq!(fs::read(&placed).unwrap(), b"old", "{shell}");
        assert_eq!(there(), [false; 2], "{shell}");
        let report = stage.call(program::result(run), "").report();
        assert!(
            matches!(&report, Report::Reverted { step, .. } if step == "last"),
            "{shell}: {report:?}"
        );
    }
}

#[test]
fn a_worker_that_cannot_be_started_is_reported_and_nothing_is_touched() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let own = "detach() { emit 'no bus' >\"$run_dir/launch\"; return 1; }";
        let report = stage.call(begin(), own).report();
        let wanted = Report::Untouched {
            step: "launch".into(),
            hop: None,
            lines: vec!["no bus".into()],
        };
        assert_eq!(report, wanted, "{shell}");
        assert!(!stage.path("lib").exists(), "{shell}");
    }
}

#[test]
fn a_run_that_has_ended_asks_for_no_token_again() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let payload = begin();
        let run = payload.run().clone();
        let committed = stage.call(payload, "STEPS='keep ask token'").report();
        assert!(
            matches!(committed, Report::Committed { .. }),
            "{shell}: {committed:?}"
        );
        let mut call = stage.call(program::result(run), "");
        let mut events = std::iter::from_fn(|| Some(call.next()));
        let end = events.find(|event| matches!(event, Event::WantsToken | Event::Finished(_)));
        assert_eq!(end, Some(Event::Finished(committed)), "{shell}");
    }
}

#[test]
fn a_removal_leaves_the_run_that_waits_for_it_alone() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        stage.call(begin(), "STEPS='keep place'").report();
        let ours = owner("uid-1", "bookinfo/ratings");
        let remove = program::remove(&ours, RunId::generate(), patience());
        let own = "hook() { [ \"$1\" != clean ] || await 60 [ -e \"$runs_dir/../go\" ]; }";
        let mut first = stage.call(remove, own);
        first.until("clean");
        let waits = begin();
        let folder = stage.path(&format!("run/{}/pid", waits.run()));
        let mut second: Call = stage.call(waits, "STEPS='keep place'");
        while !folder.exists() {
            std::thread::yield_now();
        }
        fs::write(stage.path("go"), "").unwrap();
        assert_eq!(first.report(), Report::Removed { left: vec![] }, "{shell}");
        let report = second.report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        let none = Patience {
            lock: Duration::ZERO,
            ..patience()
        };
        let remove = program::remove(&ours, RunId::generate(), none);
        let report = stage.call(remove, "").report();
        assert_eq!(report, Report::Removed { left: vec![] }, "{shell}");
        assert!(!stage.path("run/lock").exists(), "{shell}");
    }
}

#[test]
fn an_observation_whose_caller_is_gone_leaves_nothing() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let own = "package_version() { await 60 [ -e \"$runs_dir/../go\" ]; }";
        let mut call = stage.call(program::observe(&bundle(vec![])), own);
        drop(call.child.stdout.take());
        fs::write(stage.path("go"), "").unwrap();
        call.child.wait().unwrap();
        assert!(!stage.path("run").exists(), "{shell}");
    }
}

/// The copies may lie on a disk that is full.
#[test]
fn what_is_undone_needs_no_room_for_another_copy() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let place = |content: &[u8], own: &str| {
            let bundle = bundle(vec![file(&stage.path("placed"), content)]);
            let own = format!("STEPS='keep place last'; do_last() {{ {own}; }}");
            stage.call(begin_with(&bundle), &own).report()
        };
        place(b"old", "true");
        let report = place(b"new", "cp() { false; } && false");
        assert!(
            matches!(report, Report::Reverted { .. }),
            "{shell}: {report:?}"
        );
        let content = fs::read(stage.path("placed")).unwrap();
        assert_eq!(content, b"old", "{shell}");
    }
}

/// A token that does not come must not keep the VM waiting, least of all without its proxy.
#[test]
fn a_run_that_nobody_follows_waits_for_no_token_and_has_stopped_nothing() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let waits = Patience {
            token: Duration::from_mins(10),
            ..patience()
        };
        let payload = program::bootstrap(
            &bundle(vec![]),
            RunId::generate(),
            waits,
            Timestamp::UNIX_EPOCH,
        );
        let run = payload.run().clone();
        let own = "RECONNECT_WAIT=1; do_stop() { emit stopped >>\"$state_dir/../did\"; }; do_install() { :; }";
        let mut call = stage.call(payload, own);
        while call.next() != Event::WantsToken {}
        call.cut();
        let log = stage.path(&format!("run/{run}/log"));
        let limit = Instant::now() + Duration::from_mins(1);
        while !fs::read_to_string(&log).unwrap().ends_with("\nend\n") {
            assert!(Instant::now() < limit, "{shell}: it waits");
            std::thread::sleep(Duration::from_millis(20));
        }
        let report = stage.call(program::result(run), own).report();
        assert!(
            matches!(&report, Report::Untouched { step, .. } if step == "ask"),
            "{shell}: {report:?}"
        );
        assert!(!stage.path("lib/did").exists(), "{shell}");
    }
}

/// A bootstrap changes nothing of which it could not keep what was there before.
#[test]
fn what_a_full_disk_does_not_keep_is_not_changed() {
    for shell in SHELLS {
        for full in ["run/unit", "run/keep/hosts"] {
            let stage = Stage::new(shell);
            fs::create_dir_all(stage.path("in")).unwrap();
            let hosts = "# BEGIN mesh-vm\n10.0.0.1 istiod\n# END mesh-vm\n";
            fs::write(stage.path("hosts"), hosts).unwrap();
            let printed = stage.part(&format!(
                "mkdir -p \"$state_dir/run/keep\" \"$state_dir/found\"; chmod 700 \"$state_dir/run/keep\"\n\
                 ln -s /dev/full \"$state_dir/{full}\"\n\
                 systemctl() {{ emit enabled; }}; if do_keep 2>/dev/null; then emit kept; else emit refused; fi"
            ));
            assert_eq!(printed, "refused\n", "{shell}: {full}");
        }
    }
}
