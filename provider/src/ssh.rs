//! The way to a VM: coordinates from the resource (or its state), what they leave open and the
//! credentials from the provider block.

use std::path::PathBuf;
use std::time::Duration;

use mesh::{Address, Port};
use secrecy::SecretString;
use tfplugin::{Diagnostic, Diagnostics, SecretText, Text, Value};
use vm::{AgentUse, Credentials, Hop, HostKey, Identity, Session, Target, Trust, VmError, Wait};

use crate::block::{IdentityBlock, SshBlock};
use crate::context::Context;
use crate::workload::input::{BastionInput, SshInput};
use crate::workload::leaf::PortNumber;

/// Where a VM is and what we log in with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) credentials: Credentials,
}

impl Way {
    /// Finds the way: what the resource leaves open comes from the provider block.
    pub(crate) fn new(
        ssh: &SshInput,
        address: Option<&Address>,
        block: &SshBlock,
    ) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::none();
        let host = ssh
            .host
            .known()
            .cloned()
            .or_else(|| address.map(ToString::to_string));
        let user = ssh
            .user
            .known()
            .or(block.user.known())
            .cloned()
            .unwrap_or_else(|| "root".into());
        let trust = trust(&own_proofs(ssh), block);
        let bastions = bastion(ssh, block)
            .map(|bastion| hop(bastion, &user, block))
            .transpose();
        let credentials = credentials(ssh.identity.known(), block);
        match (host, trust, bastions, credentials) {
            (Some(host), Ok(trust), Ok(bastion), Ok(credentials)) => {
                let port = port(ssh.port).or(port(block.port)).unwrap_or(22);
                let vm = Hop {
                    host,
                    port,
                    user: Some(user),
                    trust,
                };
                let bastions = bastion.into_iter().collect();
                return Ok(Self {
                    target: Target {
                        vm,
                        bastions,
                        connect_timeout: timeout(block),
                    },
                    credentials,
                });
            }
            (host, trust, bastions, credentials) => {
                if host.is_none() {
                    problems.push(
                        Diagnostic::error("The VM's address is missing", "Set ssh.host.")
                            .at("ssh.host"),
                    );
                }
                [trust.err(), bastions.err(), credentials.err()]
                    .into_iter()
                    .flatten()
                    .for_each(|p| problems.push(p));
            }
        }
        Err(problems)
    }

    /// Connects.
    pub(crate) async fn connect(&self, context: &Context, wait: Wait) -> Result<Session, VmError> {
        Session::connect(&self.target, &self.credentials, &context.bastions, wait).await
    }
}

/// Warns of each hop whose host key is not verified: on every command, since nothing else shows it.
pub(crate) fn unverified(ssh: &SshInput) -> Diagnostics {
    let vm = unverified_hop(ssh.insecure_ignore_host_key, "ssh");
    let bastion = ssh.bastion.known();
    let bastion = bastion.and_then(|bastion| unverified_bastion(bastion, "ssh.bastion"));
    vm.into_iter().chain(bastion).collect()
}

/// Warns of a bastion whose host key is not verified.
pub(crate) fn unverified_bastion(bastion: &BastionInput, at: &str) -> Option<Diagnostic> {
    unverified_hop(bastion.insecure_ignore_host_key, at)
}

fn unverified_hop(insecure: Value<bool>, at: &str) -> Option<Diagnostic> {
    (insecure.known() == Some(&true)).then(|| {
        let detail = "Whoever stands between here and the host can read the VM's token and run programs as root. \
                      Give its key by host_key, host_ca or known_hosts.";
        Diagnostic::warning("Host keys are not verified", crate::diagnose::coded("ssh-insecure", detail))
            .at(format!("{at}.insecure_ignore_host_key"))
    })
}

/// The ways in which a host may prove itself, as far as the user gave them.
struct Proofs<'a> {
    host_key: &'a Value<Text<HostKey>>,
    host_ca: &'a Value<Text<HostKey>>,
    known_hosts: &'a Value<String>,
    insecure: &'a Value<bool>,
    at: &'static str,
}

