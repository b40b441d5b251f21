//! VMs of the bed, as a cloud user sees them.

use std::fs;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::PathBuf;

use crate::machine::{HostKey, Machine};
use crate::{Error, Result, cache, cloud_init, disk, engines, firewalls, overlay};

/// A virtual machine: accessible over SSH, without the sidecar's package.
///
/// The application `ratings` (`systemctl start ratings`) echoes requests on 127.0.0.1:9080.
#[derive(Clone, Debug)]
pub struct Vm {
    pub(crate) machine: Machine,
    /// Port of its sshd.
    pub ssh_port: u16,
    /// User that may log in and use sudo without a password.
    pub user: String,
    /// Path of that user's private key.
    pub private_key_path: PathBuf,
    /// Its host key at the time of the call: `ssh-ed25519 AAAA…`.
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

    /// Returns true since [`Vm::mark_used`], also in a later process, until [`Vm::rebuild`] or [`Vm::mark_unused`]. Nothing
    /// that happens to its disk changes that.
    pub fn is_used(&self) -> bool {
        self.used_mark().exists()
    }

    /// Marks it as used by a test.
    pub fn mark_used(&self) -> Result<()> {
        let mark = self.used_mark();
        fs::write(&mark, "").map_err(Error::at("write", &mark))
    }

    /// Marks it as not used: it is as [`Vm::rebuild`] leaves it.
    pub fn mark_unused(&self) -> Result<()> {
        match fs::remove_file(self.used_mark()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::at("remove", &self.used_mark())(error))
            }
            _ => Ok(()),
        }
    }

    fn used_mark(&self) -> PathBuf {
        self.folder.join("used")
    }

    /// Replaces it with a fresh VM at the same address, with another machine ID. Returns while it boots.
    /// [`Machine::host_key`] returns a new key.
    pub fn rebuild(&self, key: HostKey) -> Result<()> {
        self.kill()?;
        overlay::discard(&self.folder)?;
        cache::remove(&engines::stores(&self.folder))?;
        if key == HostKey::New {
            self.new_host_key()?;
        }
        self.create(&self.private_key_path)?;
        self.mark_unused()?;
        self.start()
    }

    /// Replaces it with a machine with cloud-init and this user data at the same address. Returns the new machine while it
    /// boots. [`Vm::rebuild`] of the old one restores the original.
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

    /// Replaces it with a machine with Docker, Podman and rpm at the same address. Returns the new machine while it boots.
    /// [`Vm::rebuild`] of the old one restores the original.
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

    /// Moves its files to a disk with its own file system, such as `ext4`, and boots it again.
    pub fn move_to_a_disk(&self, file_system: &str) -> Result<()> {
        self.shut_down()?;
        disk::make(&self.folder, file_system, &self.layers)?;
        self.start()?;
        self.wait_until_up()
    }

    /// Cuts its power and boots it again. Data that was not on its disk is lost, see [`Vm::move_to_a_disk`].
    pub fn lose_power(&self) -> Result<()> {
        let copy = disk::copy(&self.folder)?;
        self.kill()?;
        disk::replace(&self.folder, &copy, &self.layers)?;
        self.start()?;
        self.wait_until_up()
    }

    /// Replaces it with a machine with nft, ufw and firewalld at the same address. Returns the new machine while it boots.
    /// [`Vm::rebuild`] of the old one restores the original.
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

    /// Counts all connections that its sshd accepted, including failed logins.
    pub fn ssh_connections(&self) -> Result<usize> {
        let log =
            self.shell("journalctl --sync; journalctl --identifier=sshd --output=cat --no-pager")?;
        Ok(log
            .lines()
            .filter(|line| line.starts_with("Connection from "))
            .count())
    }
}
