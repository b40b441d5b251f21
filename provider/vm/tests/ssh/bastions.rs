//! Ways through one or more bastions.

use vm::{Bastions, Credentials, Hop, Session, Target, VmError, Wait};

use crate::bed::{Sshd, free_port, identity, target, until};

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
async fn sessions_share_one_connection_to_their_bastion_which_ends_with_the_last() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let (bastions, credentials) = (Bastions::default(), all(&way));
    let target = behind(&[bastion], vm.target().vm);
    let connect = || Session::connect(&target, &credentials, &bastions, Wait::Once);
    let (a, b, c) = tokio::join!(connect(), connect(), connect());
    let sessions = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!((bastion.logins(), vm.logins()), (1, 3));
    let idle = 1;
    assert!(bastion.processes().len() > idle);
    for session in sessions {
        session.close().await;
    }
    until("the bastion's connection ends", || {
        bastion.processes().len() == idle
    })
    .await;
    connect().await.unwrap();
    assert_eq!(bastion.logins(), 2);
}

#[tokio::test]
async fn a_bastion_that_died_is_connected_to_anew() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let (bastions, credentials) = (Bastions::default(), all(&way));
    let target = behind(&[bastion], vm.target().vm);
    let first = Session::connect(&target, &credentials, &bastions, Wait::Once)
        .await
        .unwrap();
    for pid in &bastion.processes()[1..] {
        crate::bed::signal("KILL", *pid);
    }
    until("the session is gone", || !first.is_alive()).await;
    Session::connect(&target, &credentials, &bastions, Wait::Once)
        .await
        .unwrap();
    assert_eq!(bastion.logins(), 2);
}

#[tokio::test]
async fn a_wrong_key_of_the_bastion_is_refused_and_the_vm_not_dialled() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    // The keys of the two are swapped.
    let mut target = behind(&[bastion], vm.target().vm);
    target.bastions[0].trust = vm.pinned("ed25519");
    target.vm.trust = bastion.pinned("ed25519");
    let error = Session::connect(&target, &all(&way), &Bastions::default(), Wait::Once)
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
async fn the_hop_that_fails_is_named() {
    let way = [Sshd::start(), Sshd::start()];
    let [bastion, vm] = &way;
    let mut off = vm.target().vm;
    off.port = free_port();
    let error = through(&[bastion], off.clone(), &all(&way))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VmError::Connect { port, cause, .. } if *port == off.port && cause.contains("bastion")),
        "{error:?}"
    );

    let mut target = behind(&[bastion], vm.target().vm);
    target.bastions[0].port = off.port;
    let error = Session::connect(&target, &all(&way), &Bastions::default(), Wait::Once)
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
        Wait::Once,
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
