//! Host keys, `known_hosts`, certificates, the user's configuration.

use std::fs;

use vm::{Credentials, Trust, VmError};

use crate::bed::{HOST, Sshd, connect, keygen, target};

#[tokio::test]
async fn a_pinned_key_of_any_type_is_accepted() {
    let sshd = Sshd::with("HostKey DIR/host_rsa");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let session = connect(&target(sshd.hop(sshd.pinned(kind))), &sshd.credentials()).await;
        assert!(session.is_ok(), "{kind}: {session:?}");
    }
}

#[tokio::test]
async fn a_wrong_host_key_is_refused_before_anything_of_ours_is_sent() {
    let (sshd, other) = (
        Sshd::with("HostKey DIR/host_rsa"),
        Sshd::prepared("HostKey DIR/host_rsa"),
    );
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let error = connect(&target(sshd.hop(other.pinned(kind))), &sshd.credentials())
            .await
            .unwrap_err();
        let VmError::HostKey {
            host,
            expected,
            found,
        } = error
        else {
            panic!("{kind}: {error:?}")
        };
        assert_eq!(
            host,
            format!("{}@{HOST} port {}", crate::bed::user(), sshd.port)
        );
        assert!(
            expected.ends_with(&fingerprint(&other, kind)),
            "{kind}: {expected}"
        );
        assert!(
            found.clone().unwrap().ends_with(&fingerprint(&sshd, kind)),
            "{kind}: {found:?}"
        );
    }
    assert!(!sshd.log().contains("userauth-request"), "{}", sshd.log());
    // The same words are there when somebody does log in.
    sshd.connect().await.unwrap();
    assert!(sshd.log().contains("userauth-request"));
}

#[tokio::test]
async fn an_rsa_host_key_proves_itself_with_sha2() {
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        let sshd = Sshd::with(&format!(
            "HostKey DIR/host_rsa\nHostKeyAlgorithms {algorithm}"
        ));
        let session = connect(&target(sshd.hop(sshd.pinned("rsa"))), &sshd.credentials()).await;
        assert!(session.is_ok(), "{algorithm}: {session:?}");
    }
}

#[tokio::test]
async fn a_pinned_type_that_the_host_does_not_have_is_a_wrong_key() {
    let sshd = Sshd::with("HostKeyAlgorithms ecdsa-sha2-nistp256");
    let error = sshd.connect().await.unwrap_err();
    assert!(
        matches!(&error, VmError::HostKey { found: Some(found), .. } if found.contains("ecdsa-sha2-nistp256")),
        "{error:?}"
    );
}

#[tokio::test]
async fn known_hosts_are_read_as_openssh_reads_them() {
    let sshd = Sshd::start();
    let (key, port) = (sshd.read("host_ed25519.pub"), sshd.port);
    let other = Sshd::prepared("").read("host_ed25519.pub");
    let plain = format!("[{HOST}]:{port} {key}");
    fs::write(sshd.path("known"), &plain).unwrap();
    keygen(&["-H", "-f", "known"], sshd.dir.path());
    let hashed = sshd.read("known");
    assert!(hashed.starts_with("|1|"));

    for (text, trusted) in [
        (plain.clone(), true),
        (hashed, true),
        (format!("# comment\r\n\r\n{}\r\n", plain.trim()), true),
        (format!("{HOST} {key}"), true),
        (format!("[127.0.0.*]:* {key}"), true),
        (format!("[127.0.0.2]:{port} {key}"), false),
        (format!("[{HOST}]:{port} {other}"), false),
        (format!("[127.*]:*,![{HOST}]:* {key}"), false),
        (format!("{plain}@revoked * {key}"), false),
        (String::new(), false),
    ] {
        let trust = Trust::KnownHosts(text);
        assert_eq!(is_trusted(&sshd, &trust).await, trusted, "{trust:?}");
    }
}

