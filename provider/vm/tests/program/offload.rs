//! The archive and user data: a bootstrap without SSH.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use mesh::workload::Interception;
use secrecy::{ExposeSecret as _, SecretString};
use vm::program::offload::Origin;
use vm::program::{self, Offload, RunId, Token};

use crate::stage::{SHELLS, Stage, TOKEN, bundle, file, patience};

fn secret() -> SecretString {
    TOKEN.into()
}

fn enclosed(bundle: &mesh::desired::Bundle) -> Vec<u8> {
    let offload = Offload::new(bundle, Token::Enclosed(&secret()));
    offload.archive().unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn an_archive_joins_by_the_same_program_and_takes_the_machine_out_again() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let placed = stage.path("placed/it's here");
        let archive = enclosed(&bundle(vec![file(&placed, b"what\nthe bundle has")]));
        let install = stage.unpack(&archive, "STEPS='keep ask token place'");
        let (joined, printed) = stage.install(&install, &[]);
        assert!(
            joined && printed.contains("is a member of the mesh"),
            "{shell}: {printed}"
        );
        assert_eq!(text(&placed), "what\nthe bundle has", "{shell}");
        assert_eq!(
            text(&stage.path("secrets/tokens/istio-token")),
            TOKEN,
            "{shell}"
        );
        assert!(!printed.contains(TOKEN), "{shell}: {printed}");
        assert!(!stage.path("carried/token").exists(), "{shell}: used up");

        let (removed, printed) = stage.install(&install, &["remove"]);
        assert!(
            removed && printed.contains("out of the mesh"),
            "{shell}: {printed}"
        );
        assert!(!placed.exists(), "{shell}");
    }
}

/// Returns what is in the archive, by the names of the files.
pub(crate) fn files_of(offload: &Offload) -> BTreeMap<String, Vec<u8>> {
    let archive = offload.archive().unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(&archive[..]));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    });
    entries.collect()
}

#[test]
fn an_archive_carries_the_data_that_ssh_would() {
    let carried = bundle(vec![file(Path::new("/etc/a"), b"b")]);
    let offload = Offload::new(&carried, Token::Enclosed(&secret()));
    let data = lines(std::str::from_utf8(&files_of(&offload)["join.data"]).unwrap());
    let sent = program::bootstrap(
        &carried,
        RunId::generate(),
        patience(),
        Timestamp::UNIX_EPOCH,
    );
    let mut sent = lines(
        String::from_utf8(sent.stdin())
            .unwrap()
            .split_once('\n')
            .unwrap()
            .1,
    );
    for of_the_moment in ["run", "now", "end"] {
        assert!(sent.remove(of_the_moment).is_some(), "{of_the_moment}");
        assert!(!data.contains_key(of_the_moment), "{of_the_moment}");
    }
    let names = |data: &BTreeMap<String, String>| data.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&data), names(&sent));
    let differ = data.iter().filter(|(key, value)| sent[*key] != **value);
    let differ: Vec<_> = differ.map(|(key, _)| key.as_str()).collect();
    assert!(
        differ.iter().all(|key| key.starts_with("wait.")),
        "{differ:?}"
    );
}

