//! The declared SSH connection to a VM.

use plugin::{Diagnostics, Path, Text, object};
use vm::HostKey;

use super::hop::{BastionInput, proof_twice, unverified};
use super::scalars::PortNumber;
use crate::rule::MACHINE;

object! {
    /// SSH connection to the VM. Credentials are in the provider block, because a refresh and a destroy need them
    /// too.
    pub struct SshInput {
        /// Name or address to connect to. Default: `address`.
        Optional host: String => MACHINE,
        /// Port of sshd. Default: from the provider block, otherwise `Port` in its `config_file`, otherwise 22.
        Optional port: PortNumber,
        /// User to log in as: root, or a user who may use sudo without a password. Default: from the provider block,
        /// otherwise `User` in its `config_file`, otherwise `root`.
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

    /// Checks what needs nothing of the provider block: a host with two proofs, and one without verification.
    pub(crate) fn check_alone(&self) -> Diagnostics {
        let at = Path::root().name("ssh");
        let twice = proof_twice(&self.host_key, &self.host_ca, &at);
        let bastion = self.bastion.known().map(BastionInput::proofs_twice);
        twice
            .into_iter()
            .chain(bastion.into_iter().flatten())
            .chain(self.unverified())
            .collect()
    }
}
