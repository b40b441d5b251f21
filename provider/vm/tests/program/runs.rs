//! A run continues alone, ends new or old, and its result can be requested.

use std::fs;

use jiff::Timestamp;
use mesh::desired::Bundle;
use mesh::workload::Interception;
use vm::program::{self, Patience, Payload, Report, RunId};

use crate::stage::{SHELLS, Stage, bundle, file, owner, patience};

/// Three steps that write down what is done and undone.
const STEPS: &str = "STEPS='alpha beta gamma'
did() { emit \"$*\" >>\"$state_dir/../did\"; }
do_alpha() { did alpha; }; do_beta() { did beta; }; do_gamma() { did gamma; }
undo_alpha() { did undo alpha; }; undo_beta() { did undo beta; }; undo_gamma() { did undo gamma; }
";

fn begin(run: &RunId, patience: Patience) -> Payload {
    begin_with(run, Interception::None, patience)
}

fn begin_with(run: &RunId, interception: Interception, patience: Patience) -> Payload {
    let mut bundle = bundle(vec![]);
    bundle.proxy.interception = interception;
    program::bootstrap(&bundle, run.clone(), patience, Timestamp::UNIX_EPOCH)
}

fn did(stage: &Stage) -> String {
    fs::read_to_string(stage.path("lib/did"))
        .unwrap()
        .replace('\n', ", ")
}

/// Runs a bootstrap with `own` as last word; what is reported, and what was done.
fn run(shell: &'static str, own: &str) -> (Report, String) {
    let stage = Stage::new(shell);
    let mut call = stage.call(
        begin(&RunId::generate(), patience()),
        &format!("{STEPS}\n{own}"),
    );
    (call.report(), did(&stage))
}

#[test]
fn a_failing_step_undoes_all_before_it_and_says_why() {
    for shell in SHELLS {
        let own = "do_beta() { did beta; emit 'no space, eyJhbGciOi.secret.sig' >&2; return 1; }";
        let (report, did) = run(shell, own);
        let Report::Reverted { step, hop, lines } = report else {
            panic!("{shell}: {report:?}")
        };
        assert_eq!((step.as_str(), hop), ("beta", None), "{shell}");
        assert_eq!(lines, ["no space, [token]"], "{shell}");
        assert_eq!(did, "alpha, beta, undo beta, undo alpha, ", "{shell}");
    }
}

#[test]
fn a_worker_that_is_killed_is_undone_by_who_follows() {
    let killed = |shell: &'static str| {
        let own = "hook() { if [ \"$1\" = gamma ]; then kill -9 $$; fi; }";
        let (report, did) = run(shell, own);
        assert!(
            matches!(&report, Report::Reverted { step, .. } if step == "gamma"),
            "{shell}: {report:?}"
        );
        assert_eq!(
            did, "alpha, beta, undo gamma, undo beta, undo alpha, ",
            "{shell}"
        );
    };
    std::thread::scope(|scope| {
        SHELLS
            .map(|shell| scope.spawn(move || killed(shell)))
            .map(|thread| thread.join().unwrap())
    });
}

#[test]
fn a_run_whose_undoing_dies_differs_from_one_that_changed_nothing() {
    // Nothing answers for the dead worker; the pauses are short, for there are hundreds.
    let own = "hook() { if [ \"$1\" = gamma ]; then kill -9 $$; fi; }
        finish_dead_run() { :; }
        pause() { sleep 0.02; }";
    for shell in SHELLS {
        let (report, did) = run(shell, own);
        let step = "gamma".into();
        let lines = vec![];
        assert_eq!(report, Report::Halfway { step, lines }, "{shell}");
        assert_eq!(did, "alpha, beta, ", "{shell}");
    }
}

#[test]
fn a_cut_connection_does_not_stop_the_run_and_its_result_can_be_requested() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let id = RunId::generate();
        let own = format!("{STEPS}\ndo_beta() {{ await 60 [ -e \"$state_dir/../go\" ]; }}");
        let mut call = stage.call(begin(&id, patience()), &own);
        call.until("beta");
        call.cut();
        fs::write(stage.path("lib/go"), "").unwrap();
        let report = stage.call(program::result(id.clone()), &own).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        let again = stage.call(program::result(id), &own).report();
        assert_eq!(again, report, "{shell}");
    }
}

