//! What can fail between this machine and a VM, and on the VM.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a VM could not be reached, or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The host or user is not valid; no connection was tried.
    #[error("{what} {found:?} is not valid: {rule}")]
    Coordinate {
        /// `host` or `user`.
        what: &'static str,
        /// As it was given.
        found: String,
        /// What it must be.
        rule: &'static str,
    },
    /// OpenSSH's client is not installed here, or cannot be started.
    #[error(
        "cannot start {program} of OpenSSH's client, which must be installed where Terraform runs"
    )]
    OpenSsh {
        /// `ssh`, `ssh-agent` or `ssh-add`.
        program: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Something on this machine failed: temporary directory, pipe, agent.
    #[error("cannot {doing} on this machine")]
    Local {
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The private key, its passphrase or its certificate cannot be used.
    #[error("cannot use the SSH identity")]
    Key(#[from] KeyError),
    /// OpenSSH rejects the configuration file, or one that it includes.
    #[error("OpenSSH rejects its configuration: {cause}")]
    Configuration {
        /// OpenSSH's words, with file and line.
        cause: String,
    },
    /// Nobody answered, or the connection was closed before the login.
    #[error("cannot connect to {host}: {cause}")]
    Connect {
        /// As `user@host port N`.
        host: String,
        /// OpenSSH's words, e.g. `Connection refused`.
        cause: String,
    },
    /// The host is not the one expected. No secret was sent.
    #[error("{host} is not trusted: expected {expected}, {}", found_key(found.as_ref()))]
    HostKey {
        /// As `user@host port N`.
        host: String,
        /// What the configured trust requires.
        expected: String,
        /// Type and SHA-256 fingerprint of the key that was shown.
        found: Option<String>,
    },
    /// The host is trusted but rejects the login.
    #[error("{host} refuses user {user}; offered: {offered}; the host accepts: {accepted}")]
    Auth {
        /// As `host port N`.
        host: String,
        /// The user's name on the host.
        user: String,
        /// Keys by type and fingerprint, or `nothing`.
        offered: String,
        /// Methods, e.g. `publickey,password`.
        accepted: String,
    },
    /// A bastion before the VM; `source` is what happened there.
    #[error("cannot connect through the bastion {host}")]
    Bastion {
        /// The bastion, as `user@host port N`.
        host: String,
        /// What happened there; shared by all VMs behind it.
        source: Arc<VmError>,
    },
    /// The user cannot become root without a password.
    #[error("user {user} on {host} cannot become root by `sudo -n`: {line}")]
    NoSudo {
        /// As `host port N`.
        host: String,
        /// The user's name on the host.
        user: String,
        /// sudo's own words.
        line: String,
    },
    /// The VM sent nothing for the time given. The run may continue: connect again and request its result.
    #[error("{host} sent nothing for {idle:?}")]
    Silent {
        /// As `user@host port N`.
        host: String,
        /// How long was waited.
        idle: Duration,
    },
    /// The connection broke. The run may continue: connect again and request its result.
    #[error("the connection to {host} broke")]
    Dropped {
        /// As `user@host port N`.
        host: String,
    },
    /// The token that the VM needs could not be created.
    #[error("cannot create the token that the VM needs")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is larger than one of the program can be. The run may continue.
    #[error("{host} sent more than an answer of the program can hold, so the rest was not read")]
    Excess {
        /// As `user@host port N`.
        host: String,
    },
    /// The remote program ended without an answer.
    #[error("the program on {host} ended {} without an answer{}", exit(*status), tail(lines))]
    Remote {
        /// As `user@host port N`.
        host: String,
        /// Exit status, if there was one.
        status: Option<i32>,
        /// Whether it had reported that it runs; before that it changes nothing.
        begun: bool,
        /// The last lines that it printed, bounded.
        lines: Vec<String>,
    },
}

impl VmError {
    /// Returns the failure itself, whichever hop it happened on.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Bastion { source, .. } => source.root(),
            own => own,
        }
    }
}

/// Why an identity cannot be used. Never shows any part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The public half was given.
    #[error("this is a public key; give the private key, the file without .pub")]
    Public,
    /// No passphrase for an encrypted key.
    #[error("the private key is encrypted; give its passphrase")]
    Encrypted,
    /// The passphrase is not the key's.
    #[error("the passphrase does not match the private key")]
    Passphrase,
    /// Encrypted in a form that only OpenSSL opens.
    #[error(
        "the private key is encrypted in the old PEM form; rewrite it in OpenSSH's form with `ssh-keygen -p -f FILE`"
    )]
    EncryptedPem,
    /// `PuTTY`'s own form.
    #[error(
        "the private key is in PuTTY's form; convert it with `puttygen FILE -O private-openssh`"
    )]
    Putty,
    /// It looks like a key but does not parse.
    #[error(
        "the private key is damaged ({0}); check that it was passed in full, with its line breaks"
    )]
    Damaged(String),
    /// OpenSSH's agent rejected it.
    #[error("OpenSSH rejects the private key ({0}); `ssh-keygen -y -f FILE` must accept it")]
    Refused(String),
    /// Something else.
    #[error(
        "this is not a private key: it must begin with a line such as `-----BEGIN OPENSSH PRIVATE KEY-----`"
    )]
    NotAKey,
    /// The certificate does not parse.
    #[error(
        "this is not an OpenSSH certificate ({0}); give the text of the file that ends with -cert.pub"
    )]
    Certificate(String),
    /// The host key, or the certificate authority's, does not parse.
    #[error(
        "must be a public host key, type and key as in /etc/ssh/ssh_host_ed25519_key.pub, got {found:?}: {cause}"
    )]
    HostKey {
        /// As it was given, cut.
        found: String,
        /// What is wrong with it.
        cause: String,
    },
}

fn found_key(found: Option<&String>) -> String {
    found.map_or_else(
        || "it offered no such key".into(),
        |key| format!("found {key}"),
    )
}

fn exit(status: Option<i32>) -> String {
    status.map_or_else(
        || "by a signal".into(),
        |status| format!("with status {status}"),
    )
}

fn tail(lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("; its last lines: {}", lines.join(" | "))
    }
}
