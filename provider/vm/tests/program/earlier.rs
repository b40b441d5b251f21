//! A VM whose state an earlier version of the program wrote: this one reads it, goes on from it and undoes it.

use std::fs;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use mesh::desired::Bundle;
use vm::program::{self, Payload, Reader, Report, RunId};

use crate::stage::{Call, SHELLS, Stage, bundle, file, owner, patience};

/// The earlier program, without its comments.
const EARLIER: &str = include_str!("earlier.sh");
/// How its session starts.
const COMMAND: &str =
    r#"exec /bin/sh -c 'read -r p; eval "$(printf %s "$p" | base64 -d | gzip -dc)"; main'"#;
/// Replaces what needs root and systemd, by the names of that version.
const HARMLESS: &str = r#"
systemctl() { :; }
sync() { :; }
unit() { false; }
ready() { false; }
version() { :; }
tools() { :; }
registered() { false; }
drop_user() { :; }
chown() { command chown "$@" 2>/dev/null || :; }
do_check() { :; }
do_stop() { :; }
undo_stop() { :; }
committed() { conclude && close && finish committed; }
"#;
/// The same of this version, which makes a run final as it does on a VM.
const FINAL: &str = "commit_run() { seal_undo_log && disable_undo_unit && finish committed; }
STEPS='keep place last'; do_last() { :; }";

