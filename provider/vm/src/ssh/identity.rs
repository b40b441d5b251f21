//! Private keys as users give them, made ready for OpenSSH's agent in memory.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};

use super::sealed;
use crate::KeyError;

/// A private key that OpenSSH's agent takes, with its certificate if there is one.
#[derive(Clone)]
pub struct Identity {
    /// Decrypted, with Unix line ends.
    key: SecretString,
    certificate: Option<String>,
}

impl Identity {
    /// Makes an identity of what the user gave: a private key in OpenSSH's or PEM form, the
    /// passphrase if it is encrypted, and the text of a `-cert.pub` file.
    pub fn parse(
        private_key: &SecretString,
        passphrase: Option<&SecretString>,
        certificate: Option<&str>,
    ) -> Result<Self, KeyError> {
        // Windows editors and some secret stores change line ends; a lost last one breaks OpenSSH.
        let text: SecretString =
            format!("{}\n", private_key.expose_secret().replace('\r', "").trim()).into();
        Ok(Self {
            key: usable(&text, passphrase)?,
            certificate: certificate.map(parse_certificate).transpose()?,
        })
    }

    pub(super) fn key(&self) -> &SecretString {
        &self.key
    }

    pub(super) fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.key.expose_secret() == other.key.expose_secret()
            && self.certificate == other.certificate
    }
}

fn usable(
    text: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<SecretString, KeyError> {
    let pem = text.expose_secret();
    let first = pem.lines().next().unwrap_or_default();
    if first.starts_with("-----BEGIN ") && pem.lines().count() < 3 {
        return Err(KeyError::Damaged("it has no line breaks".into()));
    }
    match first {
        "-----BEGIN OPENSSH PRIVATE KEY-----" => openssh(text, passphrase),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----" => Err(KeyError::EncryptedPem),
        _ if pem.contains("Proc-Type: 4,ENCRYPTED") => Err(KeyError::EncryptedPem),
        "-----BEGIN PRIVATE KEY-----" => Ok(ed25519_of_pkcs8(pem).unwrap_or_else(|| text.clone())),
        _ if first.starts_with("-----BEGIN ") && first.ends_with(" PRIVATE KEY-----") => {
            Ok(text.clone())
        }
        _ if first.starts_with("PuTTY-User-Key-File") => Err(KeyError::Putty),
        _ if is_public(first) => Err(KeyError::Public),
        _ => Err(KeyError::NotAKey),
    }
}

fn is_public(line: &str) -> bool {
    line.contains("BEGIN PUBLIC KEY")
        || line.contains("BEGIN SSH2 PUBLIC KEY")
        || ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|start| line.starts_with(start))
}

fn openssh(
    text: &SecretString,
    passphrase: Option<&SecretString>,
) -> Result<SecretString, KeyError> {
    match PrivateKey::from_openssh(text.expose_secret()) {
        Ok(key) if key.is_encrypted() => {
            let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
            sealed::open(&key, passphrase)
        }
        Ok(_) => Ok(text.clone()),
        Err(_) if sealed::is_whole(text.expose_secret()) => Ok(text.clone()),
        Err(error) => Err(damaged(&error)),
    }
}

fn written(key: &PrivateKey) -> Result<SecretString, KeyError> {
    Ok(key
        .to_openssh(LineEnding::LF)
        .map_err(|error| damaged(&error))?
        .as_str()
        .into())
}

/// OpenSSH before 9.6 does not read Ed25519 keys in PKCS#8, the form of Terraform's `tls_private_key`.
/// Returns `None` for every other key: those it reads.
fn ed25519_of_pkcs8(pem: &str) -> Option<SecretString> {
    use base64::Engine as _;
    /// RFC 8410: version 0, algorithm 1.3.101.112, an octet string of 32 bytes in one of 34.
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];

    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(body)
        .ok()?;
    let seed: &[u8; 32] = der.strip_prefix(&PREFIX)?.try_into().ok()?;
    written(&PrivateKey::from(Ed25519Keypair::from_seed(seed))).ok()
}

/// Only the form is checked here: what it certifies is sshd's to judge.
fn parse_certificate(text: &str) -> Result<String, KeyError> {
    use base64::Engine as _;
    let line = text.trim();
    let refuse = |cause: &str| Err(KeyError::Certificate(cause.into()));
    let mut words = line.split(' ');
    let (Some(kind), Some(body)) = (words.next(), words.next()) else {
        return refuse("it has no key");
    };
    if line.lines().count() != 1 || !kind.ends_with("-cert-v01@openssh.com") {
        return refuse("its type does not end with -cert-v01@openssh.com");
    }
    match base64::engine::general_purpose::STANDARD.decode(body) {
        // It begins with its type, after four bytes of length.
        Ok(wire) if wire.get(4..4 + kind.len()) == Some(kind.as_bytes()) => Ok(format!("{line}\n")),
        _ => refuse("its body is damaged"),
    }
}

fn damaged(error: &ssh_key::Error) -> KeyError {
    KeyError::Damaged(error.to_string())
}