#[tokio::test]
async fn a_host_certificate_counts_for_its_names_and_its_time_only() {
    for (principal, validity, trusted) in [
        (HOST, "always:forever", true),
        ("another.example", "always:forever", false),
        (HOST, "19990101:20000101", false),
        (HOST, "20990101:21000101", false),
    ] {
        let sshd = certified("host_ed25519", &["-h", "-n", principal, "-V", validity]);
        let ca = sshd.read("ca.pub");
        for trust in [
            Trust::CertificateAuthority(ca.parse().unwrap()),
            Trust::KnownHosts(format!("@cert-authority * {ca}")),
        ] {
            assert_eq!(is_trusted(&sshd, &trust).await, trusted, "{trust:?}");
        }
        let foreign = Trust::CertificateAuthority(sshd.read("user.pub").parse().unwrap());
        assert!(!is_trusted(&sshd, &foreign).await, "{foreign:?}");
    }
    // The same authority may sign users: none of them is a host.
    let sshd = certified("host_ed25519", &["-n", HOST]);
    let ca = Trust::CertificateAuthority(sshd.read("ca.pub").parse().unwrap());
    assert!(!is_trusted(&sshd, &ca).await, "{ca:?}");
}

#[tokio::test]
async fn an_authority_of_known_hosts_counts_for_its_hosts_until_it_is_revoked() {
    let sshd = certified("host_ecdsa", &["-h", "-n", HOST]);
    let (ca, port) = (sshd.read("ca.pub"), sshd.port);
    let key = sshd.read("host_ecdsa.pub");
    for (text, trusted) in [
        (format!("@cert-authority [127.0.0.*]:{port} {ca}"), true),
        (format!("@cert-authority *.example {ca}"), false),
        (format!("@cert-authority * {ca}@revoked * {ca}"), false),
        (format!("@cert-authority * {ca}@revoked * {key}"), false),
    ] {
        let trust = Trust::KnownHosts(text);
        assert_eq!(is_trusted(&sshd, &trust).await, trusted, "{trust:?}");
    }
}

/// Whether a login succeeds with this trust, rather than fail for the host's key.
async fn is_trusted(sshd: &Sshd, trust: &Trust) -> bool {
    let session = connect(&target(sshd.hop(trust.clone())), &sshd.credentials()).await;
    match session {
        Ok(_) => true,
        Err(VmError::HostKey { .. }) => false,
        Err(error) => panic!("{trust:?}: {error:?}"),
    }
}

#[tokio::test]
async fn an_authority_does_not_vouch_for_a_host_without_certificate() {
    let sshd = Sshd::start();
    let own = Trust::CertificateAuthority(sshd.read("host_ed25519.pub").parse().unwrap());
    let error = connect(&target(sshd.hop(own)), &sshd.credentials())
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::HostKey { .. }), "{error:?}");
}

