//! Options of the user's ssh configuration that would weaken the proof that the user set for a hop.

use std::fs;

use vm::{Credentials, Hop, Trust, VmError};

use crate::bed::{HOST, Sshd, connect, keygen, target};
use crate::trust::certified;

/// What would let a host in that has another key than the one expected. `DIR/known` has its key.
const WEAKENING: [&str; 11] = [
    "NoHostAuthenticationForLocalhost yes",
    "StrictHostKeyChecking no",
    "StrictHostKeyChecking accept-new",
    "GlobalKnownHostsFile DIR/known",
    "UserKnownHostsFile DIR/known",
    "KnownHostsCommand DIR/prints-known",
    "VerifyHostKeyDNS yes",
    "CheckHostIP yes",
    "CanonicalizeHostname always",
    "HostKeyAlgorithms ssh-ed25519",
    "UpdateHostKeys yes",
];

#[tokio::test]
async fn no_option_of_a_configuration_file_lets_another_key_in() {
    let (sshd, other) = (Sshd::start(), Sshd::prepared(""));
    let known = format!("* {}", sshd.read("host_ed25519.pub"));
    fs::write(sshd.path("known"), known).unwrap();
    sshd.script("prints-known", "cat \"$(dirname \"$0\")/known\"");
    let key = other.read("host_ed25519.pub");
    for option in WEAKENING {
        let credentials = configured(&sshd, option);
        for trust in [
            Trust::HostKey(key.parse().unwrap()),
            Trust::KnownHosts(format!("* {key}")),
            Trust::CertificateAuthority(key.parse().unwrap()),
        ] {
            for error in refused(&sshd, &sshd.hop(trust.clone()), &credentials).await {
                assert!(
                    matches!(error.root(), VmError::HostKey { .. }),
                    "{option}, {trust:?}: {error:?}"
                );
            }
        }
    }
    assert!(!sshd.log().contains("userauth-request"), "{}", sshd.log());
}

#[tokio::test]
async fn a_host_behind_a_local_tunnel_proves_its_key_to_the_users_own_known_hosts() {
    let (sshd, other) = (Sshd::start(), Sshd::prepared(""));
    let wrong = format!("* {}", other.read("host_ed25519.pub"));
    fs::write(sshd.path("wrong"), wrong).unwrap();
    for option in [
        "NoHostAuthenticationForLocalhost yes",
        "StrictHostKeyChecking no",
    ] {
        let option = format!("UserKnownHostsFile DIR/wrong\n {option}");
        let credentials = configured(&sshd, &option);
        for error in refused(&sshd, &sshd.hop(Trust::UserConfig), &credentials).await {
            assert!(
                matches!(error.root(), VmError::HostKey { .. }),
                "{option}: {error:?}"
            );
        }
    }
    assert!(!sshd.log().contains("userauth-request"), "{}", sshd.log());
}

#[tokio::test]
async fn a_configuration_file_puts_no_other_host_in_the_place_of_the_one_that_is_named() {
    let sshd = certified("host_ed25519", &["-h", "-n", "another.example"]);
    let (ca, key) = (sshd.read("ca.pub"), sshd.read("host_ed25519.pub"));
    fs::write(sshd.path("included"), "HostKeyAlias another.example\n").unwrap();
    for option in [
        "HostKeyAlias another.example",
        "Include DIR/included",
        "Match exec true\n HostKeyAlias another.example",
    ] {
        let credentials = configured(&sshd, option);
        for trust in [
            Trust::CertificateAuthority(ca.parse().unwrap()),
            Trust::KnownHosts(format!("@cert-authority another.example {ca}")),
            Trust::KnownHosts(format!("another.example {key}")),
        ] {
            for error in refused(&sshd, &sshd.hop(trust.clone()), &credentials).await {
                assert!(
                    matches!(error.root(), VmError::Configuration { cause } if cause.contains("HostKeyAlias another.example")),
                    "{option}, {trust:?}: {error:?}"
                );
            }
        }
        // A pinned key has no name.
        let session = connect(&sshd.target(), &credentials).await;
        assert!(session.is_ok(), "{option}: {session:?}");
    }
    // The name of the configuration itself, as a tunnel to that host needs it.
    let credentials = configured(&sshd, &format!("HostKeyAlias {HOST}"));
    let known = sshd.hop(Trust::KnownHosts(format!("{HOST} {key}")));
    let session = connect(&target(known), &credentials).await;
    assert!(session.is_ok(), "{session:?}");
}

#[tokio::test]
async fn a_sha1_signature_of_an_authority_proves_nothing() {
    let mut sshd = Sshd::prepared("HostCertificate DIR/host_ed25519-cert.pub");
    keygen(&["-t", "rsa", "-f", "ca"], sshd.dir.path());
    // ssh-keygen takes `-t` for the kind of signature here.
    let sign = [
        "-N",
        "",
        "-s",
        "ca",
        "-t",
        "ssh-rsa",
        "-I",
        "vm",
        "-h",
        "-n",
        HOST,
        "host_ed25519.pub",
    ];
    keygen(&sign, sshd.dir.path());
    assert!(sshd.launch(&["/usr/sbin/sshd"]), "{}", sshd.log());
    let ca = sshd.read("ca.pub");
    let credentials = configured(&sshd, "CASignatureAlgorithms +ssh-rsa");
    for trust in [
        Trust::CertificateAuthority(ca.parse().unwrap()),
        Trust::KnownHosts(format!("@cert-authority * {ca}")),
    ] {
        for error in refused(&sshd, &sshd.hop(trust.clone()), &credentials).await {
            assert!(
                matches!(error.root(), VmError::HostKey { .. }),
                "{trust:?}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_vm_behind_our_bastion_is_reached_whatever_jump_its_configuration_file_has() {
    let bastion = Sshd::start();
    let vm = Sshd::with("ListenAddress 0.0.0.0");
    fs::copy(vm.path("user.pub"), bastion.path("authorized_keys")).unwrap();
    let mut behind = target(vm.target().vm);
    behind.vm.host = "127.0.0.2".into();
    behind.bastions = vec![bastion.target().vm];
    for option in [
        "ProxyUseFdpass yes",
        "ProxyJump nowhere.invalid",
        "ProxyCommand false",
    ] {
        let option = format!("\nHost {}\n {option}", behind.vm.host);
        let session = connect(&behind, &configured(&vm, &option)).await;
        assert!(session.is_ok(), "{option}: {session:?}");
    }
}

/// Credentials with a configuration file that has these options for every host.
fn configured(sshd: &Sshd, options: &str) -> Credentials {
    let dir = sshd.dir.path().display().to_string();
    let text = format!("Host *\n {}\n", options.replace("DIR", &dir));
    fs::write(sshd.path("ssh_config"), text).unwrap();
    Credentials {
        config_file: Some(sshd.path("ssh_config")),
        ..sshd.credentials()
    }
}

/// Returns the errors of `hop` as the VM and as the bastion before one.
async fn refused(sshd: &Sshd, hop: &Hop, credentials: &Credentials) -> [VmError; 2] {
    let mut behind = target(sshd.target().vm);
    behind.bastions = vec![hop.clone()];
    let as_vm = connect(&target(hop.clone()), credentials).await;
    let as_bastion = connect(&behind, credentials).await;
    [as_vm.unwrap_err(), as_bastion.unwrap_err()]
}
