//! Files that others own, changed or laid a trap in.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use vm::program;

use crate::stage::{SHELLS, Stage, bundle, owner, patience};

/// Puts `line` into the hosts file with this content, and returns what became of it.
fn hosts(stage: &Stage, content: &str, line: &str) -> String {
    fs::write(stage.path("hosts"), content).unwrap();
    fs::write(stage.path("block"), line).unwrap();
    stage.part("write_hosts_block \"$run_dir/block\"");
    fs::read_to_string(stage.path("hosts")).unwrap()
}

#[test]
fn a_hosts_file_that_others_cut_keeps_their_lines_whole() {
    let block = "# BEGIN mesh-vm\n10.0.0.2 istiod\n# END mesh-vm\n";
    let cases = [
        ("127.0.0.1 a", "127.0.0.1 a"),
        (
            "127.0.0.1 a\n# BEGIN mesh-vm\n10.0.0.9 b\n10.0.0.8 c",
            "127.0.0.1 a\n10.0.0.9 b\n10.0.0.8 c",
        ),
        (
            "# BEGIN mesh-vm\n10.0.0.9 b\n# BEGIN mesh-vm\n10.0.0.1 istiod\n# END mesh-vm\n10.0.0.8 c\n",
            "10.0.0.9 b\n10.0.0.8 c\n",
        ),
        ("10.0.0.8 c\n# END mesh-vm\n", "10.0.0.8 c\n# END mesh-vm\n"),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (before, theirs) in cases {
            let after = hosts(&stage, before, "10.0.0.2 istiod\n");
            assert_eq!(after, format!("{block}{theirs}"), "{shell}: {before}");
            assert_eq!(
                stage.part("hosts_block"),
                "10.0.0.2 istiod\n",
                "{shell}: {before}"
            );
            assert_eq!(hosts(&stage, &after, ""), theirs, "{shell}: {before}");
        }
        fs::write(stage.path("hosts"), "# BEGIN mesh-vm\n10.0.0.9 b\n").unwrap();
        assert_eq!(
            stage.part("hosts_block"),
            "",
            "{shell}: not ours without its end"
        );
    }
}

/// As on a disk that is full once more by then. A removal writes no block, so that nothing else would fail.
#[test]
fn a_hosts_file_that_cannot_be_written_whole_stays_as_it_is() {
    let before = "127.0.0.1 a\n# BEGIN mesh-vm\n10.0.0.9 b\n# END mesh-vm\n";
    let full = "awk() { case $* in *delete*) command awk \"$@\" | head -c 5; return 2 ;; esac; command awk \"$@\"; }";
    for shell in SHELLS {
        for line in ["", "10.0.0.2 istiod\n"] {
            let stage = Stage::new(shell);
            fs::write(stage.path("hosts"), before).unwrap();
            fs::write(stage.path("block"), line).unwrap();
            let printed = stage.part(&format!(
                "{full}; write_hosts_block \"$run_dir/block\" || emit failed"
            ));
            let after = fs::read_to_string(stage.path("hosts")).unwrap();
            assert_eq!(
                (printed.as_str(), after.as_str()),
                ("failed\n", before),
                "{shell}"
            );
            assert!(!stage.path("hosts.mesh").exists(), "{shell}");
        }
    }
}

/// Some directories are the proxy's: a broken proxy could put links there for root to write through.
#[test]
fn a_link_that_the_proxy_left_is_replaced_and_never_written_through() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let theirs = stage.path("shadow");
        fs::write(stage.path("new"), "new").unwrap();
        for trap in ["certs/root.pem.mesh", "certs/root.pem"] {
            fs::create_dir_all(stage.path("certs")).unwrap();
            fs::write(&theirs, "theirs").unwrap();
            symlink(&theirs, stage.path(trap)).unwrap();
            stage.part("put_file \"$run_dir/new\" \"$run_dir/certs/root.pem\" root 0644");
            placed(&stage, &theirs, "new", shell);
            symlink(&theirs, stage.path("certs/root.pem.mesh")).unwrap();
            let kept = "mkdir -p \"$state_dir/run/keep\" && keep_file \"$state_dir/run/keep\" \"$run_dir/certs/root.pem\" && commit_copies";
            stage.part(&format!(
                "{kept}; emit changed >\"$run_dir/certs/root.pem\"; restore_set \"$state_dir/run/keep\""
            ));
            placed(&stage, &theirs, "new", shell);
            fs::remove_dir_all(stage.path("certs")).unwrap();
            fs::remove_dir_all(stage.path("lib")).unwrap();
        }
    }
}

fn placed(stage: &Stage, theirs: &Path, content: &str, shell: &str) {
    assert_eq!(fs::read_to_string(theirs).unwrap(), "theirs", "{shell}");
    let path = stage.path("certs/root.pem");
    assert!(path.symlink_metadata().unwrap().is_file(), "{shell}");
    assert_eq!(fs::read_to_string(path).unwrap(), content, "{shell}");
    assert!(!stage.path("certs/root.pem.mesh").exists(), "{shell}");
}

