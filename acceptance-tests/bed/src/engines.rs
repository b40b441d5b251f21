//! Docker and Podman on a VM, and rpm: a layer over the image, made when a VM asks for it and kept, and what a
//! container's own containers need of the one around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layer;
use crate::{Error, Result};

/// Podman with Docker's runc, which needs no more rights than the machine has, and without the limit whose
/// controller of cgroups is missing in it.
const SETUP: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends docker.io podman rpm
printf '%s\n' '[containers]' 'pids_limit = 0' '[engine]' 'runtime = "runc"' >/etc/containers/containers.conf
systemctl disable podman.service podman.socket podman-auto-update.timer podman-restart.service 2>/dev/null || true
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/machine-id
: >/etc/machine-id
"#;

/// Below a machine's folder, with what a VM's engines store: an overlay cannot lie on an overlay.
const STORES: &str = "engines";
/// Where the engines store images.
const PLACES: [&str; 2] = ["docker", "containers"];

/// Returns what installing them adds to the image. The first VM that asks waits for it.
pub(crate) fn layer(image: &Path) -> Result<PathBuf> {
    let layer = layer::find("engines", SETUP, image)?;
    if !layer.exists() {
        layer::make(&layer, SETUP, image)?;
    }
    Ok(layer)
}

/// Makes the stores of the machine in `folder`.
pub(crate) fn equip(folder: &Path) -> Result<()> {
    for place in PLACES {
        let path = folder.join(STORES).join(place);
        fs::create_dir_all(&path).map_err(Error::at("create", &path))?;
    }
    Ok(())
}

/// Returns the stores of the machine in `folder`.
pub(crate) fn stores(folder: &Path) -> PathBuf {
    folder.join(STORES)
}

/// Lets a machine that was equipped run containers of its own.
pub(crate) fn allow(nspawn: &mut Command, folder: &Path) {
    let stores = stores(folder);
    if !stores.exists() {
        nspawn.arg("--capability=CAP_NET_ADMIN,CAP_NET_RAW");
        return;
    }
    nspawn
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        .args(["--capability=all", "--system-call-filter=@keyring bpf"]);
    for place in PLACES {
        let from = stores.join(place);
        nspawn.arg(format!("--bind={}:/var/lib/{place}", from.display()));
    }
}