#[tokio::test]
async fn insecure_takes_any_key() {
    let sshd = Sshd::start();
    connect(&target(sshd.hop(Trust::Insecure)), &sshd.credentials())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_configuration_file_is_obeyed_except_where_it_would_run_or_forward_something() {
    let sshd = Sshd::start();
    let dir = sshd.dir.path().display();
    fs::write(
        sshd.path("known"),
        format!("[{HOST}]:{} {}", sshd.port, sshd.read("host_ed25519.pub")),
    )
    .unwrap();
    let config = format!(
        "Host alias\n HostName {HOST}\n Port {}\n UserKnownHostsFile {dir}/known\nHost *\n PermitLocalCommand yes\n \
         LocalCommand touch {dir}/ran\n RemoteCommand touch {dir}/ran\n ControlPath {dir}/control\n ControlMaster auto\n \
         ControlPersist yes\n ForwardAgent yes\n RequestTTY force\n LocalForward {dir}/forward {HOST}:1\n",
        sshd.port,
    );
    fs::write(sshd.path("ssh_config"), config).unwrap();
    let credentials = Credentials {
        config_file: Some(sshd.path("ssh_config")),
        ..sshd.credentials()
    };
    let mut hop = sshd.hop(Trust::UserConfig);
    (hop.host, hop.port) = ("alias".into(), None);
    let session = connect(&target(hop), &credentials).await.unwrap();
    for name in ["ran", "control", "forward"] {
        assert!(!sshd.path(name).exists(), "{name}");
    }
    session.close().await;
    assert!(!sshd.path("ran").exists());
}

/// A file that works with plain ssh works here, and none of it says who a host is that another proof was given for.
#[tokio::test]
async fn a_configuration_file_that_ignores_options_is_read_and_proves_no_host() {
    let sshd = Sshd::start();
    let (key, command) = (sshd.read("host_ed25519.pub"), sshd.path("prints-key"));
    sshd.script("prints-key", &format!("echo '* {}'", key.trim()));
    fs::write(
        sshd.path("ssh_config"),
        format!(
            "IgnoreUnknown UseKeychain,Other*\nHost *\n UseKeychain yes\n OtherOption yes\n VerifyHostKeyDNS yes\n \
             KnownHostsCommand {}\n",
            command.display()
        ),
    )
    .unwrap();
    let credentials = Credentials {
        config_file: Some(sshd.path("ssh_config")),
        ..sshd.credentials()
    };
    let known = |sshd: &Sshd| Trust::KnownHosts(format!("* {}", sshd.read("host_ed25519.pub")));
    connect(&target(sshd.hop(known(&sshd))), &credentials)
        .await
        .unwrap();
    let error = connect(&target(sshd.hop(known(&Sshd::prepared("")))), &credentials)
        .await
        .unwrap_err();
    assert!(matches!(error, VmError::HostKey { .. }), "{error:?}");
}

#[tokio::test]
async fn a_broken_configuration_file_is_reported_with_its_line() {
    let sshd = Sshd::start();
    fs::write(sshd.path("ssh_config"), "Host *\n Nonsense yes\n").unwrap();
    for file in ["ssh_config", "absent"] {
        let credentials = Credentials {
            config_file: Some(sshd.path(file)),
            ..sshd.credentials()
        };
        let error = connect(&sshd.target(), &credentials).await.unwrap_err();
        assert!(
            matches!(&error, VmError::Configuration { cause } if cause.contains(file)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn coordinates_that_ssh_could_take_for_options_are_refused() {
    let sshd = Sshd::start();
    let marker = sshd.path("ran");
    let hosts = [
        format!("-oProxyCommand=touch {}", marker.display()),
        "a b".into(),
        "$(id)".into(),
        "u@h".into(),
        String::new(),
    ];
    for host in hosts {
        let mut hop = sshd.hop(Trust::Insecure);
        hop.host.clone_from(&host);
        let error = connect(&target(hop), &sshd.credentials())
            .await
            .unwrap_err();
        assert!(
            matches!(error, VmError::Coordinate { what: "host", .. }),
            "{host}: {error:?}"
        );
    }
    for user in ["-oProxyCommand=id", "a b", "`id`", ""] {
        let mut hop = sshd.hop(Trust::Insecure);
        hop.user = Some(user.into());
        let error = connect(&target(hop), &sshd.credentials())
            .await
            .unwrap_err();
        assert!(
            matches!(error, VmError::Coordinate { what: "user", .. }),
            "{user}: {error:?}"
        );
    }
    assert!(!marker.exists());
}

/// An sshd one of whose host keys is certified by `ca`.
pub(crate) fn certified(key: &str, what: &[&str]) -> Sshd {
    let mut sshd = Sshd::prepared(&format!("HostCertificate DIR/{key}-cert.pub"));
    keygen(&["-t", "ed25519", "-f", "ca"], sshd.dir.path());
    let public = format!("{key}.pub");
    let sign = [&["-s", "ca", "-I", "vm"], what, &[&public]].concat();
    keygen(&sign, sshd.dir.path());
    assert!(sshd.launch(&["/usr/sbin/sshd"]), "{}", sshd.log());
    sshd
}

fn fingerprint(sshd: &Sshd, kind: &str) -> String {
    let line = keygen(&["-l", "-f", &format!("host_{kind}.pub")], sshd.dir.path());
    line.split(' ').nth(1).unwrap().to_owned()
}