#[test]
fn a_new_connection_commits_and_silence_reverts() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let id = RunId::generate();
        let report = stage
            .call(begin_with(&id, Interception::Redirect, patience()), STEPS)
            .report();
        assert_eq!(report, Report::AwaitsVerdict(id.clone()), "{shell}");
        let asked = stage.call(program::result(id.clone()), STEPS).report();
        assert_eq!(asked, Report::AwaitsVerdict(id.clone()), "{shell}");
        // The copy of the program that the run left.
        let at_hand = stage.call_at_hand(&program::result(id.clone())).report();
        assert_eq!(at_hand, asked, "{shell}");
        let report = stage.call_at_hand(&program::commit(id)).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );

        let id = RunId::generate();
        let short = Patience {
            verdict: std::time::Duration::ZERO,
            ..patience()
        };
        stage
            .call(begin_with(&id, Interception::Redirect, short), STEPS)
            .report();
        let report = stage.call(program::result(id), STEPS).report();
        assert!(
            matches!(&report, Report::Reverted { step, .. } if step == "verdict"),
            "{shell}: {report:?}"
        );
    }
}

#[test]
fn revert_takes_back_a_run_that_awaits_and_one_that_is_final() {
    for shell in SHELLS {
        for interception in [Interception::Redirect, Interception::None] {
            let stage = Stage::new(shell);
            let id = RunId::generate();
            stage
                .call(begin_with(&id, interception, patience()), STEPS)
                .report();
            let report = stage.call(program::revert(id), STEPS).report();
            assert!(
                matches!(&report, Report::Reverted { step, .. } if step == "verdict"),
                "{shell}: {report:?}"
            );
            assert!(
                did(&stage).ends_with("undo gamma, undo beta, undo alpha, "),
                "{shell}"
            );
        }
    }
}

#[test]
fn a_dead_run_is_seen_and_undone_before_the_next() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let own = format!("{STEPS}\nhook() {{ if [ \"$1\" = beta ]; then kill -9 $$; fi; }}");
        let mut call = stage.call(begin(&RunId::generate(), patience()), &own);
        call.until("beta");
        call.cut();
        let Report::Observed(vm) = stage.call(program::observe(&bundle(vec![])), "").report()
        else {
            panic!("{shell}: not observed")
        };
        assert_eq!(vm.unfinished.as_deref(), Some("beta"), "{shell}");
        let report = stage
            .call(begin(&RunId::generate(), patience()), STEPS)
            .report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        assert_eq!(
            did(&stage),
            "alpha, undo beta, undo alpha, alpha, beta, gamma, ",
            "{shell}"
        );
    }
}

#[test]
fn a_run_that_waits_too_long_reports_the_busy_one() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let (first, second) = (RunId::generate(), RunId::generate());
        let own = format!("{STEPS}\ndo_beta() {{ await 60 [ -e \"$state_dir/../go\" ]; }}");
        let mut call = stage.call(begin(&first, patience()), &own);
        call.until("beta");
        let none = Patience {
            lock: std::time::Duration::ZERO,
            ..patience()
        };
        let report = stage.call(begin(&second, none), STEPS).report();
        assert_eq!(
            report,
            Report::Busy {
                run: first.to_string(),
                verb: "bootstrap".into()
            },
            "{shell}"
        );
        fs::write(stage.path("lib/go"), "").unwrap();
        assert!(matches!(call.report(), Report::Committed { .. }), "{shell}");
    }
}

/// Waits that no test outlives.
fn endless() -> Patience {
    let endless = std::time::Duration::from_hours(1);
    Patience {
        token: endless,
        verdict: endless,
        ..patience()
    }
}

