//! A system with a different glibc version, its NSS modules and OpenSSH's client, to run programs that were built on
//! this machine. It is built on first use and cached.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{PATIENCE, checked};
use crate::{Error, Result, cache, kept};

/// Debian 13 with glibc 2.41, and Debian 12 with 2.36.
const SUITES: [&str; 2] = ["trixie", "bookworm"];
const PACKAGES: &str =
    "openssh-client,ca-certificates,libnss-mdns,libnss-resolve,libnss-myhostname";

/// Returns the folder of the system. The first caller builds it.
///
/// # Errors
/// Fails if the packages cannot be downloaded or unpacked.
pub fn another_glibc() -> Result<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = suite(&release);
    let folder = cache::root()?.join(cache::key("foreign", &[suite, PACKAGES]));
    kept::make(&folder, |folder| unpack(suite, folder))?;
    Ok(folder)
}

/// Returns a different suite from this machine's.
fn suite(release: &str) -> &'static str {
    let [first, second] = SUITES;
    let own = format!("VERSION_CODENAME={first}");
    if release.lines().any(|line| line == own) {
        second
    } else {
        first
    }
}

/// Unpacks the packages without running their scripts, which would start a service.
fn unpack(suite: &str, folder: &Path) -> Result<()> {
    let packages = folder.join("packages");
    fs::create_dir_all(folder).map_err(Error::at("create", folder))?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--download-only", "--variant=minbase"])
        .args([&format!("--include={PACKAGES}"), suite])
        .arg(&packages);
    checked(&mut debootstrap, b"", Duration::from_mins(30))?;
    let archives = packages.join("var/cache/apt/archives");
    for archive in fs::read_dir(&archives).map_err(Error::at("read", &archives))? {
        let archive = archive.map_err(Error::at("read", &archives))?.path();
        if archive.extension().is_some_and(|kind| kind == "deb") {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").args([&archive, folder]);
            checked(&mut dpkg, b"", PATIENCE)?;
        }
    }
    cache::remove(&packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_differs_from_this_machines() {
        assert_eq!(suite("NAME=Debian\nVERSION_CODENAME=trixie\n"), "bookworm");
        assert_eq!(suite("NAME=Debian\nVERSION_CODENAME=bookworm\n"), "trixie");
        assert_eq!(suite(""), "trixie");
    }
}
