//! Folders of the proxy's user: a broken proxy may put anything there, and root passes by.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use mesh::observed::{ObservedVm, Seen};
use vm::program::{self, Report};

use crate::stage::{SHELLS, Stage, bundle, file, owner, patience};

/// Returns what `observe` finds where the bundle has one file, `certs/root.pem`.
fn observed(stage: &Stage, shell: &str) -> ObservedVm {
    let bundle = bundle(vec![file(&stage.path("certs/root.pem"), b"root")]);
    match stage.call(program::observe(&bundle), "").report() {
        Report::Observed(vm) => vm,
        other => panic!("{shell}: {other:?}"),
    }
}

fn seen(stage: &Stage, shell: &str) -> Seen {
    let mut vm = observed(stage, shell);
    let path = stage.path("certs/root.pem").display().to_string();
    vm.files.remove(&path).unwrap()
}

/// Makes a directory as the proxy's user has it: others than root may change what is in it.
fn open_folder(stage: &Stage, name: &str) {
    fs::create_dir_all(stage.path(name)).unwrap();
    fs::set_permissions(stage.path(name), fs::Permissions::from_mode(0o777)).unwrap();
}

fn pipe(stage: &Stage, name: &str) {
    let made = Command::new("mkfifo").arg(stage.path(name)).status();
    assert!(made.unwrap().success());
}

#[test]
fn observe_follows_no_link_of_the_proxy_and_reads_no_pipe_or_huge_file() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let path = stage.path("certs/root.pem");
        fs::write(stage.path("shadow"), "of root").unwrap();
        open_folder(&stage, "certs");

        symlink(stage.path("shadow"), &path).unwrap();
        assert_eq!(seen(&stage, shell), Seen::Odd("is a link".into()));
        fs::remove_file(&path).unwrap();

        pipe(&stage, "certs/root.pem");
        assert_eq!(
            seen(&stage, shell),
            Seen::Odd("is not a regular file".into())
        );
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        assert_eq!(
            seen(&stage, shell),
            Seen::Odd("is not a regular file".into())
        );
        fs::remove_dir(&path).unwrap();

        File::create(&path).unwrap().set_len(300 << 20).unwrap();
        let why = "has 314572800 bytes, which is too large to read";
        assert_eq!(seen(&stage, shell), Seen::Odd(why.into()), "{shell}");

        fs::write(&path, "root").unwrap();
        let found = seen(&stage, shell);
        assert!(
            matches!(&found, Seen::File { content, .. } if content == b"root"),
            "{shell}: {found:?}"
        );
    }
}

/// Who can replace a directory controls all that is in it.
#[test]
fn observe_reads_nothing_in_a_directory_that_others_can_replace() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        open_folder(&stage, "open");
        fs::create_dir(stage.path("theirs")).unwrap();
        fs::write(stage.path("theirs/root.pem"), "of root").unwrap();
        let why = Seen::Odd("is in a directory that others than root can replace".into());
        symlink(stage.path("theirs"), stage.path("open/certs")).unwrap();
        symlink(stage.path("open/certs"), stage.path("certs")).unwrap();
        assert_eq!(seen(&stage, shell), why, "{shell}");

        // A link that root made in a directory of root's is intended.
        fs::remove_file(stage.path("certs")).unwrap();
        symlink("theirs", stage.path("certs")).unwrap();
        let found = seen(&stage, shell);
        assert!(matches!(found, Seen::File { .. }), "{shell}: {found:?}");
    }
}

#[test]
fn a_certificate_and_a_log_are_read_by_the_same_rule() {
    for shell in SHELLS {
        for trap in ["link", "pipe"] {
            let stage = Stage::new(shell);
            fs::write(stage.path("shadow"), "now error of root").unwrap();
            for (folder, name) in [("certs", "cert-chain.pem"), ("log", "istio.err.log")] {
                open_folder(&stage, folder);
                let name = format!("{folder}/{name}");
                match trap {
                    "link" => symlink(stage.path("shadow"), stage.path(&name)).unwrap(),
                    _ => pipe(&stage, &name),
                }
            }
            fs::write(stage.path("log/istio.log"), "old\nnow error new\n").unwrap();
            fs::write(stage.path("sizes"), "0\n4\n").unwrap();
            let own =
                "journalctl() { :; }; journal_lines() { cat; }; journal_last_words; send_identity";
            let printed = stage.part(own);
            assert!(printed.starts_with("now error new\n"), "{shell}: {printed}");
            assert!(!printed.contains("certificate"), "{shell}: {printed}");
            assert!(!printed.contains("of root"), "{shell}: {printed}");
        }
    }
}

