//! Ways through one or more bastions.

use std::fs::File;
use std::time::Duration;

use tokio::task::JoinSet;
use vm::{Bastions, Credentials, Hop, Session, Target, VmError};

use crate::bed::{
    Sshd, briefly, command_of, descendants, free_port, identity, target, until, user,
};

#[tokio::test]
async fn a_vm_is_reached_through_a_chain_of_bastions() {
    let way = [Sshd::start(), Sshd::start(), Sshd::start()];
    let [first, second, vm] = &way;
    let session = through(&[first, second], vm.target().vm, &all(&way)).await;
    assert!(session.is_ok(), "{session:?}");
    assert_eq!(way.each_ref().map(Sshd::logins), [1, 1, 1]);
    assert!(
        !first.log().contains(&format!("port {}", vm.port)),
        "{}",
        first.log()
    );
}

#[tokio::test]
async fn sessions_share_one_connection_to_their_bastion_which_stays_for_the_next() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let (bastions, credentials) = (Bastions::default(), all(&way));
    let target = behind(&[bastion], vm.target().vm);
    let connect = || Session::connect(&target, &credentials, &bastions, briefly());
    let (a, b, c) = tokio::join!(connect(), connect(), connect());
    let sessions = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!((bastion.logins(), vm.logins()), (1, 3));
    for session in sessions {
        session.close().await;
    }
    connect().await.unwrap().close().await;
    assert_eq!(bastion.logins(), 1);
    let idle = 1;
    assert!(bastion.processes().len() > idle);
    drop(bastions);
    until("the bastion's connection ends", || {
        bastion.processes().len() == idle
    })
    .await;
}

/// As many VMs as 100 addresses of one sshd, whose own `MaxStartups` the handshakes must not reach.
#[tokio::test]
async fn a_hundred_vms_at_once_pass_a_bastion_and_no_handshake_is_refused() {
    const DEFAULT: &str = "MaxStartups 10:30:100\nMaxSessions 10";
    let bastion = Sshd::with(DEFAULT);
    // No login succeeds before all have arrived, as on a slow network.
    let late = format!(
        "AuthorizedKeysFile none\nAuthorizedKeysCommandUser {}\n\
         AuthorizedKeysCommand /usr/bin/flock -s DIR/gate cat DIR/authorized_keys",
        user()
    );
    let vms = Sshd::with(&format!("{DEFAULT}\n{late}\nListenAddress 0.0.0.0"));
    let gate = File::create(vms.path("gate")).unwrap();
    gate.lock().unwrap();
    let way = [bastion, vms];
    let (bastions, credentials) = (Bastions::default(), all(&way));
    let [bastion, vms] = way;
    let mut connecting = JoinSet::new();
    for at in 1..=100 {
        let mut target = behind(&[&bastion], vms.target().vm);
        target.vm.host = format!("127.0.1.{at}");
        target.connect_timeout = Duration::from_mins(1);
        let (bastions, credentials) = (bastions.clone(), credentials.clone());
        connecting.spawn(async move {
            Session::connect(&target, &credentials, &bastions, briefly()).await
        });
    }
    let come = || vms.log().matches("Connection from").count();
    until("all want to log in, and some may try", || {
        let ours = descendants(std::process::id()).into_iter();
        let agents = ours
            .filter_map(command_of)
            .filter(|name| name == "ssh-agent");
        agents.count() >= 100 && come() > 0
    })
    .await;
    // Every other attempt has been made before this last one is logged in.
    Sshd::start().connect().await.unwrap();
    assert!(come() < 10, "{} at once", come());
    drop(gate);
    let sessions = connecting.join_all().await;
    let failed: Vec<_> = sessions.iter().filter_map(|s| s.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    assert_eq!((bastion.logins(), vms.logins()), (1, 100));
    for sshd in [&bastion, &vms] {
        assert!(!sshd.log().contains("MaxStartups"), "{}", sshd.log());
    }
}

#[tokio::test]
async fn a_bastion_that_refuses_is_tried_once_for_all_that_wait() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let bastions = Bastions::default();
    let mut connecting = JoinSet::new();
    for _ in 0..10 {
        // The VM's own key is no key of the bastion's.
        let (target, credentials) = (behind(&[bastion], vm.target().vm), vm.credentials());
        let bastions = bastions.clone();
        connecting.spawn(async move {
            Session::connect(&target, &credentials, &bastions, briefly()).await
        });
    }
    for session in connecting.join_all().await {
        let error = session.unwrap_err();
        assert!(matches!(error.root(), VmError::Auth { .. }), "{error:?}");
    }
    assert_eq!(bastion.log().matches("Connection from").count(), 1);
    // A later call tries again.
    std::fs::copy(vm.path("user.pub"), bastion.path("authorized_keys")).unwrap();
    let target = behind(&[bastion], vm.target().vm);
    let session = Session::connect(&target, &vm.credentials(), &bastions, briefly()).await;
    assert!(session.is_ok(), "{session:?}");
}

