//! How a host proves that it is the right one.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ssh_key::PublicKey;

use super::Hop;
use crate::KeyError;

/// How a host proves that it is the right one. Nothing is ever trusted on first use, except by
/// [`Trust::Insecure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By this very key.
    HostKey(HostKey),
    /// By a `known_hosts` text: hashed names, patterns, `@cert-authority` and `@revoked` included.
    KnownHosts(String),
    /// By a certificate of this authority, valid now and for the host's name as configured.
    CertificateAuthority(HostKey),
    /// As the user's own ssh configuration and `known_hosts` files say.
    UserConfig,
    /// Not at all: whoever is in between can read the token and run programs as root on the VM.
    Insecure,
}

/// A public key of a host or of a certificate authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey(PublicKey);

/// The name under which a pinned key is kept, so that neither ports nor patterns matter.
const PINNED: &str = "pinned";

impl HostKey {
    /// Returns the type and the SHA-256 fingerprint, as OpenSSH writes them.
    pub fn fingerprint(&self) -> String {
        format!(
            "{} {}",
            self.0.algorithm(),
            self.0.fingerprint(ssh_key::HashAlg::Sha256)
        )
    }

    /// Signature algorithms with which this type of key proves itself.
    fn algorithms(&self) -> String {
        match self.0.algorithm() {
            ssh_key::Algorithm::Rsa { .. } => "rsa-sha2-512,rsa-sha2-256".into(),
            other => other.to_string(),
        }
    }
}

impl FromStr for HostKey {
    type Err = KeyError;

    /// Parses `ssh-ed25519 AAAA… comment`, or the line of `ssh-keyscan`, which begins with the host. The comment is
    /// optional and forgotten, and so is the host: the key is pinned for one host already.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::HostKey {
                found: "…".into(),
                cause: "this is a private key".into(),
            });
        }
        let mut key = parse(text).map_err(|cause| KeyError::HostKey {
            found: text.chars().take(60).collect(),
            cause,
        })?;
        key.set_comment("");
        Ok(Self(key))
    }
}

fn parse(text: &str) -> Result<PublicKey, String> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let &[line] = lines.as_slice() else {
        return Err(match lines.len() {
            0 => "there is no key".to_owned(),
            several => format!("there are {several} lines; choose one, best that of ssh-ed25519"),
        });
    };
    let key = PublicKey::from_openssh(line);
    let of_host = || {
        let (host, rest) = line.split_once(char::is_whitespace)?;
        let key = PublicKey::from_openssh(rest.trim_start()).ok();
        // A marker of known_hosts gives the key another meaning.
        key.filter(|_| !host.starts_with('@'))
    };
    let explain = |error: ssh_key::Error| {
        what_else(line).map_or_else(|| error.to_string(), ToOwned::to_owned)
    };
    key.or_else(|error| of_host().ok_or_else(|| explain(error)))
}

/// Returns what a text is that is often taken for a host key.
fn what_else(line: &str) -> Option<&'static str> {
    if line.contains("SHA256:") || line.contains("MD5:") {
        return Some("this is a fingerprint, and the key does not follow from it");
    }
    if line.starts_with('@') {
        return Some("this is a line of known_hosts with a marker; use known_hosts or host_ca");
    }
    let extension = Path::new(line).extension();
    let is_public_key = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("pub"));
    let is_path = line.starts_with(['/', '~', '.']) || is_public_key;
    is_path.then_some("this is a path; use file(\"…\") to read it")
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A parsed key can always be written again.
        f.write_str(self.0.to_openssh().map_err(|_| fmt::Error)?.trim_end())
    }
}

impl Trust {
    /// Returns the `known_hosts` file that OpenSSH shall go by; `None`: the user's own.
    pub(super) fn known_hosts(&self) -> Option<String> {
        match self {
            Self::HostKey(key) => Some(format!("{PINNED} {key}\n")),
            Self::KnownHosts(text) => Some(format!("{}\n", text.replace("\r\n", "\n"))),
            Self::CertificateAuthority(key) => Some(format!("@cert-authority * {key}\n")),
            Self::Insecure => Some(String::new()),
            Self::UserConfig => None,
        }
    }