/// A link that appears between the check and the opening is not followed either, and a pipe times out.
#[test]
fn a_file_that_is_replaced_while_it_is_opened_is_not_read() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        open_folder(&stage, "certs");
        fs::write(stage.path("shadow"), "of root").unwrap();
        symlink(stage.path("shadow"), stage.path("certs/late")).unwrap();
        // The check has seen a file.
        let own =
            "why_unreadable() { return 1; }; root_controls_dir() { [ \"$1\" != \"$CERTS_DIR\" ]; }
            open_safely \"$CERTS_DIR/late\" cat || emit refused";
        assert_eq!(stage.part(own), "refused\n", "{shell}");
        fs::write(stage.path("certs/file"), "its own").unwrap();
        let own = "open_safely \"$CERTS_DIR/file\" cat || emit refused";
        assert_eq!(stage.part(own), "its own", "{shell}");
    }
}

/// The directories above a token are the proxy's: a link there would lead root elsewhere.
#[test]
fn a_token_goes_through_no_link_and_comes_back_through_none() {
    for shell in SHELLS {
        for name in ["secrets/tokens", "secrets/tokens/istio-token"] {
            let stage = Stage::new(shell);
            open_folder(&stage, "secrets");
            fs::create_dir(stage.path("theirs")).unwrap();
            fs::write(stage.path("theirs/istio-token"), "theirs").unwrap();
            fs::write(stage.path("token"), "new").unwrap();
            fs::create_dir_all(stage.path("run")).unwrap();
            fs::write(stage.path("run/token-before"), "old").unwrap();
            let trap = stage.path(name);
            let target = stage.path(if name.ends_with("tokens") {
                "theirs"
            } else {
                "theirs/istio-token"
            });
            for (own, content) in [("do_token", "new"), ("undo_token", "old")] {
                let _ = fs::remove_dir_all(stage.path("secrets/tokens"));
                fs::create_dir_all(trap.parent().unwrap()).unwrap();
                symlink(&target, &trap).unwrap();
                stage.part(own);
                let theirs = fs::read_to_string(stage.path("theirs/istio-token")).unwrap();
                assert_eq!(theirs, "theirs", "{shell}: {own} through {name}");
                let folder = stage.path("secrets/tokens").symlink_metadata().unwrap();
                assert!(folder.is_dir(), "{shell}: {own} through {name}");
                let token = stage.path("secrets/tokens/istio-token");
                assert!(token.symlink_metadata().unwrap().is_file(), "{shell}");
                assert_eq!(fs::read_to_string(token).unwrap(), content, "{shell}");
            }
        }
    }
}

/// Keeps the proxy's key.
const KEEP: &str = "mkdir -p \"$state_dir/run/keep\" && keep_file \"$state_dir/run/keep\" \"$CERTS_DIR/key.pem\" && commit_copies";

/// In a directory of the proxy's: placing, keeping and restoring a file.
#[test]
fn what_is_put_kept_and_brought_back_goes_through_no_link_of_the_proxys() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::write(stage.path("new"), "new").unwrap();
        fs::write(stage.path("shadow"), "of root").unwrap();
        open_folder(&stage, "certs");
        let path = stage.path("certs/key.pem");
        let content = |shell: &str| {
            assert!(path.symlink_metadata().unwrap().is_file(), "{shell}");
            let shadow = fs::read_to_string(stage.path("shadow")).unwrap();
            assert_eq!(shadow, "of root", "{shell}");
            fs::read_to_string(&path).unwrap()
        };
        for trap in ["certs/key.pem", "certs/key.pem.mesh"] {
            let _ = fs::remove_file(&path);
            symlink(stage.path("shadow"), stage.path(trap)).unwrap();
            stage.part("put_file \"$run_dir/new\" \"$CERTS_DIR/key.pem\" istio-proxy 0644");
            assert_eq!(content(shell), "new", "{shell}: {trap}");
        }
        stage.part(KEEP);
        fs::remove_file(&path).unwrap();
        symlink(stage.path("shadow"), &path).unwrap();
        symlink(stage.path("shadow"), stage.path("certs/key.pem.mesh")).unwrap();
        stage.part("link_copy() { false; }; restore_set \"$state_dir/run/keep\"");
        assert_eq!(content(shell), "new", "{shell}");

        // What is odd is not kept, so that there is nothing of root's in what comes back.
        for trap in ["link", "pipe", "huge"] {
            fs::remove_file(&path).unwrap();
            fs::remove_dir_all(stage.path("lib")).unwrap();
            match trap {
                "link" => symlink(stage.path("shadow"), &path).unwrap(),
                "pipe" => pipe(&stage, "certs/key.pem"),
                _ => File::create(&path).unwrap().set_len(300 << 20).unwrap(),
            }
            stage.part(KEEP);
            let copy = stage
                .path("lib/mesh/run/keep/set")
                .join(path.strip_prefix("/").unwrap());
            assert!(copy.symlink_metadata().is_err(), "{shell}: {trap}");
            stage.part("restore_set \"$state_dir/run/keep\"");
            assert!(path.symlink_metadata().is_err(), "{shell}: {trap}");
            fs::write(&path, "").unwrap();
        }
    }
}