#[test]
fn a_run_whose_caller_has_gone_ends_for_the_next_of_its_workload() {
    // Where it waits, what it asks for at last, and what of it is done and undone.
    let cases = [
        (
            Interception::Redirect,
            "",
            "undo gamma, undo beta, undo alpha, ",
        ),
        (
            Interception::None,
            "do_gamma() { RECONNECT_WAIT=3600; do_ask; }",
            "undo gamma, undo beta, undo alpha, ",
        ),
        (
            Interception::None,
            "is_certified() { false; }; do_gamma() { do_ready; }",
            "undo gamma, undo beta, undo alpha, ",
        ),
        (
            Interception::None,
            "do_beta() { await 60 is_recalled; }",
            "undo beta, undo alpha, ",
        ),
        (Interception::None, "is_booted() { false; }", ""),
    ];
    for shell in SHELLS {
        for (interception, own, undone) in cases {
            let stage = Stage::new(shell);
            let first = RunId::generate();
            let begin = begin_with(&first, interception, endless());
            let mut call = stage.call(begin, &format!("{STEPS}\n{own}"));
            let last = if own.contains("gamma") {
                "gamma"
            } else if own.contains("beta") {
                "beta"
            } else {
                "boot"
            };
            if own.is_empty() {
                assert_eq!(call.report(), Report::AwaitsVerdict(first), "{shell}");
            } else {
                call.until(last);
            }
            call.cut();
            let next = begin_with(&RunId::generate(), Interception::None, patience());
            let report = stage.call(next, STEPS).report();
            assert!(
                matches!(report, Report::Committed { .. }),
                "{shell}, {own}: {report:?}"
            );
            let did = did(&stage);
            let (before, after) = did.split_at(did.len() - "alpha, beta, gamma, ".len());
            assert!(before.ends_with(undone), "{shell}, {own}: {did}");
            assert_eq!(after, "alpha, beta, gamma, ", "{shell}, {own}");
        }
    }
}

/// Its process on the VM lives on where the link was cut without a word. One that speaks is there, however old its run.
#[test]
fn a_caller_without_heartbeats_counts_as_gone() {
    let steps = format!("HEARTBEAT_WAIT=3; {STEPS}");
    let own = format!("{steps}\ndo_gamma() {{ RECONNECT_WAIT=3600; do_ask; }}");
    let none = Patience {
        lock: std::time::Duration::ZERO,
        ..patience()
    };
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let first = RunId::generate();
        let begin = begin_with(&first, Interception::None, endless());
        let mut call = stage.call(begin, &own);
        call.until("gamma");
        call.stdin(b"here\n");
        let here = stage.path(&format!("run/{first}/here"));
        let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while !here.exists() {
            assert!(std::time::Instant::now() < end, "{shell}: nobody listens");
            std::thread::yield_now();
        }
        let next = begin_with(&RunId::generate(), Interception::None, none);
        let report = stage.call(next, &own).report();
        assert!(matches!(report, Report::Busy { .. }), "{shell}: {report:?}");
        let next = begin_with(&RunId::generate(), Interception::None, patience());
        let report = stage.call(next, &steps).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
    }
}

/// Its file is empty for a moment each time.
#[test]
fn a_caller_whose_heartbeat_is_being_written_counts_as_there() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("here"), "1\n").unwrap();
        let own =
            "emit $$ >\"$run_dir/follower\"; line_of() { [ \"$1\" = \"$run_dir/here\" ] || cat \"$1\"; }
            is_followed \"$run_dir\" && emit there; true";
        assert_eq!(stage.part(own), "there\n", "{shell}");
        let gone = "emit $$ >\"$run_dir/follower\"; HEARTBEAT_WAIT=0; is_followed \"$run_dir\" && emit there; true";
        assert_eq!(stage.part(gone), "", "{shell}");
    }
}

/// A provider that lost its connection still finds it.
#[test]
fn a_run_whose_caller_has_gone_continues_beside_one_of_another_workload() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let first = RunId::generate();
        let begin = begin_with(&first, Interception::Redirect, endless());
        let report = stage.call(begin, STEPS).report();
        assert_eq!(report, Report::AwaitsVerdict(first.clone()), "{shell}");
        let other = owner("uid-2", "bookinfo/reviews");
        let none = Patience {
            lock: std::time::Duration::ZERO,
            ..patience()
        };
        let remove = program::remove(&other, RunId::generate(), none);
        let report = stage.call(remove, STEPS).report();
        assert!(matches!(report, Report::Busy { .. }), "{shell}: {report:?}");
        let report = stage.call(program::commit(first), STEPS).report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
    }
}