fn lines(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    text.lines().map(pair).collect()
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_only_the_token_differs() {
    let carried = bundle(vec![file(Path::new("/etc/a"), b"b")]);
    assert_eq!(enclosed(&carried), enclosed(&carried));
    let stage = Stage::new("dash");
    stage.unpack(&enclosed(&carried), "");
    let list = std::process::Command::new("tar")
        .args(["--numeric-owner", "--full-time", "--utc", "-tvzf"])
        .arg(stage.path("carried.tar.gz"))
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for line in list.lines() {
        let modes = ["-rwx------", "-rw-------"];
        assert!(modes.contains(&line.split(' ').next().unwrap()), "{line}");
        assert!(
            line.contains(" 0/0 ") && line.contains(" 1970-01-01 00:00:00 "),
            "{line}"
        );
    }
    let other = SecretString::from("eyJhbGciOi.another.c2ln");
    let [one, two] = [&secret(), &other].map(|token| {
        let stage = Stage::new("dash");
        let archive = Offload::new(&carried, Token::Enclosed(token)).archive();
        stage.unpack(&archive.unwrap(), "");
        ["install.sh", "mesh-vm.sh", "join.data", "leave.data"].map(|name| {
            text(&stage.path("carried").join(name)).replace(stage.root.path().to_str().unwrap(), "")
        })
    });
    assert_eq!(one, two);
    let command = || Offload::new(&carried, Token::Command("cat /token")).user_data();
    assert_eq!(command(), command());
}

#[test]
fn a_token_is_fetched_by_the_users_command_when_the_program_wants_it() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let command = format!(
            "cat {}/its-token # it's \"mine\"\n",
            stage.root.path().display()
        );
        let offload = Offload::new(&bundle(vec![]), Token::Command(&command));
        // Where the program puts the refreshing is the machine's own.
        let install = stage.unpack(
            &offload.archive().unwrap(),
            "put_file() { case $2 in \"${run_dir%/run/*}\"*) mkdir -p \"${2%/*}\" && cp \"$1\" \"$2\" ;; *) mkdir -p \"${run_dir%/run/*}/put\" && cp \"$1\" \"${run_dir%/run/*}/put/${2##*/}\" ;; esac; }\nkeep_file() { :; }\nSTEPS='keep ask token place'",
        );
        let (joined, printed) = stage.install(&install, &[]);
        assert!(
            !joined
                && printed.contains("there is no token")
                && printed.contains("as it was before"),
            "{shell}: {printed}"
        );
        fs::write(stage.path("its-token"), TOKEN).unwrap();
        let (joined, printed) = stage.install(&install, &["join", "1"]);
        assert!(joined, "{shell}: {printed}");
        assert_eq!(
            text(&stage.path("secrets/tokens/istio-token")),
            TOKEN,
            "{shell}"
        );
        assert_eq!(text(&stage.path("put/token-command")), command, "{shell}");
        assert!(
            text(&stage.path("put/token.conf"))
                .contains("Wants=mesh-vm-token.service mesh-vm-token.timer"),
            "{shell}"
        );
    }
}

#[test]
fn new_rules_are_confirmed_by_the_archive_itself() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let mut carried = bundle(vec![]);
        carried.proxy.interception = Interception::Redirect;
        let install = stage.unpack(&enclosed(&carried), "STEPS='keep ask token place'");
        let (joined, printed) = stage.install(&install, &[]);
        assert!(joined, "{shell}: {printed}");
        assert_eq!(
            printed.matches("  place").count(),
            1,
            "{shell}: reported twice"
        );
    }
}

#[test]
fn a_failure_is_reported_and_undone() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let placed = stage.path("placed");
        let archive = enclosed(&bundle(vec![file(&placed, b"new")]));
        let install = stage.unpack(
            &archive,
            "do_ready() { emit 'it does not start' >&2; false; }\njournal_last_words() { :; }\njournal_failing_hop() { journal \"bad dns $(printf istiod | encode)\"; }\nSTEPS='keep ask token place ready'",
        );
        let (joined, printed) = stage.install(&install, &[]);
        assert!(!joined, "{shell}: {printed}");
        for word in [
            "failed: ready",
            "undoing: place",
            "dns: istiod",
            "as it was before",
        ] {
            assert!(printed.contains(word), "{shell}: {word} not in {printed}");
        }
        assert!(!placed.exists(), "{shell}");
        assert!(stage.path("carried/token").exists(), "{shell}: kept");
    }
}