/// The proxy puts a link to a directory of root's where root is about to create a name.
#[test]
fn a_copy_is_brought_back_into_no_folder_that_a_link_leads_to() {
    let late = "as_proxy_unlocked() { [ \"$1\" = rm ] || as_proxy \"$@\"; }";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        open_folder(&stage, "certs");
        fs::create_dir(stage.path("theirs")).unwrap();
        fs::write(stage.path("certs/key.pem"), "old").unwrap();
        stage.part(KEEP);
        fs::write(stage.path("certs/key.pem"), "new").unwrap();
        symlink(stage.path("theirs"), stage.path("certs/key.pem.mesh")).unwrap();
        stage.part(&format!("{late}; restore_set \"$state_dir/run/keep\""));
        let led: Vec<_> = fs::read_dir(stage.path("theirs")).unwrap().collect();
        assert!(led.is_empty(), "{shell}: {led:?}");
        let path = stage.path("certs/key.pem");
        assert!(path.symlink_metadata().unwrap().is_file(), "{shell}");
        assert_eq!(fs::read_to_string(path).unwrap(), "old", "{shell}");
    }
}

#[test]
fn a_hosts_file_that_is_a_link_keeps_its_lines_and_stays_a_link() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("elsewhere")).unwrap();
        let target = stage.path("elsewhere/hosts");
        fs::rename(stage.path("hosts"), &target).unwrap();
        symlink("elsewhere/hosts", stage.path("hosts")).unwrap();
        fs::write(stage.path("block"), "10.0.0.1 istiod\n").unwrap();
        stage.part("write_hosts_block \"$run_dir/block\"");
        let lines = "# BEGIN mesh-vm\n10.0.0.1 istiod\n# END mesh-vm\n127.0.0.1 localhost\n";
        assert_eq!(fs::read_to_string(&target).unwrap(), lines, "{shell}");
        let link = fs::read_link(stage.path("hosts")).unwrap();
        assert_eq!(link.to_str(), Some("elsewhere/hosts"), "{shell}");
        stage.part(": >\"$run_dir/block\"; write_hosts_block \"$run_dir/block\"");
        let lines = fs::read_to_string(&target).unwrap();
        assert_eq!(lines, "127.0.0.1 localhost\n", "{shell}");

        // What others than root can exchange may become a link to anything.
        let mode = fs::Permissions::from_mode(0o777);
        fs::set_permissions(stage.path("elsewhere"), mode).unwrap();
        let own = "emit x >\"$run_dir/block\"; write_hosts_block \"$run_dir/block\" 2>/dev/null || emit refused";
        assert_eq!(stage.part(own), "refused\n", "{shell}");
        let lines = fs::read_to_string(&target).unwrap();
        assert_eq!(lines, "127.0.0.1 localhost\n", "{shell}");
    }
}

/// What a removal removes, besides directories that are empty then.
const OURS: [&str; 8] = [
    "certs/root.pem",
    "certs/key.pem",
    "log/istio.log",
    "log/istio.log.1.gz",
    "drop/mesh.conf",
    "secrets/sds",
    "secrets/tokens",
    "lib/mesh",
];

#[test]
fn files_of_others_stay_when_the_proxy_goes_and_are_reported() {
    for shell in SHELLS {
        for theirs in [true, false] {
            let stage = Stage::new(shell);
            let begin = program::bootstrap(
                &bundle(vec![file(&stage.path("certs/root.pem"), b"root")]),
                program::RunId::generate(),
                patience(),
                jiff::Timestamp::UNIX_EPOCH,
            );
            stage.call(begin, "STEPS='keep ask token place'").report();
            for folder in ["certs/app", "drop", "log", "secrets/sds"] {
                fs::create_dir_all(stage.path(folder)).unwrap();
            }
            for name in OURS.into_iter().filter(|name| name.contains('.')) {
                fs::write(stage.path(name), "").unwrap();
            }
            fs::write(stage.path("secrets/sds/socket"), "").unwrap();
            let mut left = Vec::new();
            if theirs {
                for other in [
                    "certs/app/nginx.key",
                    "log/app.log",
                    "secrets/app-password",
                    "drop/local.conf",
                ] {
                    fs::write(stage.path(other), "theirs").unwrap();
                    let reported = other.strip_suffix("/nginx.key").unwrap_or(other);
                    left.push(stage.path(reported).display().to_string());
                }
            } else {
                fs::remove_dir(stage.path("certs/app")).unwrap();
            }
            let remove = program::remove(
                &owner("uid-1", "bookinfo/ratings"),
                program::RunId::generate(),
                patience(),
            );
            let report = stage.call(remove, "").report();
            assert_eq!(report, Report::Removed { left }, "{shell}");
            for folder in ["certs", "drop", "log", "secrets"] {
                assert_eq!(stage.path(folder).exists(), theirs, "{shell}: {folder}");
            }
            for name in OURS {
                assert!(!stage.path(name).exists(), "{shell}: {name}");
            }
        }
    }
}
