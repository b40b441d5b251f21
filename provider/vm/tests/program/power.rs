//! A power cut loses what is not on the disk: what is left makes the machine old or new, and blocks no later run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use vm::program::{self, Report, RunId};

use crate::stage::{SHELLS, Stage, bundle, file, owner, patience};

/// What outlives a reboot of the stand-in.
const LASTING: [&str; 5] = ["lib", "units", "hosts", "placed", "second"];

/// The disk holds what was there at the last sync but one: this sync is the one that does not end.
const SYNC: &str = r#"
sync() {
  [ "$2" != /dev/null ] || return 0
  count=$(($(cat "$runs_dir/../syncs" 2>/dev/null || emit 0) + 1))
  emit "$count" >"$runs_dir/../syncs"
  if [ "$count" = "$(cat "$runs_dir/../cut-at")" ]; then
    : >"$runs_dir/../cut"
    kill -9 $$
    exit 1
  fi
  rm -rf "$runs_dir/../disk" && mkdir "$runs_dir/../disk"
  for f in lib units hosts placed second; do [ ! -e "$runs_dir/../$f" ] || cp -a "$runs_dir/../$f" "$runs_dir/../disk/$f"; done
}
commit_run() { seal_undo_log && disable_undo_unit && finish committed; }
STEPS='keep place last'
do_last() { :; }
"#;

/// What the machine is before a run.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Member,
}

struct Disk {
    stage: Stage,
}

impl Disk {
    /// A machine with two files of somebody's; a member of the mesh takes the place of one.
    fn new(shell: &'static str, before: Before) -> Self {
        let disk = Self {
            stage: Stage::new(shell),
        };
        for name in ["placed", "second"] {
            fs::write(disk.stage.path(name), "theirs").unwrap();
        }
        if before == Before::Member {
            disk.cut_at(0);
            let report = disk.bootstrap(&["placed"], "old").report();
            assert!(
                matches!(report, Report::Committed { .. }),
                "{shell}: {report:?}"
            );
        }
        disk
    }

    fn bootstrap(&self, names: &[&str], content: &str) -> crate::stage::Call {
        let files = names
            .iter()
            .map(|name| file(&self.stage.path(name), content.as_bytes()));
        let bundle = bundle(files.collect());
        let run = RunId::generate();
        let payload = program::bootstrap(&bundle, run, patience(), Timestamp::UNIX_EPOCH);
        self.stage.call(payload, SYNC)
    }

    /// Cuts the power at the sync with this number from now on; 0 is none.
    fn cut_at(&self, number: u32) {
        let _ = fs::remove_file(self.stage.path("syncs"));
        fs::write(self.stage.path("cut-at"), number.to_string()).unwrap();
        self.save();
    }

    /// Everything that is there is on the disk.
    fn save(&self) {
        let disk = self.stage.path("disk");
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir(&disk).unwrap();
        copy(&self.stage, self.stage.root.path(), &disk);
    }

    /// Boots from what is on the disk.
    fn boot(&self) {
        for name in LASTING.into_iter().chain(["run"]) {
            let path = self.stage.path(name);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        copy(
            &self.stage,
            &self.stage.path("disk"),
            self.stage.root.path(),
        );
        self.cut_at(0);
        let wanted = self
            .stage
            .path("units/multi-user.target.wants/mesh-vm-undo.service");
        let Ok(unit) = fs::read_to_string(wanted) else {
            return;
        };
        let value = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap()
        };
        if fs::metadata(value("ConditionPathExists=")).is_ok() {
            let command = value("ExecStart=").replace("/bin/sh", self.stage.shell);
            let mut words = command.split(' ');
            let done = Command::new(words.next().unwrap()).args(words).output();
            let done = done.unwrap();
            assert!(done.status.success(), "{}: {done:?}", self.stage.shell);
        }
    }

    fn contents(&self) -> [String; 2] {
        ["placed", "second"].map(|name| fs::read_to_string(self.stage.path(name)).unwrap())
    }
}

fn copy(stage: &Stage, from: &Path, to: &Path) {
    let there = LASTING
        .map(|name| from.join(name))
        .into_iter()
        .filter(|path| path.exists());
    let done = Command::new("cp").arg("-a").args(there).arg(to).status();
    assert!(done.unwrap().success(), "{}", stage.shell);
}

/// Cuts the power at each sync of a bootstrap, one after the other.
fn walk(shell: &'static str, before: Before) {
    let old = match before {
        Before::Nothing => ["theirs"; 2],
        Before::Member => ["old", "theirs"],
    };
    for number in 1.. {
        let disk = Disk::new(shell, before);
        disk.cut_at(number);
        let mut call = disk.bootstrap(&["placed", "second"], "new");
        let limit = Instant::now() + Duration::from_mins(2);
        let ended = loop {
            if disk.stage.path("cut").exists() {
                break false;
            }
            if call.child.try_wait().unwrap().is_some() {
                break true;
            }
            assert!(Instant::now() < limit, "{shell}: {number}");
            std::thread::sleep(Duration::from_millis(10));
        };
        if ended {
            assert!(number > 5, "{shell}: only {number} syncs");
            assert_eq!(disk.contents(), ["new", "new"], "{shell}");
            return;
        }
        call.cut();
        disk.boot();
        let is = disk.contents();
        assert!(
            is == old || is == ["new", "new"],
            "{shell}: {is:?} after a power cut at sync {number}"
        );
        // What was there before us comes back, too.
        let remove = program::remove(
            &owner("uid-1", "bookinfo/ratings"),
            RunId::generate(),
            patience(),
        );
        let report = disk.stage.call(remove, SYNC).report();
        assert_eq!(
            report,
            Report::Removed { left: vec![] },
            "{shell}: {number}"
        );
        assert_eq!(disk.contents(), ["theirs"; 2], "{shell}: {number}");
        assert!(!disk.stage.path("lib/mesh").exists(), "{shell}: {number}");
    }
}