    /// Returns OpenSSH's options for it, besides where the `known_hosts` file lies.
    pub(super) fn options(&self) -> Vec<String> {
        let strict = "StrictHostKeyChecking=yes".to_owned();
        match self {
            Self::HostKey(key) => {
                // Asks for the pinned type: a host shows the key that it prefers otherwise.
                vec![
                    strict,
                    format!("HostKeyAlias={PINNED}"),
                    format!("HostKeyAlgorithms={}", key.algorithms()),
                ]
            }
            // Without this a host that has no certificate would be compared as a plain key.
            Self::CertificateAuthority(_) => {
                vec![strict, format!("HostKeyAlgorithms={CERTIFICATES}")]
            }
            Self::KnownHosts(_) | Self::UserConfig => vec![strict],
            Self::Insecure => vec!["StrictHostKeyChecking=no".into()],
        }
    }

    /// Returns what is expected of `hop`, for an error.
    pub(super) fn expectation(&self, hop: &Hop) -> String {
        match self {
            Self::HostKey(key) => key.fingerprint(),
            Self::KnownHosts(_) => {
                format!("a key that the given known_hosts has for {}", listed(hop))
            }
            Self::CertificateAuthority(key) => {
                format!(
                    "a certificate for {} by the authority {}",
                    hop.host,
                    key.fingerprint()
                )
            }
            Self::UserConfig => {
                format!("a key that the user's known_hosts has for {}", listed(hop))
            }
            Self::Insecure => "any key".into(),
        }
    }
}

/// Every host certificate that OpenSSH knows, the SHA-1 ones left out.
const CERTIFICATES: &str = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,\
    ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521-cert-v01@openssh.com,\
    rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com";

/// How `known_hosts` writes a host: with its port if that is not 22.
fn listed(hop: &Hop) -> String {
    if hop.port() == 22 {
        hop.host.clone()
    } else {
        format!("[{}]:{}", hop.host, hop.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7sJxUMxAcWZLuHn2+cRUnMqYvEkiGZHGKQ8qyLVHtr";

    #[test]
    fn a_host_key_loses_its_comment_only() {
        for comment in ["root@vm", "root@vm.example.pub", "was SHA256:p2QAMX"] {
            let parsed: HostKey = format!("{KEY} {comment}\n").parse().unwrap();
            assert_eq!(parsed.to_string(), KEY);
        }
        let parsed: HostKey = KEY.parse().unwrap();
        assert_eq!(parsed, KEY.parse().unwrap());
    }

    #[test]
    fn a_line_of_ssh_keyscan_is_a_host_key() {
        for line in [
            format!("10.0.0.20 {KEY}"),
            format!("# 10.0.0.20:22 SSH-2.0-OpenSSH_10.0\n[10.0.0.20]:2222 {KEY}\n"),
            format!("|1|Zm9vYmFyYmF6cXV4cXV1eAo=|Zm9vYmFyYmF6cXV4cXV1eAo= {KEY} vm"),
        ] {
            let parsed: HostKey = line.parse().unwrap();
            assert_eq!(parsed.to_string(), KEY, "{line}");
        }
    }

    #[test]
    fn what_is_no_host_key_is_refused_and_private_keys_are_not_repeated() {
        for (text, cause) in [
            ("", "there is no key"),
            ("AAAA", ""),
            ("ssh-ed25519", ""),
            ("vm ssh-ed25519 AAAA", ""),
            (&format!("{KEY}\nvm {KEY}"), "there are 2 lines"),
            (
                "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
                "fingerprint",
            ),
            (
                "256 SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFW vm (ED25519)",
                "fingerprint",
            ),
            ("/etc/ssh/ssh_host_ed25519_key.pub", "path"),
            ("~/vm.pub", "path"),
            ("vm.pub", "path"),
            (&format!("@cert-authority * {KEY}"), "host_ca"),
        ] {
            let error = text.parse::<HostKey>().unwrap_err();
            assert!(matches!(error, KeyError::HostKey { .. }), "{text:?}");
            assert!(error.to_string().contains(cause), "{text:?}: {error}");
        }
        let error = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0"
            .parse::<HostKey>()
            .unwrap_err();
        assert!(!error.to_string().contains("BEGIN"), "{error}");
    }
}
