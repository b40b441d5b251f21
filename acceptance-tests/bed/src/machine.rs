//! Machines of the bed: containers with their own systemd, network and disk, used for VMs and pods.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::command::{PATIENCE, quick, wait_for};
use crate::network::{Subnet, namespace};
use crate::process::{Lifetime, Recorded, Server};
use crate::{Error, Result, cache, cgroup, engines, overlay};

/// SSH key exchange of the bed. The default, post-quantum one takes a client 0.1 s of computing.
const KEY_EXCHANGE: &[u8] = b"KexAlgorithms curve25519-sha256\n";

/// Generators of systemd that find nothing in a machine of the bed. Each would run at every boot and reload.
const GENERATORS: [&str; 10] = [
    "cryptsetup",
    "debug",
    "getty",
    "gpt-auto",
    "hibernate-resume",
    "integritysetup",
    "rc-local",
    "run",
    "system-update",
    "veritysetup",
];

/// SSH host key of a rebuilt machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// It keeps its key, as if cloud-init installed it.
    Same,
    /// It gets a new key.
    New,
}

/// A machine of the bed. The user `ubuntu` may use sudo, `nosudo` may not. Both and root accept the bed's key.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Name in the bed and host name, e.g. `vm-1`.
    pub name: String,
    /// Its only address.
    pub address: Ipv4Addr,
    pub(crate) folder: PathBuf,
    pub(crate) subnet: Subnet,
    pub(crate) layers: Vec<PathBuf>,
    /// Whether something was changed in it or about it.
    pub(crate) touched: Arc<AtomicBool>,
}

