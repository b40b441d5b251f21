//! The declared SSH connection to a VM, and the address and credentials that follow from it and the provider block.

use std::time::Duration;

use mesh::names::Address;
use plugin::{Diagnostic, Diagnostics, SecretText, Text, Value, object};
use secrecy::SecretString;
use vm::{AgentUse, Credentials, Hop, HostKey, Identity, Target, Trust, VmError};

use super::hop::{BastionInput, Defaults, Proofs, port, unverified};
use super::scalars::PortNumber;
use crate::home;
use crate::messages::{self, Code, Message};
use crate::provider_config::{IdentityBlock, SshBlock};
use crate::rule::MACHINE;

object! {
    /// SSH connection to the VM. Credentials are in the provider block, because a refresh and a destroy need them
    /// too.
    pub struct SshInput {
        /// Name or address to connect to. Default: `address`.
        Optional host: String => MACHINE,
        /// Port of sshd. Default: from the provider block, otherwise 22.
        Optional port: PortNumber,
        /// User to log in as: root, or a user who may use sudo without a password. Default: from the provider block.
        Optional user: String,
        /// Name of one of the provider block's `identities`. Default: from the provider block.
        Optional identity: String,
        /// The VM's public host key, e.g. `ssh-ed25519 AAAA…`, or the line that `ssh-keyscan` prints for it.
        Optional host_key: Text<HostKey>,
        /// Public key of the CA that signs host keys, e.g. `ssh-ed25519 AAAA…`.
        Optional host_ca: Text<HostKey>,
        /// Content of a known_hosts file. Default: from the provider block.
        Optional known_hosts: String,
        /// Accept any host key. Anyone on the network path can then read the VM's token. Default: `false`.
        Optional insecure_ignore_host_key: bool,
        /// Bastion (jump host) in front of the VM. Default: from the provider block.
        Optional bastion: BastionInput,
    }
}

impl SshInput {
    /// Warns of each hop whose host key is not verified: on every command, since nothing else shows it.
    pub(crate) fn unverified(&self) -> Diagnostics {
        let vm = unverified(self.insecure_ignore_host_key, &"ssh".into());
        let bastion = self.bastion.known().map(BastionInput::unverified);
        vm.into_iter()
            .chain(bastion.into_iter().flatten())
            .collect()
    }

    fn trust(&self, default: Option<&Trust>) -> Result<Trust, Diagnostic> {
        let proofs = Proofs {
            host_key: &self.host_key,
            host_ca: &self.host_ca,
            known_hosts: &self.known_hosts,
            insecure: &self.insecure_ignore_host_key,
        };
        proofs.trust(default, &"ssh.host_key".into())
    }
}

/// Where a VM is and what we log in with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VmAddress {
    pub(crate) target: Target,
    pub(crate) credentials: Credentials,
}

impl VmAddress {
    /// Returns the address: what the resource leaves open comes from the provider block.
    pub(crate) fn new(
        ssh: &SshInput,
        address: Option<&Address>,
        block: &SshBlock,
    ) -> Result<Self, Diagnostics> {
        let host = ssh.host.known().cloned();
        let host = host.or_else(|| address.map(ToString::to_string));
        let user = ssh.user.known().or(block.user.known());
        let user = user.map_or("root", String::as_str);
        let trust = default_trust(block);
        let defaults = Defaults {
            user,
            trust: trust.as_ref(),
        };
        let bastion = ssh.bastion.known().or(block.bastion.known());
        let bastions = bastion.map_or(Ok(vec![]), |bastion| bastion.hops(&defaults));
        let trust = ssh.trust(defaults.trust);
        let credentials = credentials(ssh.identity.known(), block);
        match (host, trust, bastions, credentials) {
            (Some(host), Ok(trust), Ok(bastions), Ok(credentials)) => {
                let vm = Hop {
                    host,
                    port: port(ssh.port).or(port(block.port)).unwrap_or(22),
                    user: Some(user.to_owned()),
                    trust,
                };
                Ok(Self {
                    target: Target {
                        vm,
                        bastions,
                        connect_timeout: timeout(block),
                    },
                    credentials,
                })
            }
            (host, trust, bastions, credentials) => {
                let mut problems = Diagnostics::none();
                if host.is_none() {
                    problems.push(no_host());
                }
                problems.extend(trust.err());
                problems.append(bastions.err().unwrap_or_default());
                problems.extend(credentials.err());
                Err(problems)
            }
        }
    }