/// Calls the earlier program.
fn earlier(stage: &Stage, payload: &Payload, own: &str) -> Call {
    let root = stage.root.path().display();
    let shell = stage.shell;
    let program = format!(
        "{EARLIER}
         R={root}/run S={root}/lib/mesh HOSTS={root}/hosts CERTS={root}/certs BIN={root}/bin LOG={root}/log
         DROP={root}/drop UNITS={root}/units CID={root}/cid BOOT={root}/cloud-init ROTATE={root}/rotate.d/mesh-vm
         TOKEN={root}/secrets/tokens/istio-token SDS={root}/secrets/sds
         DIRS=\"$CERTS $LOG ${{TOKEN%/*}} $SDS ${{TOKEN%/*/*}} $DROP\"
         detach() {{ setsid {shell} \"$d/program\" \"$2\" \"$d\" </dev/null >/dev/null 2>&1 & }}
         ROOT=$(id -u) ENVOY={root}/lib/envoy
         [ ! -d \"$S\" ] || chmod 700 \"$S\"
         {HARMLESS}
         STEPS='keep place last'; do_last() {{ :; }}
         {own}
         "
    );
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(program.as_bytes()).unwrap();
    let program = STANDARD.encode(zip.finish().unwrap());
    let sent = String::from_utf8(payload.stdin()).unwrap();
    let (_, data) = sent.split_once('\n').unwrap();
    // That version reads base64 only.
    let encoded = |line: &str| match line.split_once(" =") {
        Some((key, text)) => format!("{key} {}\n", STANDARD.encode(text)),
        None => format!("{line}\n"),
    };
    let data: String = data.lines().map(encoded).collect();
    let mut call = stage.start_by(COMMAND);
    call.stdin(format!("{program}\n{data}").as_bytes());
    call.reader = Some(Reader::new(payload.run()));
    call
}

fn begin(stage: &Stage, content: &[u8], address: &str) -> Payload {
    let bundle = Bundle {
        hosts_line: Some(format!("{address} istiod")),
        ..bundle(vec![file(&stage.path("placed"), content)])
    };
    let now = Timestamp::UNIX_EPOCH;
    program::bootstrap(&bundle, RunId::generate(), patience(), now)
}

/// Returns a machine that the earlier program made a member of the mesh.
fn member(shell: &'static str) -> Stage {
    let stage = Stage::new(shell);
    fs::write(stage.path("placed"), "theirs").unwrap();
    let report = earlier(&stage, &begin(&stage, b"old", "10.0.0.1"), "").report();
    assert!(
        matches!(report, Report::Committed { .. }),
        "{shell}: {report:?}"
    );
    stage
}

fn is(stage: &Stage, content: &str, address: &str) {
    let shell = stage.shell;
    assert_eq!(
        fs::read_to_string(stage.path("placed")).unwrap(),
        content,
        "{shell}"
    );
    let hosts = fs::read_to_string(stage.path("hosts")).unwrap();
    let line = format!("# BEGIN mesh-vm\n{address} istiod\n# END mesh-vm\n");
    assert!(hosts.contains(&line), "{shell}: {hosts}");
}

fn remove(stage: &Stage) {
    let shell = stage.shell;
    let owner = owner("uid-1", "bookinfo/ratings");
    let remove = program::remove(&owner, RunId::generate(), patience());
    let report = stage.call(remove, FINAL).report();
    assert_eq!(report, Report::Removed { left: vec![] }, "{shell}");
    assert_eq!(
        fs::read_to_string(stage.path("placed")).unwrap(),
        "theirs",
        "{shell}"
    );
    let hosts = fs::read_to_string(stage.path("hosts")).unwrap();
    assert_eq!(hosts, "127.0.0.1 localhost\n", "{shell}");
    assert!(!stage.path("lib/mesh").exists(), "{shell}");
}

#[test]
fn a_member_of_an_earlier_version_is_observed_bootstrapped_and_removed() {
    for shell in SHELLS {
        let stage = member(shell);
        let seen = bundle(vec![file(&stage.path("placed"), b"")]);
        let Report::Observed(vm) = stage.call(program::observe(&seen), "").report() else {
            panic!("{shell}: not observed")
        };
        assert_eq!(
            vm.owner,
            Some(owner("uid-1", "bookinfo/ratings")),
            "{shell}"
        );
        assert_eq!(vm.unfinished, None, "{shell}");
        assert_eq!(vm.hosts_lines, ["10.0.0.1 istiod"], "{shell}");

        let failing = format!("{FINAL}\ndo_last() {{ false; }}");
        let report = stage
            .call(begin(&stage, b"new", "10.0.0.2"), &failing)
            .report();
        assert!(
            matches!(&report, Report::Reverted { step, .. } if step == "last"),
            "{shell}: {report:?}"
        );
        is(&stage, "old", "10.0.0.1");
        let report = stage
            .call(begin(&stage, b"new", "10.0.0.2"), FINAL)
            .report();
        assert!(
            matches!(report, Report::Committed { .. }),
            "{shell}: {report:?}"
        );
        is(&stage, "new", "10.0.0.2");
        remove(&stage);
    }
}

#[test]
fn a_member_of_an_earlier_version_is_removed_at_once() {
    for shell in SHELLS {
        remove(&member(shell));
    }
}

/// The worker was killed behind a step that had replaced a file.
#[test]
fn a_run_of_an_earlier_version_that_died_is_undone() {
    let killed = "hook() { [ \"$1\" != last ] || kill -9 $$; }; mend() { exit; }";
    for shell in SHELLS {
        let stage = member(shell);
        let payload = begin(&stage, b"new", "10.0.0.2");
        let mut call = earlier(&stage, &payload, killed);
        call.until("last");
        call.cut();
        is(&stage, "new", "10.0.0.2");
        let seen = bundle(vec![]);
        let Report::Observed(vm) = stage.call(program::observe(&seen), "").report() else {
            panic!("{shell}: not observed")
        };
        assert_eq!(vm.unfinished.as_deref(), Some("last"), "{shell}");
        // The next run fails before it changes anything, and what the dead one changed is undone.
        let failing = format!("{FINAL}\nSTEPS='ask'; do_ask() {{ false; }}");
        let report = stage
            .call(begin(&stage, b"newer", "10.0.0.3"), &failing)
            .report();
        assert!(
            matches!(report, Report::Untouched { .. }),
            "{shell}: {report:?}"
        );
        is(&stage, "old", "10.0.0.1");
        remove(&stage);
    }
}

/// The copy of the program that it left undoes it, by an entry that this version knows, too.
#[test]
fn a_run_of_an_earlier_version_is_followed_to_its_end() {
    let killed = "hook() { [ \"$1\" != last ] || [ -e \"$S/../mended\" ] || kill -9 $$; }";
    for shell in SHELLS {
        let stage = member(shell);
        let payload = begin(&stage, b"new", "10.0.0.2");
        let mut call = earlier(&stage, &payload, killed);
        call.until("last");
        call.cut();
        let result = program::result(payload.run().clone());
        let report = stage.call(result, "pause() { sleep 0.02; }").report();
        assert!(
            matches!(&report, Report::Reverted { step, .. } if step == "last"),
            "{shell}: {report:?}"
        );
        is(&stage, "old", "10.0.0.1");
        remove(&stage);
    }
}
