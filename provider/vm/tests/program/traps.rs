//! Folders of the proxy's user: a broken proxy may put anything there, and root passes by.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use mesh::{ObservedVm, Seen};
use vm::program::{self, Report};

use crate::stage::{SHELLS, Stage, bundle, file};

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

/// Makes a folder as the proxy's user has it: others than root may change what is in it.
fn open_folder(stage: &Stage, name: &str) {
    fs::create_dir_all(stage.path(name)).unwrap();
    fs::set_permissions(stage.path(name), fs::Permissions::from_mode(0o777)).unwrap();
}

fn pipe(stage: &Stage, name: &str) {
    let made = Command::new("mkfifo").arg(stage.path(name)).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_look_follows_no_link_of_the_proxys_and_reads_no_pipe_nor_a_huge_file() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let path = stage.path("certs/root.pem");
        fs::write(stage.path("shadow"), "of root").unwrap();
        open_folder(&stage, "certs");

        symlink(stage.path("shadow"), &path).unwrap();
        assert_eq!(seen(&stage, shell), Seen::Odd("is a link".into()));
        fs::remove_file(&path).unwrap();

        pipe(&stage, "certs/root.pem");
        assert_eq!(seen(&stage, shell), Seen::Odd("is no file".into()));
        fs::remove_file(&path).unwrap();

        fs::create_dir(&path).unwrap();
        assert_eq!(seen(&stage, shell), Seen::Odd("is no file".into()));
        fs::remove_dir(&path).unwrap();

        File::create(&path).unwrap().set_len(300 << 20).unwrap();
        let why = "has 314572800 bytes, which is too much to be read";
        assert_eq!(seen(&stage, shell), Seen::Odd(why.into()), "{shell}");

        fs::write(&path, "root").unwrap();
        let found = seen(&stage, shell);
        assert!(
            matches!(&found, Seen::File { content, .. } if content == b"root"),
            "{shell}: {found:?}"
        );
    }
}

/// Whoever may exchange a folder chooses all that is in it.
#[test]
fn a_look_reads_nothing_in_a_folder_that_others_can_exchange() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        open_folder(&stage, "open");
        fs::create_dir(stage.path("theirs")).unwrap();
        fs::write(stage.path("theirs/root.pem"), "of root").unwrap();
        let why = Seen::Odd("is in a folder that others than root can exchange".into());
        symlink(stage.path("theirs"), stage.path("open/certs")).unwrap();
        symlink(stage.path("open/certs"), stage.path("certs")).unwrap();
        assert_eq!(seen(&stage, shell), why, "{shell}");

        // A link that root made, in a folder of root's, is root's will.
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
            let own = "journalctl() { :; }; lines() { cat; }; last_words; identity";
            let said = stage.part(own);
            assert!(said.starts_with("now error new\n"), "{shell}: {said}");
            assert!(!said.contains("certificate"), "{shell}: {said}");
            assert!(!said.contains("of root"), "{shell}: {said}");
        }
    }
}

/// A link that comes between the look and the opening is not followed either, and a pipe ends soon.
#[test]
fn what_is_exchanged_while_it_is_opened_is_not_read() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        open_folder(&stage, "certs");
        fs::write(stage.path("shadow"), "of root").unwrap();
        symlink(stage.path("shadow"), stage.path("certs/late")).unwrap();
        // The look has seen a file.
        let own = "odd() { return 1; }; closed() { [ \"$1\" != \"$CERTS\" ]; }
            opened=$CERTS/late; open cat || say refused";
        assert_eq!(stage.part(own), "refused\n", "{shell}");
        fs::write(stage.path("certs/file"), "its own").unwrap();
        let own = "opened=$CERTS/file; open cat || say refused";
        assert_eq!(stage.part(own), "its own", "{shell}");
    }
}
