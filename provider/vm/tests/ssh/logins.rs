//! User and port of a hop: the attribute, else the user's ssh configuration, else root and 22.

use std::fs;

use vm::{Credentials, Hop, VmError};

use crate::bed::{HOST, Sshd, connect, target, user};

/// A host of the file, with what the attributes say.
fn hop(sshd: &Sshd, host: &str, user: Option<&str>, port: Option<u16>) -> Hop {
    Hop {
        host: host.into(),
        port,
        user: user.map(str::to_owned),
        trust: sshd.pinned("ed25519"),
    }
}

fn configured(sshd: &Sshd, text: &str) -> Credentials {
    let text = text.replace("PORT", &sshd.port.to_string());
    fs::write(sshd.path("ssh config"), text).unwrap();
    Credentials {
        config_file: Some(sshd.path("ssh config")),
        ..sshd.credentials()
    }
}

/// A file that ends inside a block, and one block that counts only for a certain user.
const FILE: &str = "Host vm\n HostName 127.0.0.1\n Port PORT\n User alice\n\
    Host other\n HostName 127.0.0.1\n\
    Match user carol originalhost other\n Port PORT\n\
    Host last\n HostName 127.0.0.1\n Port PORT";

#[tokio::test]
async fn what_is_not_set_is_taken_from_the_file_and_errors_name_it() {
    let sshd = Sshd::start();
    let credentials = configured(&sshd, FILE);
    let port = sshd.port;
    // Nobody but the user of this test is let in.
    for (host, name, set, login) in [
        (
            "vm",
            None,
            None,
            format!("vm port {port} refuses user alice"),
        ),
        (
            "vm",
            Some("bob"),
            None,
            format!("vm port {port} refuses user bob"),
        ),
        (
            "vm",
            None,
            Some(1),
            "alice@vm port 1: Connection refused".into(),
        ),
        (
            "other",
            Some("carol"),
            None,
            format!("other port {port} refuses user carol"),
        ),
        (
            "other",
            Some("dave"),
            Some(port),
            format!("other port {port} refuses user dave"),
        ),
    ] {
        let error = connect(&target(hop(&sshd, host, name, set)), &credentials).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&login), "{host}, {name:?}, {set:?}: {error}");
    }
    let me = user();
    let own = hop(&sshd, "last", Some(&me), None);
    connect(&target(own), &credentials).await.unwrap();
}

/// OpenSSH prints the local user's name for it.
#[tokio::test]
async fn where_the_file_names_no_user_it_is_root_and_that_of_the_vm_for_a_bastion() {
    let sshd = Sshd::start();
    let credentials = configured(&sshd, FILE);
    let mut behind = target(hop(&sshd, "vm", None, None));
    behind.bastions = vec![hop(&sshd, "last", None, None)];
    let error = connect(&behind, &credentials).await.unwrap_err();
    let login = format!("alice@last port {}", sshd.port);
    assert!(
        matches!(&error, VmError::Bastion { host, .. } if *host == login),
        "{error:?}"
    );
    let unread = hop(&sshd, HOST, None, Some(1));
    for credentials in [credentials, sshd.credentials()] {
        let error = connect(&target(unread.clone()), &credentials).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("root@{HOST} port 1: ")), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_openssh_rejects_is_reported_by_its_own_name() {
    let sshd = Sshd::start();
    let credentials = configured(&sshd, "Host vm\n Nonsense yes\n");
    let error = connect(&target(hop(&sshd, "vm", None, None)), &credentials).await;
    let error = error.unwrap_err();
    let VmError::Configuration { cause } = &error else {
        panic!("{error:?}")
    };
    assert!(cause.contains("ssh config"), "{cause}");
    assert!(!cause.contains("mesh-ssh-"), "{cause}");
}

/// Options unknown to this client, as the connection tolerates them: OpenSSH itself goes by the first `IgnoreUnknown`.
#[tokio::test]
async fn a_file_with_options_that_the_connection_ignores_is_read() {
    let sshd = Sshd::start();
    let ignored = "IgnoreUnknown Elsewhere\nIgnoreUnknown MadeUp\nMadeUp yes\n";
    let credentials = configured(&sshd, &format!("{ignored}{FILE}"));
    let error = connect(&target(hop(&sshd, "vm", None, None)), &credentials).await;
    let error = error.unwrap_err().to_string();
    let login = format!("vm port {} refuses user alice", sshd.port);
    assert!(error.contains(&login), "{error}");
}

/// The connection takes a host by the name that it is given.
#[tokio::test]
async fn a_block_for_canonical_names_does_not_count() {
    let sshd = Sshd::start();
    let block = "CanonicalizeHostname always\nMatch canonical\n Port 1\n";
    let credentials = configured(&sshd, &format!("{block}{FILE}"));
    let error = connect(&target(hop(&sshd, "other", None, None)), &credentials).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("other port 22"), "{error}");
}
