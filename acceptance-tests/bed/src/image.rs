//! Base image of all VMs: Debian with systemd and sshd, cached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::checked;
use crate::{Error, Result};
use crate::{cache, kept};

const SUITE: &str = "bookworm";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,iptables,sudo,hostname,ca-certificates,curl,python3";
const SETUP: &str = include_str!("image/setup.sh");
const FILES: [(&str, &str); 2] = [
    ("usr/local/lib/ratings.py", include_str!("image/ratings.py")),
    (
        "etc/systemd/system/ratings.service",
        include_str!("image/ratings.service"),
    ),
];

/// Returns the image's folder, which may not exist yet.
pub(crate) fn folder() -> Result<PathBuf> {
    let mut recipe = vec![SUITE, PACKAGES, SETUP];
    recipe.extend(FILES.iter().flat_map(|(path, content)| [*path, *content]));
    Ok(cache::root()?.join(cache::key("image", &recipe)))
}

/// Builds the image with debootstrap. Does nothing if another process has just built it.
pub(crate) fn make(folder: &Path) -> Result<()> {
    kept::make(folder, fill)
}

fn fill(folder: &Path) -> Result<()> {
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE])
        .arg(folder);
    checked(&mut debootstrap, b"", Duration::from_mins(30))?;
    for (path, content) in FILES {
        let path = folder.join(path);
        fs::write(&path, content).map_err(Error::at("write", &path))?;
    }
    let mut setup = Command::new("chroot");
    setup.arg(folder).args(["/bin/sh", "-s"]);
    checked(&mut setup, SETUP.as_bytes(), Duration::from_mins(2)).map(drop)
}
