//! Private keys in the forms that users have them, and the user's agent.

use std::fs;

use secrecy::SecretString;
use vm::{Credentials, Identity, KeyError, VmError};

use crate::bed::{Sshd, connect, identity, keygen};

#[tokio::test]
async fn every_usual_form_of_a_key_logs_in() {
    let sshd = Sshd::start();
    let forms: [&[&str]; 7] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "2048", "-m", "PEM"],
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
        &["-t", "ecdsa", "-b", "384", "-m", "PEM"],
    ];
    for (at, form) in forms.into_iter().enumerate() {
        let key = authorized(&sshd, &format!("key{at}"), form);
        let session = connect(&sshd.target(), &identity(&key)).await;
        assert!(session.is_ok(), "{form:?}: {session:?}");
    }
}

#[tokio::test]
async fn an_ed25519_key_in_pkcs8_logs_in() {
    use base64::Engine as _;
    let sshd = Sshd::start();
    let seed = [7; 32];
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend(seed);
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    authorize(
        &sshd,
        &ssh_key::PublicKey::from(pair.public).to_openssh().unwrap(),
    );
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    connect(&sshd.target(), &identity(&pem)).await.unwrap();
}

#[tokio::test]
async fn foreign_line_ends_and_a_lost_last_one_do_no_harm() {
    let sshd = Sshd::start();
    let pem = authorized(&sshd, "pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]);
    for key in [sshd.read("user"), pem] {
        for text in [
            key.replace('\n', "\r\n"),
            key.trim().to_owned(),
            format!("\n {key}\n\n"),
        ] {
            connect(&sshd.target(), &identity(&text)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_encrypted_key_logs_in_with_its_passphrase() {
    let sshd = Sshd::start();
    let forms = [
        ["-t", "ed25519", "-Z", "aes256-ctr"],
        ["-t", "ed25519", "-Z", "aes256-gcm@openssh.com"],
        ["-b", "2048", "-Z", "aes128-cbc"],
    ];
    for (at, form) in forms.into_iter().enumerate() {
        let form = [&form[..], &["-a", "1", "-N", "open sesame"]].concat();
        let key = SecretString::from(authorized(&sshd, &format!("key{at}"), &form));
        let passphrase = SecretString::from("open sesame");
        let identity = Identity::parse(&key, Some(&passphrase), None).unwrap();
        let credentials = Credentials {
            identity: Some(identity),
            ..Credentials::default()
        };
        connect(&sshd.target(), &credentials).await.unwrap();
        let wrong = SecretString::from("open barley");
        assert_eq!(
            Identity::parse(&key, Some(&wrong), None),
            Err(KeyError::Passphrase)
        );
        assert_eq!(Identity::parse(&key, None, None), Err(KeyError::Encrypted));
    }
}

#[tokio::test]
async fn a_key_whose_number_is_short_logs_in() {
    let sshd = Sshd::start();
    authorize(&sshd, SHORT_PUBLIC);
    connect(&sshd.target(), &identity(SHORT)).await.unwrap();
    let passphrase = SecretString::from("open sesame");
    let key = SecretString::from(SHORT_ENCRYPTED);
    let identity = Identity::parse(&key, Some(&passphrase), None).unwrap();
    let credentials = Credentials {
        identity: Some(identity),
        ..Credentials::default()
    };
    connect(&sshd.target(), &credentials).await.unwrap();
}

/// An sshd that does not take SHA-1, as all of today.
#[tokio::test]
async fn an_rsa_key_signs_with_sha2() {
    let sshd = Sshd::with("PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256");
    let key = authorized(&sshd, "key", &["-t", "rsa", "-b", "2048"]);
    connect(&sshd.target(), &identity(&key)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_logs_in_where_its_authority_is_trusted() {
    let sshd = Sshd::with("TrustedUserCAKeys DIR/host_ecdsa.pub\nAuthorizedKeysFile none");
    let me = crate::bed::user();
    let rsa: &[&str] = &["-t", "rsa", "-b", "2048"];
    for (at, (kind, principal, validity, let_in)) in [
        (&["-t", "ed25519"][..], me.as_str(), "always:forever", true),
        (&["-t", "ecdsa"], &me, "always:forever", true),
        (rsa, &me, "always:forever", true),
        (rsa, &me, "19990101:20000101", false),
        (rsa, "another", "always:forever", false),
    ]
    .into_iter()
    .enumerate()
    {
        let (name, public) = (format!("key{at}"), format!("key{at}.pub"));
        keygen(&[kind, &["-f", &name]].concat(), sshd.dir.path());
        let sign = [
            "-s",
            "host_ecdsa",
            "-I",
            "me",
            "-n",
            principal,
            "-V",
            validity,
            &public,
        ];
        keygen(&sign, sshd.dir.path());
        let key = SecretString::from(sshd.read(&name));
        let certificate = sshd.read(&format!("{name}-cert.pub"));
        let identity = Identity::parse(&key, None, Some(&certificate)).unwrap();
        let credentials = Credentials {
            identity: Some(identity),
            ..Credentials::default()
        };
        match connect(&sshd.target(), &credentials).await {
            Ok(_) => assert!(let_in, "{kind:?} {principal} {validity}"),
            Err(VmError::Auth { .. }) => assert!(!let_in, "{kind:?} {principal} {validity}"),
            Err(error) => panic!("{kind:?}: {error:?}"),
        }
    }
    assert!(matches!(sshd.connect().await, Err(VmError::Auth { .. })));
}

#[test]
fn an_unusable_key_is_reported_by_its_kind() {
    let sshd = Sshd::prepared("");
    keygen(
        &[
            "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret", "-f", "pem",
        ],
        sshd.dir.path(),
    );
    let key = sshd.read("user");
    let parse = |text: &str| Identity::parse(&SecretString::from(text), None, None).unwrap_err();
    assert_eq!(parse(&sshd.read("user.pub")), KeyError::Public);
    assert_eq!(parse(&sshd.read("pem")), KeyError::EncryptedPem);
    assert_eq!(
        parse("PuTTY-User-Key-File-3: ssh-ed25519\n"),
        KeyError::Putty
    );
    assert_eq!(parse("~/.ssh/id_ed25519"), KeyError::NotAKey);
    assert_eq!(parse(""), KeyError::NotAKey);
    for broken in [&key[..key.len() / 2], &key.replace('\n', " ")] {
        assert!(
            matches!(parse(broken), KeyError::Damaged(_)),
            "{:?}",
            parse(broken)
        );
    }
    let certificate =
        Identity::parse(&SecretString::from(key), None, Some("ssh-ed25519 AAAA")).unwrap_err();
    assert!(
        matches!(certificate, KeyError::Certificate(_)),
        "{certificate:?}"
    );
}

#[tokio::test]
async fn a_pem_key_that_openssh_rejects_is_reported() {
    let sshd = Sshd::start();
    let broken = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let error = connect(&sshd.target(), &identity(broken))
        .await
        .unwrap_err();
    assert!(
        matches!(error, VmError::Key(KeyError::Refused(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_key_is_reported_with_user_key_and_methods() {
    let (sshd, other) = (Sshd::start(), Sshd::prepared(""));
    let error = connect(&sshd.target(), &other.credentials())
        .await
        .unwrap_err();
    let VmError::Auth {
        user,
        offered,
        accepted,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    let printed = keygen(&["-l", "-f", "user.pub"], other.dir.path());
    assert_eq!((user, accepted.as_str()), (crate::bed::user(), "publickey"));
    assert_eq!(
        offered,
        format!("ED25519 {}", printed.split(' ').nth(1).unwrap())
    );
}

#[tokio::test]
async fn without_credentials_nothing_is_offered() {
    let sshd = Sshd::start();
    let error = connect(&sshd.target(), &Credentials::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, VmError::Auth { offered, .. } if offered == "nothing"),
        "{error:?}"
    );
}

#[test]
fn an_identity_does_not_show_itself() {
    let sshd = Sshd::prepared("");
    let shown = format!("{:?}", sshd.credentials());
    let key = sshd.read("user");
    assert!(
        key.lines().skip(1).all(|line| !shown.contains(line)),
        "{shown}"
    );
}

fn authorized(sshd: &Sshd, name: &str, form: &[&str]) -> String {
    keygen(&[form, &["-f", name]].concat(), sshd.dir.path());
    authorize(sshd, &sshd.read(&format!("{name}.pub")));
    sshd.read(name)
}

fn authorize(sshd: &Sshd, public: &str) {
    let keys = format!("{}{public}\n", sshd.read("authorized_keys"));
    fs::write(sshd.path("authorized_keys"), keys).unwrap();
}

/// An ECDSA key made for this test: its number has 31 bytes instead of 32.
const SHORT: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQRqZYD6JA9nBdovlrn97+57+h8+bjhN
78swmUIPvqWwm+KYni+/hpZRf/WDeI0czcZOFCkTvOOoy7OE9ZcCgmYBAAAAoEOP3vdDj9
73AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGplgPokD2cF2i+W
uf3v7nv6Hz5uOE3vyzCZQg++pbCb4pieL7+GllF/9YN4jRzNxk4UKRO846jLs4T1lwKCZg
EAAAAfbRNCJWWG2vHtn4i99H/vFwKkqx531U5GdioBSRAJmgAAAAVzaG9ydAECAwQ=
-----END OPENSSH PRIVATE KEY-----
";

/// The same, encrypted.
const SHORT_ENCRYPTED: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBWe2/QVq
JaKemjLvrMnyzMAAAAAQAAAAEAAABoAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlz
dHAyNTYAAABBBGplgPokD2cF2i+Wuf3v7nv6Hz5uOE3vyzCZQg++pbCb4pieL7+GllF/9Y
N4jRzNxk4UKRO846jLs4T1lwKCZgEAAACgN08QZ2ceNehLitfnBZuyRUlyuIW29mBxkmEF
bDGEhzeW+UQg+pgi8osRAXixIdyJfEYKXFLLGd2powS728nbRh51Ss5dRavVBkZd7WNZw4
nutj9LtJ/XtI9YRgnY5jsTZAOFQA44uD7eNz3bVzpo0Vu3ss0YZszaLGh7xXd/WIfMR83+
UWZO1gY4mnoxZdcisW0whlYjq4GohVAZWMMH8Q==
-----END OPENSSH PRIVATE KEY-----
";

const SHORT_PUBLIC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGplgPokD2cF2i+Wuf3v7nv6Hz5uOE3vyzCZQg++pbCb4pieL7+GllF/9YN4jRzNxk4UKRO846jLs4T1lwKCZgE=";
