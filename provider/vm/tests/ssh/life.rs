//! How long processes and secrets live, and what happens while sshd comes and goes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vm::{Bastions, Session, Target, VmError, Wait};

use crate::bed::{
    HOST, Sshd, briefly, command_of, connect, descendants, free_port, identity, processes, runs,
    target, until, user,
};

#[tokio::test]
async fn nothing_listening_is_an_error_at_once() {
    let sshd = Sshd::prepared("");
    let error = sshd.connect().await.unwrap_err();
    let login = format!("{}@{HOST} port {}", user(), sshd.port);
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {login}: Connection refused")
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_reported() {
    let sshd = Sshd::prepared("");
    let mut hop = sshd.target().vm;
    hop.host = "no-such-host.invalid".into();
    let error = connect(&target(hop), &sshd.credentials())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VmError::Connect { cause, .. } if cause.contains("resolve")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    let sshd = Sshd::prepared("");
    let _silent = TcpListener::bind((HOST, sshd.port)).unwrap();
    let target = Target {
        connect_timeout: Duration::from_secs(1),
        ..sshd.target()
    };
    let error = connect(&target, &sshd.credentials()).await.unwrap_err();
    assert!(
        matches!(&error, VmError::Connect { cause, .. } if cause.contains("timed out")),
        "{error:?}"
    );
    // However long an attempt may take: whoever waits has objects to clear away then.
    let target = Target {
        connect_timeout: Duration::from_hours(1),
        ..target
    };
    let soon = Wait::Until(Instant::now() + Duration::from_secs(1));
    let (credentials, bastions) = (sshd.credentials(), Bastions::default());
    let waiting = Session::connect(&target, &credentials, &bastions, soon);
    let error = tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(&error, VmError::Connect { cause, .. } if cause.contains("the time was over")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_vm_that_boots_is_waited_for() {
    let mut sshd = Sshd::prepared("");
    // First it closes every connection, then it refuses them, then it accepts them.
    let booting = TcpListener::bind((HOST, sshd.port)).unwrap();
    let (target, credentials) = (sshd.target(), sshd.credentials());
    let connecting = tokio::spawn(async move {
        let wait = Wait::Until(Instant::now() + Duration::from_mins(1));
        Session::connect(&target, &credentials, &Bastions::default(), wait).await
    });
    let booting = tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            drop(booting.accept().unwrap());
        }
    });
    booting.await.unwrap();
    assert!(sshd.launch(&["/usr/sbin/sshd"]), "{}", sshd.log());
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn waiting_ends_in_time_with_the_last_cause_and_a_wrong_host_key_is_not_waited_for() {
    let (off, on) = (Sshd::prepared(""), Sshd::start());
    let attempt = |target: Target, wait| {
        let credentials = on.credentials();
        async move {
            Session::connect(&target, &credentials, &Bastions::default(), wait)
                .await
                .unwrap_err()
        }
    };
    let error = attempt(
        off.target(),
        Wait::Until(Instant::now() + Duration::from_secs(1)),
    )
    .await;
    assert!(matches!(error, VmError::Connect { .. }), "{error:?}");
    let hour = Wait::Until(Instant::now() + Duration::from_hours(1));
    let error = attempt(target(on.hop(off.pinned("ed25519"))), hour).await;
    assert!(matches!(error, VmError::HostKey { .. }), "{error:?}");
}

#[tokio::test]
async fn a_user_whose_key_arrives_late_is_waited_for() {
    let sshd = Sshd::start();
    fs::write(sshd.path("authorized_keys"), "").unwrap();
    let (target, credentials) = (sshd.target(), sshd.credentials());
    let connecting = tokio::spawn(async move {
        let wait = Wait::Until(Instant::now() + Duration::from_mins(1));
        Session::connect(&target, &credentials, &Bastions::default(), wait).await
    });
    until("a refused login", || {
        sshd.log().contains("Failed publickey") || sshd.log().contains("Connection closed")
    })
    .await;
    fs::copy(sshd.path("user.pub"), sshd.path("authorized_keys")).unwrap();
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_private_key_is_on_no_disk_and_in_no_process_list() {
    let sshd = Sshd::start();
    let key = sshd.read("user");
    let secret = key.lines().nth(3).unwrap().to_owned();
    let port = free_port();
    let mut off = sshd.target();
    off.vm.port = Some(port);
    let credentials = sshd.credentials();
    // One session stands, the other goes on trying: its agent holds the key.
    let session = sshd.connect().await.unwrap();
    let connecting = tokio::spawn(async move {
        let wait = Wait::Until(Instant::now() + Duration::from_mins(10));
        Session::connect(&off, &credentials, &Bastions::default(), wait).await
    });
    let public = sshd.read("user.pub").split(' ').nth(1).unwrap().to_owned();
    until("the agent has the key", || search_files(&public) > 0).await;
    assert_eq!(search_files(&secret), 0);
    assert!(folders().all(|dir| {
        fs::metadata(dir).map_or(true, |dir| dir.permissions().mode() & 0o777 == 0o700)
    }));
    for pid in processes() {
        for name in ["cmdline", "environ"] {
            // Some end during the search.
            let content = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            assert!(!contains(&content, &secret), "{name} of {pid}");
        }
    }
    connecting.abort();
    session.close().await;
    until("the agent's folder is gone", || search_files(&public) == 0).await;
}

#[tokio::test]
async fn every_process_and_file_of_ours_goes_when_we_are_killed() {
    let way = [Sshd::start(), Sshd::start()];
    fs::copy(
        way[0].path("authorized_keys"),
        way[1].path("authorized_keys"),
    )
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let setting = format!(
        "{}\n{}\n{}",
        way[0].path("user").display(),
        spell(&way[0]),
        spell(&way[1])
    );
    let mut child = again("life::held_open", home.path())
        .env(HELD, setting)
        .spawn()
        .unwrap();
    // Two connections and the channel between them; an agent, and a login with the channel that it serves.
    until("all of them run", || {
        let names = descendants(child.id()).into_iter().filter_map(command_of);
        let ours = names.filter(|name| ["ssh", "ssh-agent"].contains(&name.as_str()));
        home.path().join("ready").exists() && ours.count() == 6
    })
    .await;
    let family = descendants(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    until("they are gone", || family.iter().all(|pid| !runs(*pid))).await;
    let left = || {
        fs::read_dir(home.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
    };
    until("their files are gone", || left().eq(["ready"])).await;
    until("the hosts see nobody", || {
        way.iter().all(|sshd| sshd.processes().len() == 1)
    })
    .await;
}

/// Not a test by itself: the process that the test above kills.
#[tokio::test]
async fn held_open() {
    let Ok(setting) = std::env::var(HELD) else {
        return;
    };
    let lines: Vec<&str> = setting.lines().collect();
    let credentials = identity(&fs::read_to_string(lines[0]).unwrap());
    let hop = |text: &str| {
        let (port, key) = text.split_once(' ').unwrap();
        let trust = vm::Trust::HostKey(key.parse().unwrap());
        vm::Hop {
            host: HOST.into(),
            port: Some(port.parse().unwrap()),
            user: None,
            trust,
        }
    };
    let reached = Target {
        bastions: vec![hop(lines[1])],
        ..target(hop(lines[2]))
    };
    let bastions = Bastions::default();
    let _held = Session::connect(&reached, &credentials, &bastions, briefly())
        .await
        .unwrap();
    fs::write(std::env::temp_dir().join("ready"), "").unwrap();
    // It takes connections and says nothing.
    let silent = TcpListener::bind((HOST, 0)).unwrap();
    let mut off = Target {
        connect_timeout: Duration::from_mins(10),
        ..reached
    };
    off.vm.port = Some(silent.local_addr().unwrap().port());
    let _ = Session::connect(&off, &credentials, &bastions, briefly()).await;
}

const HELD: &str = "VM_TEST_HELD_OPEN";

/// This test program, for one test only.
pub(crate) fn again(test: &str, temporary: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", temporary);
    command.stdout(Stdio::null());
    command
}

pub(crate) fn spell(sshd: &Sshd) -> String {
    format!("{} {}", sshd.port, sshd.read("host_ed25519.pub").trim())
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let ours = all.filter(|entry| entry.file_name().to_string_lossy().starts_with("mesh-ssh-"));
    ours.map(|entry| entry.path())
}

/// How many files of ours hold the text.
fn search_files(text: &str) -> usize {
    let files = folders().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    files
        .filter(|file| fs::read(file.path()).is_ok_and(|content| contains(&content, text)))
        .count()
}

fn contains(content: &[u8], text: &str) -> bool {
    content
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
