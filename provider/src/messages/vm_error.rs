//! Errors of a VM as diagnostics.

use cluster::ClusterError;
use plugin::Diagnostic;
use vm::{KeyError, VmError};

use super::{Code, Message, chain};

/// Reports why a VM could not be used.
#[expect(clippy::too_many_lines, reason = "a table: one row for each error")]
pub(crate) fn vm(error: &VmError) -> Diagnostic {
    use VmError as E;
    let (code, next, at) = match error.root() {
        E::Coordinate { .. } => (Code::SshCoordinate, "Correct them.", "ssh"),
        E::OpenSsh { .. } => (Code::SshClient, "Install it where Terraform runs.", "ssh"),
        E::Local { .. } => (
            Code::SshLocal,
            "Check the machine that Terraform runs on.",
            "ssh",
        ),
        E::Key(error) => return key(error),
        E::Configuration { .. } => (
            Code::SshConfig,
            "Correct the file of ssh.config_file.",
            "ssh",
        ),
        E::Connect { .. } => (
            Code::SshConnect,
            "Check the address, the port (ssh.port, or `Port` in ssh.config_file), the firewalls in between, and that \
             sshd runs.",
            "ssh.host",
        ),
        E::HostKey { .. } => (
            Code::SshHostKey,
            "Nothing was sent. If the machine was rebuilt, set its new key. Otherwise, someone may be intercepting \
             the connection.",
            "ssh.host_key",
        ),
        E::Auth { .. } => (
            Code::SshAuth,
            "Check ssh.user (or `User` in ssh.config_file) and ssh.identity, and that the identity's public key is \
             authorized on the VM.",
            "ssh.user",
        ),
        E::NoSudo { .. } => (
            Code::SshSudo,
            "Log in as root, or allow the user `NOPASSWD: /bin/sh` in sudoers.",
            "ssh.user",
        ),
        E::Silent { .. } | E::Dropped { .. } => (
            Code::SshLost,
            "Apply again: the provider finds the run and finishes it.",
            "ssh",
        ),
        E::Token(_) => (Code::Token, "See the cause.", "service_account"),
        E::Excess { .. } => (
            Code::VmAnswer,
            "Check whether something else on the VM writes to the output, e.g. a shell profile, or whether someone \
             changed the program.",
            "ssh",
        ),
        E::Remote { .. } => (Code::VmProgram, "See its last lines.", "ssh"),
        E::Bastion { .. } => (Code::SshBastion, "See the cause.", "ssh.bastion"),
    };
    let at = match error {
        E::Bastion { .. } => "ssh.bastion",
        _ => at,
    };
    let rule = match error.root() {
        E::Token(source) => source.downcast_ref().and_then(ClusterError::missing_rule),
        _ => None,
    };
    let next = rule.map_or_else(
        || next.to_owned(),
        |rule| format!("Add the rule to the role:\n\n{rule}"),
    );
    let text = format!("{}. {next}", chain(error));
    Message::new(code).text(text).at(at).error()
}

/// Reports why an identity of the provider block cannot be used, to somebody who reads about a resource.
pub(crate) fn key_of(error: &KeyError, name: &str) -> Diagnostic {
    let name = plain::line(name, 100);
    let text = format!(
        "The provider block's ssh.identities.{name}.private_key: {}.",
        chain(error)
    );
    Message::new(Code::SshIdentity).text(text).error()
}

/// Reports why an identity cannot be used. Shows nothing of it.
pub(crate) fn key(error: &KeyError) -> Diagnostic {
    let text = format!("{}.", chain(error));
    Message::new(Code::SshIdentity).text(text).error()
}