fn own_proofs(ssh: &SshInput) -> Proofs<'_> {
    Proofs {
        host_key: &ssh.host_key,
        host_ca: &ssh.host_ca,
        known_hosts: &ssh.known_hosts,
        insecure: &ssh.insecure_ignore_host_key,
        at: "ssh.host_key",
    }
}

/// The narrowest proof wins; nothing is trusted without one.
fn trust(proofs: &Proofs<'_>, block: &SshBlock) -> Result<Trust, Diagnostic> {
    if let Some(key) = proofs.host_key.known() {
        return Ok(Trust::HostKey(key.0.clone()));
    }
    if let Some(key) = proofs.host_ca.known() {
        return Ok(Trust::CertificateAuthority(key.0.clone()));
    }
    if let Some(text) = proofs.known_hosts.known() {
        return Ok(Trust::KnownHosts(text.clone()));
    }
    if proofs.insecure.known() == Some(&true) {
        return Ok(Trust::Insecure);
    }
    if let Some(text) = block.known_hosts.known() {
        return Ok(Trust::KnownHosts(text.clone()));
    }
    if block.config_file.known().is_some() {
        return Ok(Trust::UserConfig);
    }
    Err(Diagnostic::error(
        "Nothing tells which host key is right",
        "Nothing is trusted on first use. Set ssh.host_key, ssh.host_ca or ssh.known_hosts here, or known_hosts or \
         config_file in the provider block's ssh. The guide \"host trust\" shows how to know a key in advance.",
    )
    .at(proofs.at))
}

fn bastion<'a>(ssh: &'a SshInput, block: &'a SshBlock) -> Option<&'a BastionInput> {
    ssh.bastion.known().or(block.bastion.known())
}

fn hop(bastion: &BastionInput, user: &str, block: &SshBlock) -> Result<Hop, Diagnostic> {
    let proofs = Proofs {
        host_key: &bastion.host_key,
        host_ca: &bastion.host_ca,
        known_hosts: &bastion.known_hosts,
        insecure: &bastion.insecure_ignore_host_key,
        at: "ssh.bastion.host_key",
    };
    Ok(Hop {
        host: bastion.host.known().cloned().unwrap_or_default(),
        port: port(bastion.port).unwrap_or(22),
        user: Some(
            bastion
                .user
                .known()
                .cloned()
                .unwrap_or_else(|| user.to_owned()),
        ),
        trust: trust(&proofs, block)?,
    })
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
        return Err(Diagnostic::error(
            "The SSH identity is ambiguous",
            "The provider block's ssh has several identities. Name one of them in ssh.identity.",
        )
        .at("ssh.identity"));
    }
    let use_agent = block.agent.known().copied().unwrap_or(identity.is_none());
    Ok(Credentials {
        identity: identity
            .map(parse_identity)
            .transpose()
            .map_err(|error| crate::diagnose::key(&error))?,
        agent: if use_agent {
            AgentUse::User
        } else {
            AgentUse::Never
        },
        config_file: block.config_file.known().map(PathBuf::from),
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
    Diagnostic::error(
        "There is no such SSH identity",
        format!(
            "The provider block's ssh.identities has no {name:?}; it has: {listed}. Add it there."
        ),
    )
    .at("ssh.identity")
}

/// Parses one of the provider block's identities.
pub(crate) fn parse_identity(block: &IdentityBlock) -> Result<Identity, vm::KeyError> {
    let secret = |value: &Value<SecretText>| value.known().map(|text| text.clone().into_secret());
    let key: SecretString = secret(&block.private_key).unwrap_or_default();
    let certificate = block.certificate.known().map(String::as_str);
    Identity::parse(&key, secret(&block.passphrase).as_ref(), certificate)
}

fn port(value: Value<PortNumber>) -> Option<u16> {
    value.known().map(|port| Port::get(port.0))
}

fn timeout(block: &SshBlock) -> Duration {
    Duration::from_secs(
        block
            .connect_timeout
            .known()
            .map_or(10, |seconds| u64::from(*seconds)),
    )
}
