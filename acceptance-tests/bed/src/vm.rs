//! A VM of the bed, as the user of a cloud sees it.

use std::ops::Deref;
use std::path::PathBuf;

use crate::machine::{HostKey, Machine};
use crate::{Result, cache, cloud_init, disk, engines, firewalls, overlay};

/// A virtual machine: reached over SSH, without the sidecar's package.
///
/// The application `ratings` (`systemctl start ratings`) answers on 127.0.0.1:9080 with what it received.
#[derive(Clone, Debug)]
pub struct Vm {
    pub(crate) machine: Machine,
    /// Port of its sshd.
    pub ssh_port: u16,
    /// User that may log in and use sudo without a password.
    pub user: String,
    /// Path of that user's private key.
    pub private_key_path: PathBuf,
    /// Its host key when the bed was looked at: `ssh-ed25519 AAAA…`.
    pub host_key: String,
}

impl Deref for Vm {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Vm {
    pub(crate) fn new(machine: Machine, private_key_path: PathBuf) -> Result<Self> {
        let host_key = machine.host_key()?;
        Ok(Self {
            machine,
            ssh_port: 22,
            user: "ubuntu".into(),
            private_key_path,
            host_key,
        })
    }

    /// Replaces it by a fresh one at the same address, with another machine id. Returns at once, while it boots;
    /// ask [`Machine::host_key`] for a new key.
    pub fn rebuild(&self, key: HostKey) -> Result<()> {
        self.kill()?;
        overlay::discard(&self.folder)?;
        cache::remove(&engines::stores(&self.folder))?;
        if key == HostKey::New {
            self.new_host_key()?;
        }
        self.create(&self.private_key_path)?;
        self.start()
    }

    /// Replaces it by a machine with cloud-init and this user data, at the same address. Returns at once, while it
    /// boots, with the machine as it is now; [`Vm::rebuild`] of the old one brings that back.
    pub fn rebuild_with_user_data(&self, user_data: &str) -> Result<Self> {
        let mut vm = self.clone();
        if let Some(image) = self.layers.last() {
            vm.machine.layers.insert(0, cloud_init::layer(image)?);
        }
        self.kill()?;
        overlay::discard(&self.folder)?;
        vm.create(&self.private_key_path)?;
        cloud_init::seed(&self.folder.join("root"), &self.name, user_data)?;
        vm.start()?;
        Ok(vm)
    }

    /// Replaces it by a machine with Docker, Podman and rpm, at the same address. Returns at once, while it boots, with the
    /// machine as it is now; [`Vm::rebuild`] of the old one brings that back.
    pub fn rebuild_with_engines(&self) -> Result<Self> {
        let mut vm = self.clone();
        if let Some(image) = self.layers.last() {
            vm.machine.layers.insert(0, engines::layer(image)?);
        }
        self.kill()?;
        overlay::discard(&self.folder)?;
        engines::equip(&self.folder)?;
        vm.create(&self.private_key_path)?;
        vm.start()?;
        Ok(vm)
    }

    /// Gives it a disk with a file system of its own, such as `ext4`, with what it has written so far, and boots it again.
    pub fn move_to_a_disk(&self, file_system: &str) -> Result<()> {
        self.shut_down()?;
        disk::make(&self.folder, file_system, &self.layers)?;
        self.start()?;
        self.wait_until_up()
    }

    /// Cuts its power and boots it again: what was not on its disk by then is lost, see [`Vm::move_to_a_disk`].
    pub fn lose_power(&self) -> Result<()> {
        let copy = disk::copy(&self.folder)?;
        self.kill()?;
        disk::replace(&self.folder, &copy, &self.layers)?;
        self.start()?;
        self.wait_until_up()
    }

    /// Replaces it by a machine with nft, ufw and firewalld, at the same address. Returns at once, while it boots, with the
    /// machine as it is now; [`Vm::rebuild`] of the old one brings that back.
    pub fn rebuild_with_firewalls(&self) -> Result<Self> {
        let mut vm = self.clone();
        if let Some(image) = self.layers.last() {
            vm.machine.layers.insert(0, firewalls::layer(image)?);
        }
        self.kill()?;
        overlay::discard(&self.folder)?;
        vm.create(&self.private_key_path)?;
        vm.start()?;
        Ok(vm)
    }

    /// Counts the connections that its sshd ever accepted, also those that failed to log in.
    pub fn ssh_connections(&self) -> Result<usize> {
        let log =
            self.shell("journalctl --sync; journalctl --identifier=sshd --output=cat --no-pager")?;
        Ok(log
            .lines()
            .filter(|line| line.starts_with("Connection from "))
            .count())
    }
}
