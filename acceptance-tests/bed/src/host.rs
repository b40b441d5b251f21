//! Requirements of the machine that runs the bed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::checked;
use crate::{Error, Result};

/// Required programs and files, and the Debian packages that contain them.
const NEEDED: [(&str, &str); 13] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("curl", "curl"),
    ("dpkg-deb", "dpkg"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
];

/// Number of inotify instances that is sufficient for several beds with all their machines.
const INSTANCES: u32 = 8192;

/// Fails if this process may not create network namespaces and mounts.
pub(crate) fn require_root() -> Result<()> {
    let own = fs::metadata("/proc/self").map_err(Error::io("read /proc/self"))?;
    if own.uid() == 0 {
        return Ok(());
    }
    Err(Error::Refused(
        "the bed creates network namespaces and mounts: run this as root".into(),
    ))
}

/// Raises the limit of inotify instances: each systemd uses about 20, many systems allow only 128, and beyond that a
/// machine exits immediately. The limit is not lowered again.
pub(crate) fn raise_limits() -> Result<()> {
    let path = Path::new("/proc/sys/fs/inotify/max_user_instances");
    let now = fs::read_to_string(path).map_err(Error::at("read", path))?;
    if now.trim().parse().is_ok_and(|limit: u32| limit < INSTANCES) {
        fs::write(path, INSTANCES.to_string()).map_err(Error::at("write", path))?;
    }
    Ok(())
}

/// Returns the missing Debian packages without duplicates.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> = NEEDED
        .iter()
        .filter(|(what, _)| !exists(what))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

/// Installs Debian packages. Without apt-get, the error lists them.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !exists("apt-get") {
        return Err(Error::Refused(format!(
            "install these first (names are Debian's): {}",
            packages.join(" ")
        )));
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        checked(&mut command, b"", Duration::from_mins(15))
    };
    apt(&["update", "--quiet"])?;
    apt(&[
        &["install", "--yes", "--quiet", "--no-install-recommends"],
        packages,
    ]
    .concat())
    .map(drop)
}

fn exists(what: &str) -> bool {
    if what.starts_with('/') {
        return Path::new(what).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(what).exists())
}