impl Machine {
    /// Creates its disk with a host key and the public key for logins.
    pub(crate) fn create(&self, key: &Path) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(Error::at("create", &self.folder))?;
        if !self.folder.join("host_key").exists() {
            self.new_host_key()?;
        }
        let root = overlay::mount(&self.folder, &self.layers)?;
        let authorized = fs::read(key.with_extension("pub")).map_err(Error::at("read", key))?;
        // Owners are the first two users of the image.
        for (home, id) in [("root", 0), ("home/ubuntu", 1000), ("home/nosudo", 1001)] {
            let folder = root.join(home).join(".ssh");
            fs::create_dir_all(&folder).map_err(Error::at("create", &folder))?;
            put(&folder.join("authorized_keys"), &authorized, 0o600)?;
            for path in [folder.join("authorized_keys"), folder] {
                chown(&path, Some(id), Some(id))
                    .map_err(Error::at("change the owner of", &path))?;
            }
        }
        for (name, mode) in [("host_key", 0o600), ("host_key.pub", 0o644)] {
            let source = self.folder.join(name);
            let content = fs::read(&source).map_err(Error::at("read", &source))?;
            put(
                &root
                    .join("etc/ssh")
                    .join(name.replace("host", "ssh_host_ed25519")),
                &content,
                mode,
            )?;
        }
        put(
            &root.join("etc/ssh/sshd_config.d/exchange.conf"),
            KEY_EXCHANGE,
            0o644,
        )?;
        put(
            &root.join("etc/hostname"),
            format!("{}\n", self.name).as_bytes(),
            0o644,
        )?;
        put(
            &root.join("etc/hosts"),
            format!("127.0.0.1 localhost\n127.0.1.1 {}\n", self.name).as_bytes(),
            0o644,
        )?;
        mask_generators(&root)?;
        // No server listens there: the proxy's DNS capture answers the queries, whatever their target.
        put(
            &root.join("etc/resolv.conf"),
            format!("nameserver {}\n", self.subnet.gateway()).as_bytes(),
            0o644,
        )
    }

    /// Returns its SSH host key as in `known_hosts`, without a name: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> Result<String> {
        let path = self.folder.join("host_key.pub");
        let text = fs::read_to_string(&path).map_err(Error::at("read", &path))?;
        Ok(text
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "))
    }

    /// Powers it on without waiting; see [`Machine::wait_until_up`].
    pub fn start(&self) -> Result<()> {
        if self.leader().is_some() {
            return Err(Error::Refused(format!("{} is already on", self.name)));
        }
        self.subnet.disconnect(&self.name)?;
        self.subnet.connect(&self.name, self.address)?;
        let link = self.subnet.link(&self.name);
        let mut nspawn = cgroup::command(&link, "systemd-nspawn")?;
        nspawn
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .args(["--quiet", "--boot", "--directory"])
            .arg(self.folder.join("root"));
        nspawn.args([
            "--register=no",
            "--keep-unit",
            "--console=read-only",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]);
        nspawn.arg(format!(
            "--network-namespace-path={}",
            namespace(&link).display()
        ));
        nspawn.args([
            format!("--machine={link}"),
            format!("--hostname={}", self.name),
        ]);
        engines::allow(&mut nspawn, &self.folder);
        Server::start("machine", &mut nspawn, &self.folder, Lifetime::Bed).map(drop)
    }

    /// Waits until its sshd listens and systemd has started everything.
    pub fn wait_until_up(&self) -> Result<()> {
        let what = format!(
            "{} is up, see {}",
            self.name,
            self.folder.join("machine.log").display()
        );
        wait_for(&what, PATIENCE, || {
            let leader = self.leader().ok_or("it is powered off")?;
            if listens(leader, 22) {
                Ok(())
            } else {
                Err("sshd does not listen".into())
            }
        })?;
        wait_for(&what, PATIENCE, || {
            let state = self
                .exec(&["systemctl", "is-system-running"])
                .map_err(|error| error.to_string())?
                .stdout;
            if ["running", "degraded"].contains(&state.trim()) {
                Ok(())
            } else {
                Err(state)
            }
        })?;
        // The unit failed that removes this file: sshd would close each connection of a user, without a reason.
        if self.exec(&["test", "-e", "/run/nologin"])?.success() {
            return Err(Error::Refused(format!(
                "{} has booted but lets no user log in; failed units: {}",
                self.name,
                self.failed_units()?
            )));
        }
        Ok(())
    }

    /// Returns the units that failed, one a line; nothing if all went well.
    pub fn failed_units(&self) -> Result<String> {
        self.shell("systemctl list-units --state=failed --plain --no-legend")
    }

    /// Returns true if a command ran in it, or its power or network was changed, since the last [`Machine::forget_touches`].
    /// Connections over the network do not count, see [`crate::Vm::ssh_connections`].
    pub fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Resets [`Machine::is_touched`].
    pub fn forget_touches(&self) {
        self.touched.store(false, Ordering::Relaxed);
    }

    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Powers it off without notice: kills its init process and with it all others.
    pub fn kill(&self) -> Result<()> {
        self.touch();
        // Killing nspawn first would leave the machine's init running.
        let leader = wait_for(
            &format!("first process of {}", self.name),
            PATIENCE,
            || match (self.nspawn(), self.leader()) {
                (Some(_), None) => Err("it is still powering on".into()),
                (_, leader) => Ok(leader),
            },
        )?;
        if let Some(leader) = leader.and_then(Recorded::of) {
            leader.kill()?;
        }
        self.wait_until_off()
            .or_else(|_| self.nspawn().map_or(Ok(()), Recorded::kill))?;
        self.subnet.disconnect(&self.name)
    }

    /// Shuts it down cleanly, as `poweroff` does.
    pub fn shut_down(&self) -> Result<()> {
        // The connection to systemd may close before it responds.
        self.exec(&["systemctl", "--no-block", "poweroff"])?;
        self.wait_until_off().or_else(|_| self.kill())?;
        self.subnet.disconnect(&self.name)
    }

    /// Shuts it down, starts it on the same disk with fresh kernel state, and waits until it is up.
    pub fn reboot(&self) -> Result<()> {
        self.shut_down()?;
        self.start()?;
        self.wait_until_up()
    }

    /// Disconnects its network. Open connections get no more responses.
    pub fn cut(&self) -> Result<()> {
        self.touch();
        quick(
            "ip",
            &["link", "set", &self.subnet.link(&self.name), "down"],
        )
        .map(drop)
    }

    /// Reconnects its network.
    pub fn restore(&self) -> Result<()> {
        quick("ip", &["link", "set", &self.subnet.link(&self.name), "up"]).map(drop)
    }

    /// Returns true if it is powered on. It may still be booting.
    pub fn is_on(&self) -> bool {
        self.nspawn().is_some()
    }

    /// Removes its disk, its control group, and nspawn's data.
    pub(crate) fn forget(&self) -> Result<()> {
        overlay::discard(&self.folder)?;
        cgroup::remove(&self.subnet.link(&self.name))?;
        cache::remove(
            &Path::new("/run/systemd/nspawn/propagate").join(self.subnet.link(&self.name)),
        )
    }

    pub(crate) fn new_host_key(&self) -> Result<()> {
        let path = self.folder.join("host_key");
        for old in [path.clone(), path.with_extension("pub")] {
            let _ = fs::remove_file(old);
        }
        make_key(&path)
    }

    fn nspawn(&self) -> Option<Recorded> {
        Recorded::load(&self.folder.join("machine.pid")).filter(|process| process.alive())
    }

    fn wait_until_off(&self) -> Result<()> {
        wait_for(
            &format!("{} is off", self.name),
            Duration::from_secs(30),
            || match self.nspawn() {
                Some(_) => Err("it is still running".into()),
                None => Ok(()),
            },
        )
    }

    /// Returns the process ID on the host of the machine's init: the child of nspawn that is process 1 in its namespace.
    pub(crate) fn leader(&self) -> Option<u32> {
        let nspawn = self.nspawn()?.pid;
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        let ids = children.split_whitespace().filter_map(|id| id.parse().ok());
        ids.into_iter().find(|id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let ids: Vec<_> = ids.unwrap_or_default().split_whitespace().collect();
            ids.len() == 2 && ids[1] == "1"
        })
    }
}

/// Creates an SSH key pair without a passphrase.
pub(crate) fn make_key(path: &Path) -> Result<()> {
    quick(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "bed",
            "-f",
            &path.display().to_string(),
        ],
    )
    .map(drop)
}

/// Masks systemd's [`GENERATORS`] in a root folder, as systemd.generator(7) describes.
fn mask_generators(root: &Path) -> Result<()> {
    let folder = root.join("etc/systemd/system-generators");
    fs::create_dir_all(&folder).map_err(Error::at("create", &folder))?;
    for name in GENERATORS {
        let mask = folder.join(format!("systemd-{name}-generator"));
        symlink("/dev/null", &mask).map_err(Error::at("link", &mask))?;
    }
    Ok(())
}

fn put(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    fs::write(path, content).map_err(Error::at("write", path))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(Error::at("change the mode of", path))
}

/// Returns true if a process listens on a port. It reads the kernel's table, because a connection would be counted as
/// one of sshd's.
fn listens(process: u32, port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        text.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(1).is_some_and(|local| local.ends_with(&suffix))
                && fields.get(3) == Some(&"0A")
        })
    })
}