#[test]
fn the_proxys_logs_are_bounded_while_it_is_there_and_those_of_before_are_not_copied() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        fs::create_dir(stage.path("rotate.d")).unwrap();
        fs::create_dir(stage.path("log")).unwrap();
        fs::write(stage.path("log/istio.log"), "of before").unwrap();
        let run = vm::program::RunId::generate;
        let begin = program::bootstrap(
            &bundle(vec![]),
            run(),
            patience(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        stage.call(begin, "STEPS='keep place'").report();
        let rules = fs::read_to_string(stage.path("rotate.d/mesh-vm")).unwrap();
        assert!(
            rules.contains("/log/*.log {") && rules.contains("copytruncate"),
            "{shell}: {rules}"
        );
        let kept = stage.path("lib/mesh/found/set");
        let copy = kept.join(stage.path("log/istio.log").strip_prefix("/").unwrap());
        assert!(!copy.exists(), "{shell}");

        fs::write(stage.path("log/istio.err.log"), "of the proxy").unwrap();
        let remove = program::remove(&owner("uid-1", "bookinfo/ratings"), run(), patience());
        stage.call(remove, "").report();
        assert!(!stage.path("rotate.d/mesh-vm").exists(), "{shell}");
        assert!(!stage.path("log/istio.err.log").exists(), "{shell}");
        let log = fs::read_to_string(stage.path("log/istio.log")).unwrap();
        assert_eq!(log, "of before", "{shell}");
    }
}

/// As on a machine that labels its files: a moved file keeps the label of the place where it was created.
#[test]
fn a_placed_file_has_the_label_of_its_path() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let restorecon = stage.path("restorecon");
        fs::write(&restorecon, "#!/bin/sh\necho \"$@\" >>\"$0.called\"\n").unwrap();
        fs::set_permissions(&restorecon, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(stage.path("new"), "new").unwrap();
        let (root, placed) = (stage.root.path().display(), stage.path("below/placed"));
        stage.part(&format!(
            "PATH={root}:$PATH; put_file \"$run_dir/new\" {} root 0644",
            placed.display()
        ));
        let called = fs::read_to_string(stage.path("restorecon.called")).unwrap();
        assert_eq!(called, format!("{}\n", placed.display()), "{shell}");
        fs::write(&restorecon, "#!/bin/sh\nexit 1\n").unwrap();
        let printed = stage.part(&format!(
            "PATH={root}:$PATH; put_file \"$run_dir/new\" {} root 0644 && emit placed",
            placed.display()
        ));
        assert_eq!(printed, "placed\n", "{shell}: a label is no reason to fail");
    }
}

/// uutils 0.0.17 has an `install -d` that leaves the directory to root, and an `install` that leaves the file's group.
#[test]
fn directories_of_the_proxy_belong_to_it_whatever_install_does() {
    let own = "install() { emit \"install $*\" >>\"$run_dir/owners\"; }
        chown() { shown=$(pwd -P); emit \"$1 ${shown##*/} ${2##*/}\" >>\"$run_dir/owners\"; }
        cd /; grant_dirs \"$LOG_DIR\" \"$CERTS_DIR\" && put_file \"$run_dir/hosts\" \"$run_dir/placed\" istio-proxy 0640 && stat -c %a \"$LOG_DIR\" \"$run_dir/placed\"";
    for shell in SHELLS {
        let stage = Stage::new(shell);
        assert_eq!(stage.part(own), "755\n640\n", "{shell}");
        let owners = fs::read_to_string(stage.path("owners")).unwrap();
        let expected = [
            "istio-proxy:istio-proxy log .",
            "istio-proxy:istio-proxy certs .",
            "istio-proxy:istio-proxy / placed.mesh",
        ];
        let owners: Vec<_> = owners
            .lines()
            .map(|line| line.replace("  ", " / "))
            .collect();
        assert_eq!(owners, expected, "{shell}");
    }
}

/// A link of root's, as to a disk for logs, is followed; one that somebody else can put there gives nothing away.
#[test]
fn a_directory_for_the_proxy_is_created_through_no_link_of_others() {
    for shell in SHELLS {
        for (mode, given, printed) in [
            (0o755, "there\n", "made\n"),
            (
                0o777,
                "",
                "cannot be given to the proxy's user as a directory\n",
            ),
        ] {
            let stage = Stage::new(shell);
            for folder in ["open", "there"] {
                fs::create_dir(stage.path(folder)).unwrap();
            }
            std::os::unix::fs::symlink(stage.path("there"), stage.path("open/link")).unwrap();
            let access = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(stage.path("open"), access).unwrap();
            let own = "chown() { shown=$(pwd -P); emit \"${shown##*/}\" >>\"$run_dir/owners\"; }
                grant_dirs \"$run_dir/open/link\" 2>&1 && emit made; true";
            let expected = stage.part(own);
            assert!(expected.ends_with(printed), "{shell}: {mode:o}: {expected}");
            let owners = fs::read_to_string(stage.path("owners"));
            assert_eq!(owners.unwrap_or_default(), given, "{shell}: {mode:o}");
        }
    }
}

/// uutils 0.0.17 has a `mkdir -p` that gives an existing directory the mode of a new one.
#[test]
fn a_directory_that_is_there_keeps_its_mode_whatever_mkdir_does() {
    let own = "mkdir() { command mkdir \"$@\" && for f in \"$@\"; do [ ! -d \"$f\" ] || chmod 0755 \"$f\"; done; }
        command mkdir -p -m 0700 \"$run_dir/kept\"; put_file \"$run_dir/hosts\" \"$run_dir/kept/placed\" root 0600 && stat -c %a \"$run_dir/kept\"";
    for shell in SHELLS {
        assert_eq!(Stage::new(shell).part(own), "700\n", "{shell}");
    }
}
