//! The hosts that a connection to a VM passes, and how each of them proves itself.

use mesh::names::Port;
use plugin::{Diagnostic, Diagnostics, Path, Text, Value, object};
use vm::{Hop, HostKey, Trust};

use super::scalars::PortNumber;
use crate::messages::{Code, Message};

/// Declares the attributes of every jump host, and those of one kind.
macro_rules! hop {
    ($(#[doc = $about:literal])+ $Name:ident { $($own:tt)* }) => {
        object! {
            $(#[doc = $about])+
            pub struct $Name {
                /// Name or address to connect to.
                Required host: String,
                /// Port of sshd. Default: `Port` in the provider block's `config_file`, otherwise 22.
                Optional port: PortNumber,
                /// User to log in as. Default: `User` in the provider block's `config_file`, otherwise the VM's user.
                Optional user: String,
                /// Public host key, e.g. `ssh-ed25519 AAAA…`, or the line that `ssh-keyscan` prints for it.
                Optional host_key: Text<HostKey>,
                /// Public key of the CA that signs host keys.
                Optional host_ca: Text<HostKey>,
                /// Content of a known_hosts file.
                Optional known_hosts: String,
                /// Accept any host key. Default: `false`.
                Optional insecure_ignore_host_key: bool,
                $($own)*
            }
        }

        impl $Name {
            fn hop(&self, at: &Path, defaults: &Defaults<'_>) -> Result<Hop, Diagnostic> {
                let proofs = Proofs {
                    host_key: &self.host_key,
                    host_ca: &self.host_ca,
                    known_hosts: &self.known_hosts,
                    insecure: &self.insecure_ignore_host_key,
                };
                Ok(Hop {
                    host: self.host.known().cloned().unwrap_or_default(),
                    port: port(self.port),
                    user: self.user.known().cloned(),
                    trust: proofs.trust(defaults.trust, &at.name("host_key"))?,
                })
            }
        }
    };
}

hop! {
    /// A bastion: the last jump host before the VM.
    BastionInput {
        /// Additional jump hosts, in connection order, before this one.
        Optional through: Vec<JumpInput>,
    }
}

hop! {
    /// A jump host before the bastion.
    JumpInput {}
}

/// Defaults for a host.
pub(super) struct Defaults<'a> {
    /// The proof of a host that declares none.
    pub(super) trust: Option<&'a Trust>,
}

impl BastionInput {
    /// Returns every host before the VM, in connection order.
    pub(super) fn hops(&self, defaults: &Defaults<'_>) -> Result<Vec<Hop>, Diagnostics> {
        let at = at();
        let jumps = self.jumps().map(|(at, jump)| jump.hop(&at, defaults));
        let mut hops = Vec::new();
        let mut problems = Diagnostics::none();
        for hop in jumps.chain([self.hop(&at, defaults)]) {
            match hop {
                Ok(hop) => hops.push(hop),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(hops)
        } else {
            Err(problems)
        }
    }

    /// Warns of the bastion, and of each jump host before it, whose host key is not verified.
    pub(crate) fn unverified(&self) -> Diagnostics {
        let jumps = self.jumps();
        jumps
            .filter_map(|(at, jump)| unverified(jump.insecure_ignore_host_key, &at))
            .chain(unverified(self.insecure_ignore_host_key, &at()))
            .collect()
    }

    /// Reports the bastion, and each jump host before it, that has two proofs.
    pub(crate) fn proofs_twice(&self) -> Diagnostics {
        let jumps = self.jumps();
        jumps
            .filter_map(|(at, jump)| proof_twice(&jump.host_key, &jump.host_ca, &at))
            .chain(proof_twice(&self.host_key, &self.host_ca, &at()))
            .collect()
    }

    /// Returns the jump hosts before the bastion, each with where it is declared.
    fn jumps(&self) -> impl Iterator<Item = (Path, &JumpInput)> {
        let jumps = self.through.known().into_iter().flatten().enumerate();
        jumps.map(|(number, jump)| (at().name("through").index(number), jump))
    }
}

fn at() -> Path {
    "ssh.bastion".into()
}

/// Warns of a host whose key is not verified.
pub(super) fn unverified(insecure: Value<bool>, at: &Path) -> Option<Diagnostic> {
    (insecure.known() == Some(&true)).then(|| {
        let text = "An attacker between here and the host can read the VM's token and run programs as root. Set its \
                    key with host_key, host_ca or known_hosts.";
        Message::new(Code::SshInsecure)
            .text(text)
            .at(at.name("insecure_ignore_host_key"))
            .warning()
    })
}

/// Reports a host whose key is pinned although an authority signs it: only one of them could count.
pub(super) fn proof_twice(
    host_key: &Value<Text<HostKey>>,
    host_ca: &Value<Text<HostKey>>,
    at: &Path,
) -> Option<Diagnostic> {
    (host_key.known().is_some() && host_ca.known().is_some()).then(|| {
        let text = "host_key pins one key, and host_ca accepts every key that an authority signs. Remove one of them.";
        Message::new(Code::HostKeyOrCa)
            .text(text)
            .at(at.name("host_ca"))
            .error()
    })
}

/// The attributes that prove a host.
pub(super) const PROOFS: [&str; 4] = [
    "host_key",
    "host_ca",
    "known_hosts",
    "insecure_ignore_host_key",
];

/// The proofs that the user gives for a host.
pub(super) struct Proofs<'a> {
    pub(super) host_key: &'a Value<Text<HostKey>>,
    pub(super) host_ca: &'a Value<Text<HostKey>>,
    pub(super) known_hosts: &'a Value<String>,
    pub(super) insecure: &'a Value<bool>,
}

impl Proofs<'_> {
    /// Returns the narrowest proof; nothing is trusted without one.
    pub(super) fn trust(&self, default: Option<&Trust>, at: &Path) -> Result<Trust, Diagnostic> {
        if let Some(key) = self.host_key.known() {
            return Ok(Trust::HostKey(key.0.clone()));
        }
        if let Some(key) = self.host_ca.known() {
            return Ok(Trust::CertificateAuthority(key.0.clone()));
        }
        if let Some(text) = self.known_hosts.known() {
            return Ok(Trust::KnownHosts(text.clone()));
        }
        if self.insecure.known() == Some(&true) {
            return Ok(Trust::Insecure);
        }
        default.cloned().ok_or_else(|| no_proof(at))
    }
}

fn no_proof(at: &Path) -> Diagnostic {
    let text = "The provider does not trust on first use. Set host_key, host_ca or known_hosts here, or \
                known_hosts or config_file in the provider block's ssh. The guide \"host trust\" shows how to know a \
                key in advance.";
    Message::new(Code::HostKeyUnknown).text(text).at(at).error()
}

/// Returns a port as OpenSSH is given it.
pub(super) fn port(value: Value<PortNumber>) -> Option<u16> {
    value.known().map(|port| Port::get(port.0))
}