#[test]
fn a_power_cut_at_any_sync_leaves_old_or_new_and_what_was_there_before() {
    std::thread::scope(|scope| {
        let walks = SHELLS.map(|shell| {
            [Before::Member, Before::Nothing].map(|before| scope.spawn(move || walk(shell, before)))
        });
        for thread in walks.into_iter().flatten() {
            thread.join().unwrap();
        }
    });
}

#[test]
fn each_file_system_is_written_once_and_an_older_sync_writes_all() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let words = "sync() { emit \"$*\"; }; flush \"$run_dir\" \"$run_dir/hosts\" \"$run_dir/none\" /proc";
        let root = stage.root.path().display().to_string();
        let printed = stage.part(words);
        assert_eq!(
            printed,
            format!("-f /dev/null\n-f {root}\n-f /proc\n"),
            "{shell}"
        );
        let older = "sync() { [ $# = 0 ] || return 1; emit all; }; flush \"$run_dir\"";
        assert_eq!(stage.part(older), "all\n", "{shell}");
        let failing = "sync() { [ \"$2\" = /dev/null ]; }; flush \"$run_dir\" || emit failed";
        assert_eq!(stage.part(failing), "failed\n", "{shell}");
    }
}

/// What older versions left behind a power cut.
#[test]
fn an_empty_mark_or_journal_is_unfinished_and_nobody_elses() {
    for shell in SHELLS {
        for files in [
            &["owner"][..],
            &["owner", "run/steps", "run/id", "run/end", "run/program"],
            &["run/steps", "run/id", "run/program"],
        ] {
            let stage = Stage::new(shell);
            let bundle = bundle(vec![]);
            let member = || {
                let run = RunId::generate();
                let begin = program::bootstrap(&bundle, run, patience(), Timestamp::UNIX_EPOCH);
                let report = stage
                    .call(begin, "STEPS='keep place'; read_settings() { :; }")
                    .report();
                assert!(
                    matches!(report, Report::Committed { .. }),
                    "{shell}: {files:?}: {report:?}"
                );
            };
            let empty = || {
                let _ = fs::remove_file(stage.path("lib/mesh/run/end"));
                for name in files {
                    fs::write(stage.path("lib/mesh").join(name), "").unwrap();
                }
            };
            member();
            empty();
            let own = "read_settings() { :; }";
            let Report::Observed(seen) = stage.call(program::observe(&bundle), own).report() else {
                panic!("{shell}: not observed")
            };
            assert!(seen.unfinished.is_some(), "{shell}: {files:?}");
            member();
            empty();
            let ours = owner("uid-1", "bookinfo/ratings");
            let remove = program::remove(&ours, RunId::generate(), patience());
            let report = stage.call(remove, own).report();
            assert_eq!(
                report,
                Report::Removed { left: vec![] },
                "{shell}: {files:?}"
            );
            assert!(!stage.path("lib/mesh").exists(), "{shell}: {files:?}");
        }
    }
}

/// The proxy's settings name the owner of the machine, too.
#[test]
fn an_empty_mark_gives_nobody_the_machine_of_another() {
    let settings = "read_settings() { printf '%s\\n' \"ISTIO_NAMESPACE='shop'\" \"POD_NAME='cart'\" \"POD_NAMESPACE='shop'\"; }";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir_all(stage.path("lib/mesh")).unwrap();
        fs::write(stage.path("lib/mesh/owner"), "").unwrap();
        let theirs = Report::Foreign(owner("", "shop/cart"));
        let run = RunId::generate();
        let begin = program::bootstrap(&bundle(vec![]), run, patience(), Timestamp::UNIX_EPOCH);
        assert_eq!(stage.call(begin, settings).report(), theirs, "{shell}");
        let remove = |uid: &str, id: &str| {
            let payload = program::remove(&owner(uid, id), RunId::generate(), patience());
            stage.call(payload, settings).report()
        };
        assert_eq!(remove("uid-1", "bookinfo/ratings"), theirs, "{shell}");
        assert_eq!(remove("uid-1", "shop/cart"), theirs, "{shell}");
        // A VM that joined with its user data never had a uid, and neither has what removes it there.
        assert_eq!(
            remove("", "shop/cart"),
            Report::Removed { left: vec![] },
            "{shell}"
        );
    }
}

/// A run whose directory is incomplete has begun nothing.
#[test]
fn a_copy_counts_when_it_is_on_the_disk() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("theirs"), "theirs").unwrap();
        let remember = "mkdir -p \"$state_dir/run/keep\" \"$state_dir/found\" && keep_file \"$state_dir/run/keep\" \"$run_dir/theirs\"";
        let printed = stage.part(&format!(
            "{remember}; rm -r \"$state_dir/run/keep/set\"; restore_set \"$state_dir/run/keep\"; cat \"$run_dir/theirs\""
        ));
        assert_eq!(printed, "theirs", "{shell}");
        let failing = "flush() { false; }";
        let printed = stage.part(&format!(
            "{failing}; {remember}; commit_copies || emit failed; [ -e \"$state_dir/run/keep/paths\" ] || emit 'no list'"
        ));
        assert_eq!(printed, "failed\nno list\n", "{shell}");
    }
}