#[test]
fn cloud_init_writes_the_same_files_and_joins() {
    let carried = bundle(vec![file(Path::new("/etc/a"), b"b: \"c\"\n\n# d\n")]);
    let secret = secret();
    for token in [
        Token::Command("echo \"\u{7f}\" | cat\n"),
        Token::Enclosed(&secret),
    ] {
        let offload = Offload::new(&carried, token);
        let text = offload.user_data();
        let packed = STANDARD.decode(offload.user_data_base64()).unwrap();
        let mut unpacked = String::new();
        GzDecoder::new(&packed[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        let document: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
        let written = document["write_files"].as_array().unwrap();
        // The token is private, and among the files of the archive, too.
        let enclosed = written
            .iter()
            .find(|file| file["path"] == "/var/lib/mesh-vm/token");
        let enclosed = enclosed.map(|file| file["content"].as_str().unwrap().trim_end());
        assert_eq!(
            enclosed,
            matches!(token, Token::Enclosed(_)).then(|| secret.expose_secret())
        );
        let others = written
            .iter()
            .filter(|file| file["path"] != "/var/lib/mesh-vm/token");
        let mut files = files_of(&offload);
        files.remove("token");
        assert_eq!(others.clone().count(), files.len());
        for file in others {
            let path = file["path"].as_str().unwrap();
            let name = path.strip_prefix("/var/lib/mesh-vm/").unwrap();
            let content = &files[name];
            assert_eq!(file["permissions"], "0600", "{name}");
            let text = file["content"].as_str().unwrap();
            let bytes = if file["encoding"] == "b64" {
                STANDARD.decode(text).unwrap()
            } else {
                text.as_bytes().to_vec()
            };
            if ["install.sh", "mesh-vm.sh"].contains(&name) {
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!(program::packed(&text), text, "{name}");
            } else {
                assert_eq!(bytes, *content, "{name}");
            }
        }
        let run = serde_json::json!([["sh", "/var/lib/mesh-vm/install.sh", "join", "20"]]);
        assert_eq!(document["runcmd"], run);
    }
}

#[test]
fn a_machine_without_a_known_address_finds_its_own() {
    let stub = "ip() { case $4 in 10.0.0.1) emit '10.0.0.1 via 10.0.0.254 dev eth0 src 10.0.0.7 uid 0' ;; *) return 1 ;; esac; }";
    for shell in SHELLS {
        for (hosts, address) in [(Some("10.0.0.1 istiod"), "10.0.0.7"), (None, "")] {
            let stage = Stage::new(shell);
            let placed = stage.path("placed");
            let mut carried = bundle(vec![file(&placed, b"A='b c'\nISTIO_SVC_IP=''\nZ=1\n")]);
            carried.finds_address = true;
            carried.hosts_line = hosts.map(str::to_owned);
            let install = stage.unpack(
                &enclosed(&carried),
                &format!("{stub}\nSTEPS='stage keep ask token place'"),
            );
            let (joined, printed) = stage.install(&install, &[]);
            assert_eq!(joined, !address.is_empty(), "{shell}: {printed}");
            if joined {
                let expected = format!("A='b c'\nISTIO_SVC_IP={address}\nZ=1\n");
                assert_eq!(text(&placed), expected, "{shell}");
            } else {
                assert!(printed.contains("no route"), "{shell}: {printed}");
            }
        }
    }
}

/// Whatever fetches a token goes with the archive that brought it, and comes back with it.
#[test]
fn files_that_a_set_has_no_more_go_and_come_back_when_it_fails() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let [stays, goes] = ["placed/stays", "placed/it's gone"].map(|name| stage.path(name));
        let both = bundle(vec![file(&stays, b"1"), file(&goes, b"1")]);
        let one = bundle(vec![file(&stays, b"2")]);
        let run = |bundle: &mesh::desired::Bundle, steps: &str| {
            let run = RunId::generate();
            let payload = program::bootstrap(bundle, run, patience(), Timestamp::UNIX_EPOCH);
            stage.call(payload, steps).report();
            (text(&stays), goes.exists())
        };
        let steps = "STEPS='keep place'";
        let fails = "STEPS='keep place late'\ndo_late() { false; }";
        assert_eq!(run(&both, steps), ("1".into(), true), "{shell}");
        assert_eq!(run(&one, fails), ("1".into(), true), "{shell}");
        assert_eq!(run(&one, steps), ("2".into(), false), "{shell}");
        assert_eq!(run(&both, steps), ("1".into(), true), "{shell}");
    }
}

