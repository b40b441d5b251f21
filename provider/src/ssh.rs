//! The way to a VM: coordinates from the resource (or its state), what they leave open and the
//! credentials from the provider block.

use std::path::PathBuf;
use std::time::Duration;

use mesh::names::{Address, Port};
use plugin::{Diagnostic, Diagnostics, Path, SecretText, Text, Value};
use secrecy::SecretString;
use vm::{AgentUse, Credentials, Hop, HostKey, Identity, Session, Target, Trust, VmError, Wait};

use crate::block::{IdentityBlock, SshBlock};
use crate::context::Context;
use crate::diagnose::coded;
use crate::workload::input::{BastionInput, JumpInput, SshInput};
use crate::workload::leaf::PortNumber;

/// Where a VM is and what we log in with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) credentials: Credentials,
}

impl Way {
    /// Whether another host answers than the pinned one. Against `known_hosts`, an authority, or a bastion's key nothing
    /// is known of the VM: those differ from one machine of a user to the next.
    pub(crate) fn meets_stranger(&self, error: &VmError) -> bool {
        let (vm, pinned) = (
            &self.target.vm,
            matches!(self.target.vm.trust, Trust::HostKey(_)),
        );
        matches!(error, VmError::HostKey { host, found: Some(_), .. } if pinned && *host == vm.host)
    }

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
        let bastions = bastions(ssh, &user, block);
        let credentials = credentials(ssh.identity.known(), block);
        match (host, trust, bastions, credentials) {
            (Some(host), Ok(trust), Ok(bastions), Ok(credentials)) => {
                let port = port(ssh.port).or(port(block.port)).unwrap_or(22);
                let vm = Hop {
                    host,
                    port,
                    user: Some(user),
                    trust,
                };
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
                        Diagnostic::error(
                            "The VM's address is missing",
                            coded("ssh-host", "Set ssh.host."),
                        )
                        .at("ssh.host"),
                    );
                }
                problems.extend(trust.err());
                problems.append(bastions.err().unwrap_or_default());
                problems.extend(credentials.err());
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
    let vm = unverified_hop(ssh.insecure_ignore_host_key, &"ssh".into());
    let bastion = ssh.bastion.known().map(unverified_bastion);
    vm.into_iter()
        .chain(bastion.into_iter().flatten())
        .collect()
}

/// Warns of a bastion, and of each host on the way to it, whose host key is not verified.
pub(crate) fn unverified_bastion(bastion: &BastionInput) -> Diagnostics {
    jumps(bastion)
        .iter()
        .filter_map(|(at, jump)| unverified_hop(jump.insecure_ignore_host_key, at))
        .collect()
}

fn unverified_hop(insecure: Value<bool>, at: &Path) -> Option<Diagnostic> {
    (insecure.known() == Some(&true)).then(|| {
        let detail = "An attacker between here and the host can read the VM's token and run programs as root. Set its \
                      key with host_key, host_ca or known_hosts.";
        Diagnostic::warning("Host keys are not verified", crate::diagnose::coded("ssh-insecure", detail))
            .at(at.name("insecure_ignore_host_key"))
    })
}

/// The ways in which a host may prove itself, as far as the user gave them.
struct Proofs<'a> {
    host_key: &'a Value<Text<HostKey>>,
    host_ca: &'a Value<Text<HostKey>>,
    known_hosts: &'a Value<String>,
    insecure: &'a Value<bool>,
    at: Path,
}

fn own_proofs(ssh: &SshInput) -> Proofs<'_> {
    Proofs {
        host_key: &ssh.host_key,
        host_ca: &ssh.host_ca,
        known_hosts: &ssh.known_hosts,
        insecure: &ssh.insecure_ignore_host_key,
        at: "ssh.host_key".into(),
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
        "No host key is configured",
        coded(
            "host-key-unknown",
            "The provider does not trust on first use. Set ssh.host_key, ssh.host_ca or ssh.known_hosts here, or \
             known_hosts or \
             config_file in the provider block's ssh. The guide \"host trust\" shows how to know a key in advance.",
        ),
    )
    .at(&proofs.at))
}

/// Returns every host before the VM, in the order of passing.
fn bastions(ssh: &SshInput, user: &str, block: &SshBlock) -> Result<Vec<Hop>, Diagnostics> {
    let bastion = ssh.bastion.known().or(block.bastion.known());
    let mut problems = Diagnostics::none();
    let mut hops = Vec::new();
    for (at, jump) in bastion.map(jumps).unwrap_or_default() {
        match hop(&jump, &at, user, block) {
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

/// Returns the hosts on the way to a bastion, and itself as the last; each with where it is declared.
fn jumps(bastion: &BastionInput) -> Vec<(Path, JumpInput)> {
    let at = Path::from("ssh.bastion");
    let own = bastion.clone();
    let last = JumpInput {
        host: own.host,
        port: own.port,
        user: own.user,
        host_key: own.host_key,
        host_ca: own.host_ca,
        known_hosts: own.known_hosts,
        insecure_ignore_host_key: own.insecure_ignore_host_key,
    };
    let before = own.through.into_known().unwrap_or_default().into_iter();
    before
        .enumerate()
        .map(|(number, jump)| (at.name("through").index(number), jump))
        .chain([(at.clone(), last)])
        .collect()
}

fn hop(jump: &JumpInput, at: &Path, user: &str, block: &SshBlock) -> Result<Hop, Diagnostic> {
    let proofs = Proofs {
        host_key: &jump.host_key,
        host_ca: &jump.host_ca,
        known_hosts: &jump.known_hosts,
        insecure: &jump.insecure_ignore_host_key,
        at: at.name("host_key"),
    };
    let user = jump.user.known().map_or(user, String::as_str);
    Ok(Hop {
        host: jump.host.known().cloned().unwrap_or_default(),
        port: port(jump.port).unwrap_or(22),
        user: Some(user.to_owned()),
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
            coded(
                "ssh-identity-name",
                "The provider block's ssh has several identities. Name one of them in ssh.identity.",
            ),
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
        coded(
            "ssh-identity-name",
            &format!("The provider block's ssh.identities has no {name:?}; it has: {listed}. Add it there."),
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
