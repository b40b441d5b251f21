//! Folder and network of a bed: `up` claims them, `down` releases them.
//!
//! **Invariant**: everything of a bed is in its folder or named after its network, so that `down` finds it even if `up`
//! was interrupted.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::machine::Machine;
use crate::network::{SUBNETS, Subnet};
use crate::parallel::in_parallel;
use crate::process::Recorded;
use crate::{Error, Result, cache, host, overlay};

/// Parent folder of beds: only root can write to it, and it is on a disk.
const FOLDER: &str = "/var/lib/terraform-provider-mesh";

/// Servers of a bed by the name of their record in its folder, in the order in which they are stopped.
pub(crate) const SERVERS: [&str; 4] = [
    "packages",
    "istiod/istiod",
    "cluster/kube-apiserver",
    "cluster/etcd",
];

/// Returns the folder of a bed.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Claims a name and a free network. Removes the remains of a bed that ended without `down`.
pub(crate) fn claim(name: &str) -> Result<(PathBuf, Subnet)> {
    let usable = !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-+".contains(letter));
    if !usable {
        return Err(Error::Refused(format!(
            "`{name}` is not a valid name for a bed: use letters, digits and -"
        )));
    }
    let _lock: File = cache::lock(Path::new(FOLDER))?;
    let folder = folder(name);
    if runs(&folder) {
        return Err(Error::Refused(format!(
            "a bed `{name}` is already running: `cargo xtask testbed status --name {name}` shows it, `cargo xtask testbed down --name {name}` stops it"
        )));
    }
    down(name)?;
    let mut taken: Vec<u8> = Vec::new();
    for other in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        taken.extend(subnet_of(&other.path()).map(|subnet| subnet.0));
    }
    let subnet = first_free(&taken, Subnet::in_use)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::at("create", &folder))?;
    let path = folder.join("subnet");
    fs::write(&path, subnet.0.to_string()).map_err(Error::at("write", &path))?;
    Ok((folder, subnet))
}

fn first_free(taken: &[u8], in_use: impl Fn(Subnet) -> Result<bool>) -> Result<Subnet> {
    for subnet in (0..SUBNETS)
        .filter(|number| !taken.contains(number))
        .map(Subnet)
    {
        if !in_use(subnet)? {
            return Ok(subnet);
        }
    }
    Err(Error::Refused(format!(
        "all networks 10.99.0.0/24 to 10.99.{}.0/24 are in use on this machine",
        SUBNETS - 1
    )))
}

fn runs(folder: &Path) -> bool {
    let machines = fs::read_dir(folder.join("machines"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("machine.pid"));
    let servers = SERVERS.map(|part| folder.join(format!("{part}.pid")));
    machines
        .chain(servers)
        .any(|path| Recorded::load(&path).is_some_and(Recorded::alive))
}

/// Returns the network of the bed in a folder, if it has one.
pub(crate) fn subnet_of(folder: &Path) -> Option<Subnet> {
    fs::read_to_string(folder.join("subnet"))
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Subnet)
}

/// Stops the bed with a name and its additional beds (`NAME+…`), even if they did not come up completely, and removes
/// all traces of them. Returns true if there was one.
pub fn down(name: &str) -> Result<bool> {
    host::require_root()?;
    let beside = format!("{name}+");
    let names = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    for other in names.filter(|other| other.starts_with(&beside)) {
        down_alone(&folder(&other))?;
    }
    down_alone(&folder(name))
}

fn down_alone(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let machines = folder.join("machines");
    if let Some(subnet) = subnet_of(folder) {
        let names: Vec<String> = fs::read_dir(&machines)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        in_parallel(names, |name| {
            let machine = Machine {
                folder: machines.join(&name),
                address: subnet.gateway(),
                subnet,
                layers: Vec::new(),
                name,
                touched: Arc::default(),
            };
            machine.kill().and_then(|()| machine.forget())
        })?;
        subnet.remove()?;
    }
    for part in SERVERS {
        Recorded::load(&folder.join(format!("{part}.pid"))).map_or(Ok(()), Recorded::kill)?;
    }
    overlay::unmount_below(folder)?;
    cache::remove(folder)?;
    // Succeeds only if no other bed is left in it.
    let _ = fs::remove_file(Path::new(FOLDER).join(".lock"));
    let _ = fs::remove_dir(FOLDER);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_use_by_a_bed_or_by_the_machine_is_skipped() {
        let chosen = first_free(&[0, 2], |subnet| Ok(subnet.0 == 1)).unwrap();
        assert_eq!(chosen, Subnet(3));
        assert!(first_free(&[], |_| Ok(true)).is_err());
    }
}