#[test]
fn an_archive_names_its_owner_and_nothing_else_does() {
    let archive = enclosed(&bundle(vec![]));
    let origin = Origin::of(&archive).unwrap();
    assert_eq!(origin.owner.to_string(), "bookinfo/ratings");
    assert_eq!(origin.digest, bundle(vec![]).digest().to_string());
    for other in [
        &b""[..],
        b"\x1f\x8b",
        b"owner eA==",
        &archive[..archive.len() / 2],
    ] {
        assert_eq!(Origin::of(other), None);
    }
}

/// cloud-init tries in the first boot only, which may be cut short.
#[test]
fn a_machine_that_boots_before_it_has_joined_tries_again() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let looks = "STEPS='alpha'; do_alpha() { ls \"$UNITS_DIR\" \"$UNITS_DIR/multi-user.target.wants\" >\"$state_dir/../seen\"; [ ! -e \"$state_dir/../fails\" ]; }";
        let install = stage.unpack(&enclosed(&bundle(vec![])), looks);
        let unit = "mesh-vm-join.service";
        let seen = || fs::read_to_string(stage.path("lib/seen")).unwrap();
        let there = || {
            ["units", "units/multi-user.target.wants"]
                .map(|folder| stage.path(folder).join(unit).is_file())
        };

        let (joined, printed) = stage.install(&install, &["join", "20"]);
        assert!(joined, "{shell}: {printed}");
        assert_eq!(seen().matches(unit).count(), 2, "{shell}: {}", seen());
        assert_eq!(there(), [false, false], "{shell}");
        // By hand it is tried once.
        let (joined, printed) = stage.install(&install, &[]);
        assert!(joined, "{shell}: {printed}");
        assert_eq!(seen().matches(unit).count(), 0, "{shell}: {}", seen());
    }
}

#[test]
fn a_first_boot_is_waited_for_unless_it_is_what_joins() {
    for shell in SHELLS {
        for (cgroup, waits) in [
            ("0::/user.slice/user-0.slice/session-1.scope", "300"),
            ("0::/system.slice/mesh-vm-join.service", "300"),
            ("0::/system.slice/cloud-final.service", "0"),
        ] {
            let stage = Stage::new(shell);
            let looks = "STEPS='alpha'; do_alpha() { field wait.boot >\"$state_dir/../boot\"; }";
            let install = stage.unpack(&enclosed(&bundle(vec![])), looks);
            fs::write(stage.path("cgroup"), cgroup).unwrap();
            let text = fs::read_to_string(&install).unwrap();
            let there = stage.path("cgroup").display().to_string();
            fs::write(&install, text.replace("/proc/self/cgroup", &there)).unwrap();
            let (joined, printed) = stage.install(&install, &[]);
            assert!(joined, "{shell}: {printed}");
            assert_eq!(fs::read_to_string(stage.path("lib/boot")).unwrap(), waits);
        }
    }
}

#[test]
fn the_unit_that_tries_again_calls_the_same() {
    for shell in SHELLS {
        let stage = Stage::new(shell);
        let cut = "STEPS='alpha'; do_alpha() { kill -9 \"$(cat \"$state_dir/../installer\")\"; }";
        let install = stage.unpack(&enclosed(&bundle(vec![])), cut);
        fs::create_dir_all(stage.path("lib")).unwrap();
        let text = fs::read_to_string(&install).unwrap();
        let known = format!(
            "set -u\nprintf %s $$ >{}\n",
            stage.path("lib/installer").display()
        );
        fs::write(&install, text.replacen("set -u\n", &known, 1)).unwrap();
        stage.install(&install, &["join", "20"]);
        let unit =
            fs::read_to_string(stage.path("units/multi-user.target.wants/mesh-vm-join.service"))
                .unwrap();
        let start = format!("ExecStart={shell} {} join 20\n", install.display());
        assert!(unit.ends_with(&start), "{shell}: {unit}");
        // Removed, it does not try any more.
        let (removed, printed) = stage.install(&install, &["remove"]);
        assert!(removed, "{shell}: {printed}");
        assert!(
            !stage.path("units/mesh-vm-join.service").exists(),
            "{shell}"
        );
    }
}