    /// Returns whether the machine that was ours does not answer any more, or another one does.
    pub(crate) fn is_away(&self, error: &VmError) -> bool {
        let silent = matches!(
            error.root(),
            VmError::Connect { .. } | VmError::Silent { .. } | VmError::Dropped { .. }
        );
        silent || self.is_another_host(error)
    }

    /// Returns whether the host key differs from the pinned `ssh.host_key`. A mismatch with `known_hosts`, a CA or a
    /// bastion's key does not prove a rebuilt VM: those differ from one machine of a user to the next.
    pub(crate) fn is_another_host(&self, error: &VmError) -> bool {
        let vm = &self.target.vm;
        let pinned = matches!(vm.trust, Trust::HostKey(_));
        matches!(error, VmError::HostKey { host, found: Some(_), .. } if pinned && *host == vm.host)
    }
}

/// Returns the proof of a host that declares none.
fn default_trust(block: &SshBlock) -> Option<Trust> {
    if let Some(text) = block.known_hosts.known() {
        return Some(Trust::KnownHosts(text.clone()));
    }
    block.config_file.known().map(|_| Trust::UserConfig)
}

fn no_host() -> Diagnostic {
    Message::new(Code::SshHost)
        .text("Set ssh.host.")
        .at("ssh.host")
        .error()
}

fn credentials(name: Option<&String>, block: &SshBlock) -> Result<Credentials, Diagnostic> {
    let identities = block.identities.known();
    let identity = match name.or(block.identity.known()) {
        Some(name) => Some(
            identities
                .and_then(|all| all.get(name))
                .ok_or_else(|| no_such_identity(name, block))?,
        ),
        None => identities
            .filter(|all| all.len() == 1)
            .and_then(|all| all.values().next()),
    };
    let several = identities.is_some_and(|all| all.len() > 1) && identity.is_none();
    if several {
        return Err(Message::new(Code::SshIdentityName)
            .title("The SSH identity is ambiguous")
            .text("The provider block's ssh has several identities. Name one of them in ssh.identity.")
            .at("ssh.identity")
            .error());
    }
    let use_agent = block.agent.known().copied().unwrap_or(identity.is_none());
    Ok(Credentials {
        identity: identity
            .map(parse_identity)
            .transpose()
            .map_err(|error| messages::key(&error))?,
        agent: if use_agent {
            AgentUse::User
        } else {
            AgentUse::Never
        },
        config_file: block.config_file.known().map(|path| home::expand(path)),
    })
}

fn no_such_identity(name: &str, block: &SshBlock) -> Diagnostic {
    let known: Vec<&str> = block
        .identities
        .known()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let listed = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let text = format!(
        "The provider block's ssh.identities has no {name:?}; it has: {listed}. Add it there."
    );
    Message::new(Code::SshIdentityName)
        .text(text)
        .at("ssh.identity")
        .error()
}

/// Parses one of the provider block's identities.
pub(crate) fn parse_identity(block: &IdentityBlock) -> Result<Identity, vm::KeyError> {
    let secret = |value: &Value<SecretText>| value.known().map(|text| text.clone().into_secret());
    let key: SecretString = secret(&block.private_key).unwrap_or_default();
    let certificate = block.certificate.known().map(String::as_str);
    Identity::parse(&key, secret(&block.passphrase).as_ref(), certificate)
}

fn timeout(block: &SshBlock) -> Duration {
    Duration::from_secs(
        block
            .connect_timeout
            .known()
            .map_or(10, |seconds| u64::from(*seconds)),
    )
}
