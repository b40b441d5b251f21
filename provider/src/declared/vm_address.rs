//! Where a VM is and what we log in with: what the resource leaves open comes from the provider block.

use std::time::Duration;

use mesh::names::Address;
use plugin::{Diagnostic, Diagnostics, Path, Paths, SecretText, Value};
use secrecy::SecretString;
use vm::{AgentUse, Credentials, Hop, Identity, Target, Trust, VmError};

use super::hop::{Defaults, PROOFS, Proofs, port};
use super::ssh::SshInput;
use crate::home;
use crate::messages::{self, Code, Message};
use crate::provider_config::{IdentityBlock, SshBlock};

/// Where a VM is and what we log in with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VmAddress {
    pub(crate) target: Target,
    pub(crate) credentials: Credentials,
}

impl VmAddress {
    /// Returns the address.
    pub(crate) fn new(
        ssh: &SshInput,
        address: Option<&Address>,
        block: &SshBlock,
    ) -> Result<Self, Diagnostics> {
        let host = ssh.host.known().cloned();
        let host = host.or_else(|| address.map(ToString::to_string));
        let (host, route) = match (host, Route::new(ssh, block)) {
            (Some(host), Ok(route)) => (host, route),
            (host, route) => {
                let mut problems = Diagnostics::none();
                if host.is_none() {
                    problems.push(no_host());
                }
                problems.append(route.err().unwrap_or_default());
                return Err(problems);
            }
        };
        let vm = Hop {
            host,
            port: port(ssh.port).or(port(block.port)),
            user: route.user,
            trust: route.trust,
        };
        let credentials = credentials(route.identity, block)?;
        Ok(Self {
            target: Target {
                vm,
                bastions: route.bastions,
                connect_timeout: timeout(block),
            },
            credentials,
        })
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
        let pinned = matches!(self.target.vm.trust, Trust::HostKey(_));
        // That of a bastion is inside `VmError::Bastion`.
        matches!(error, VmError::HostKey { found: Some(_), .. } if pinned)
    }
}

fn no_host() -> Diagnostic {
    Message::new(Code::SshHost)
        .text("Set ssh.host.")
        .at("ssh.host")
        .error()
}

fn timeout(block: &SshBlock) -> Duration {
    Duration::from_secs(
        block
            .connect_timeout
            .known()
            .map_or(10, |seconds| u64::from(*seconds)),
    )
}

/// Returns what prevents a connection to the VM or to a bastion, as far as it is known.
pub(crate) fn check(ssh: &SshInput, block: &SshBlock, unknown: &Paths) -> Diagnostics {
    let problems = Route::new(ssh, block).err();
    let problems = problems.into_iter().flatten();
    problems
        .filter(|problem| !is_open(problem, unknown))
        .collect()
}

/// How a VM is reached, and as whom.
struct Route<'a> {
    /// `None`: what the ssh configuration says, else root.
    user: Option<String>,
    trust: Trust,
    bastions: Vec<Hop>,
    /// Not parsed yet: decrypting a key takes time on purpose.
    identity: Option<(&'a String, &'a IdentityBlock)>,
}

impl<'a> Route<'a> {
    /// Returns the route.
    ///
    /// # Errors
    /// Every problem: a host without a proof, and an identity that does not exist or is ambiguous.
    fn new(ssh: &SshInput, block: &'a SshBlock) -> Result<Self, Diagnostics> {
        let user = ssh.user.known().or(block.user.known());
        let default = default_trust(block);
        let defaults = Defaults {
            trust: default.as_ref(),
        };
        let bastion = ssh.bastion.known().or(block.bastion.known());
        let bastions = bastion.map_or(Ok(vec![]), |bastion| bastion.hops(&defaults));
        let trust = proofs(ssh).trust(defaults.trust, &"ssh.host_key".into());
        let identity = identity(ssh.identity.known(), block);
        match (trust, bastions, identity) {
            (Ok(trust), Ok(bastions), Ok(identity)) => Ok(Self {
                user: user.cloned(),
                trust,
                bastions,
                identity,
            }),
            (trust, bastions, identity) => {
                let mut problems = Diagnostics::none();
                problems.extend(trust.err());
                problems.append(bastions.err().unwrap_or_default());
                problems.extend(identity.err());
                Err(problems)
            }
        }
    }
}

/// Returns whether a problem may go away once something unknown is known: any proof of a host is enough.
fn is_open(problem: &Diagnostic, unknown: &Paths) -> bool {
    let Some(at) = &problem.at else {
        return false;
    };
    let Some((last, host)) = at.steps().split_last() else {
        return false;
    };
    let host: Path = host.iter().cloned().collect();
    let is_proof = PROOFS.contains(&last.text().as_ref());
    unknown.is_unknown(at)
        || is_proof
            && PROOFS
                .iter()
                .any(|proof| unknown.is_unknown(host.name(proof)))
}

fn proofs(ssh: &SshInput) -> Proofs<'_> {
    Proofs {
        host_key: &ssh.host_key,
        host_ca: &ssh.host_ca,
        known_hosts: &ssh.known_hosts,
        insecure: &ssh.insecure_ignore_host_key,
    }
}

/// Returns the proof of a host that declares none.
fn default_trust(block: &SshBlock) -> Option<Trust> {
    if let Some(text) = block.known_hosts.known() {
        return Some(Trust::KnownHosts(text.clone()));
    }
    block.config_file.known().map(|_| Trust::UserConfig)
}

/// Returns the identity of that name, of the block's default, or the only one.
fn identity<'a>(
    name: Option<&String>,
    block: &'a SshBlock,
) -> Result<Option<(&'a String, &'a IdentityBlock)>, Diagnostic> {
    let identities = block.identities.known();
    let identity = match name.or(block.identity.known()) {
        Some(name) => Some(
            identities
                .and_then(|all| all.get_key_value(name))
                .ok_or_else(|| no_such_identity(name, block))?,
        ),
        None => identities
            .filter(|all| all.len() == 1)
            .and_then(|all| all.iter().next()),
    };
    let several = identities.is_some_and(|all| all.len() > 1) && identity.is_none();
    if several {
        return Err(Message::new(Code::SshIdentityName)
            .title("The SSH identity is ambiguous")
            .text("The provider block's ssh has several identities. Name one of them in ssh.identity.")
            .at("ssh.identity")
            .error());
    }
    Ok(identity)
}

fn credentials(
    identity: Option<(&String, &IdentityBlock)>,
    block: &SshBlock,
) -> Result<Credentials, Diagnostic> {
    let use_agent = block.agent.known().copied().unwrap_or(identity.is_none());
    Ok(Credentials {
        identity: identity
            .map(|(name, identity)| {
                let parsed = parse_identity(identity);
                parsed.map_err(|error| messages::key_of(&error, name))
            })
            .transpose()?,
        agent: if use_agent {
            AgentUse::User
        } else {
            AgentUse::Never
        },
        config_file: block.config_file.known().map(|path| home::expand(path)),
    })
}

/// Reports a name that the provider block's `identities` do not have.
pub(crate) fn no_such_identity(name: &str, block: &SshBlock) -> Diagnostic {
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