#[tokio::test]
async fn a_bastion_that_died_gets_a_new_connection() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let (bastions, credentials) = (Bastions::default(), all(&way));
    let target = behind(&[bastion], vm.target().vm);
    let first = Session::connect(&target, &credentials, &bastions, briefly())
        .await
        .unwrap();
    for pid in &bastion.processes()[1..] {
        crate::bed::signal("KILL", *pid);
    }
    until("the session is gone", || !first.is_alive()).await;
    Session::connect(&target, &credentials, &bastions, briefly())
        .await
        .unwrap();
    assert_eq!(bastion.logins(), 2);
}

#[tokio::test]
async fn a_wrong_key_of_the_bastion_is_refused_before_the_vm_is_contacted() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    // The keys of the two are swapped.
    let mut target = behind(&[bastion], vm.target().vm);
    target.bastions[0].trust = vm.pinned("ed25519");
    target.vm.trust = bastion.pinned("ed25519");
    let error = Session::connect(&target, &all(&way), &Bastions::default(), briefly())
        .await
        .unwrap_err();
    assert!(matches!(&error, VmError::Bastion { .. }), "{error:?}");
    assert!(matches!(error.root(), VmError::HostKey { .. }), "{error:?}");
    assert!(
        !bastion.log().contains("userauth-request"),
        "{}",
        bastion.log()
    );
    assert!(!vm.log().contains("Connection from"), "{}", vm.log());
}

#[tokio::test]
async fn a_wrong_key_of_the_vm_behind_a_bastion_is_refused() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let error = through(&[bastion], vm.hop(bastion.pinned("ed25519")), &all(&way))
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::HostKey { .. }), "{error:?}");
    assert!(!vm.log().contains("userauth-request"), "{}", vm.log());
}

#[tokio::test]
async fn a_wrong_key_on_any_hop_of_a_chain_is_refused_there() {
    let way = [Sshd::start(), Sshd::start(), Sshd::start()];
    let wrong = Sshd::prepared("").pinned("ed25519");
    let credentials = all(&way);
    for at in 0..way.len() {
        let mut hops = way.each_ref().map(|sshd| sshd.target().vm);
        hops[at].trust = wrong.clone();
        let [first, second, vm] = hops;
        let mut reached = target(vm);
        reached.bastions = vec![first, second];
        let logins = way.each_ref().map(Sshd::logins);
        let seen = way.each_ref().map(offered);
        let error = Session::connect(&reached, &credentials, &Bastions::default(), briefly())
            .await
            .unwrap_err();
        assert!(matches!(error.root(), VmError::HostKey { .. }), "{error:?}");
        for (number, sshd) in way.iter().enumerate() {
            assert_eq!(sshd.logins() - logins[number], usize::from(number < at));
            assert_eq!(
                offered(sshd) > seen[number],
                number < at,
                "{number} of {at}"
            );
        }
    }
}

/// How often a login was begun, which is the first that an sshd learns of us.
fn offered(sshd: &Sshd) -> usize {
    sshd.log().matches("userauth-request").count()
}

#[tokio::test]
async fn the_hop_that_fails_is_named() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let mut off = vm.target().vm;
    off.port = Some(free_port());
    let error = through(&[bastion], off.clone(), &all(&way))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VmError::Connect { host, cause } if host.ends_with(&format!(" port {}", off.port.unwrap())) && cause.contains("bastion")),
        "{error:?}"
    );

    let mut target = behind(&[bastion], vm.target().vm);
    target.bastions[0].port = off.port;
    let error = Session::connect(&target, &all(&way), &Bastions::default(), briefly())
        .await
        .unwrap_err();
    assert!(
        matches!(error.root(), VmError::Connect { cause, .. } if cause == "Connection refused"),
        "{error:?}"
    );

    // Logged in at the bastion, refused by the VM.
    std::fs::copy(vm.path("user.pub"), vm.path("authorized_keys")).unwrap();
    let error = through(&[bastion], vm.target().vm, &bastion.credentials())
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::Auth { .. }), "{error:?}");
}

fn behind(bastions: &[&Sshd], vm: Hop) -> Target {
    let bastions = bastions.iter().map(|sshd| sshd.target().vm).collect();
    Target {
        bastions,
        ..target(vm)
    }
}

async fn through(
    bastions: &[&Sshd],
    vm: Hop,
    credentials: &Credentials,
) -> Result<Session, VmError> {
    Session::connect(
        &behind(bastions, vm),
        credentials,
        &Bastions::default(),
        briefly(),
    )
    .await
}

/// Lets one key in everywhere.
fn all(way: &[Sshd]) -> Credentials {
    for sshd in way {
        std::fs::copy(way[0].path("user.pub"), sshd.path("authorized_keys")).unwrap();
    }
    identity(&way[0].read("user"))
}