#[test]
fn a_run_that_nobody_knows_is_lost() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        assert_eq!(
            stage.call(program::result(RunId::generate()), "").report(),
            Report::Lost,
            "{shell}"
        );
    }
}

#[test]
fn a_file_and_the_hosts_line_come_back_when_a_later_step_fails() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let place = |content: &[u8], hosts: &str, own: &str| {
            let bundle = Bundle {
                hosts_line: Some(hosts.into()),
                ..bundle(vec![file(&stage.path("placed"), content)])
            };
            let payload = program::bootstrap(
                &bundle,
                RunId::generate(),
                patience(),
                Timestamp::UNIX_EPOCH,
            );
            stage
                .call(
                    payload,
                    &format!("STEPS='keep stop place last'; do_last() {{ {own}; }}"),
                )
                .report()
        };
        assert!(
            matches!(
                place(b"old", "10.0.0.1 istiod", "true"),
                Report::Committed { .. }
            ),
            "{shell}"
        );
        assert!(
            matches!(
                place(b"new", "10.0.0.2 istiod", "false"),
                Report::Reverted { .. }
            ),
            "{shell}"
        );
        assert_eq!(fs::read(stage.path("placed")).unwrap(), b"old", "{shell}");
        let hosts = fs::read_to_string(stage.path("hosts")).unwrap();
        assert_eq!(
            hosts, "# BEGIN mesh-vm\n10.0.0.1 istiod\n# END mesh-vm\n127.0.0.1 localhost\n",
            "{shell}"
        );
    }
}

#[test]
fn another_namespace_and_another_owner_are_left_alone() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let payload = || begin(&RunId::generate(), patience());
        stage.call(payload(), "STEPS='keep place'").report();
        let theirs = owner("uid-1", "bookinfo/ratings");
        let other = Bundle {
            owner: owner("uid-2", "shop/cart"),
            ..bundle(vec![])
        };
        let taken =
            program::bootstrap(&other, RunId::generate(), patience(), Timestamp::UNIX_EPOCH);
        assert_eq!(
            stage.call(taken, "STEPS='keep place'").report(),
            Report::Foreign(theirs.clone()),
            "{shell}"
        );

        for stranger in [
            owner("uid-1", "bookinfo/reviews"),
            owner("uid-2", "bookinfo/ratings"),
            owner("", "bookinfo/ratings"),
        ] {
            let report = stage
                .call(
                    program::remove(&stranger, RunId::generate(), patience()),
                    "",
                )
                .report();
            assert_eq!(
                report,
                Report::Foreign(theirs.clone()),
                "{shell}: {stranger:?}"
            );
        }
        let report = stage
            .call(program::remove(&theirs, RunId::generate(), patience()), "")
            .report();
        assert_eq!(report, Report::Removed { left: vec![] }, "{shell}");
        assert!(!stage.path("lib/mesh").exists(), "{shell}");
    }
}

/// What cloud-init still installs and writes comes first; not for ever, and not where cloud-init itself runs this.
#[test]
fn a_run_waits_for_cloud_init() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("cloud-init")).unwrap();
        let settled = |wait: &str| {
            fs::create_dir_all(stage.path("in")).unwrap();
            fs::write(stage.path("in/wait.boot"), wait).unwrap();
            stage.part("is_booted && emit settled; true")
        };
        assert_eq!(settled("300"), "settled\n", "{shell}");
        fs::write(stage.path("cloud-init/status.json"), "").unwrap();
        assert_eq!(settled("300"), "", "{shell}");
        assert_eq!(settled("0"), "settled\n", "{shell}");
        let begin = begin(&RunId::generate(), patience());
        let mut call = stage.call(begin, "STEPS='keep place'");
        call.until("boot");
        fs::write(stage.path("cloud-init/result.json"), "").unwrap();
        assert_eq!(settled("300"), "settled\n", "{shell}");
        call.until("keep");
    }
}
