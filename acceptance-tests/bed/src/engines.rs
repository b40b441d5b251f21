//! Docker, Podman and rpm on a VM: a layer over the image, built on first use and cached, and settings of the outer
//! container that nested containers need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layer;
use crate::{Error, Result};

/// Podman uses Docker's runc, which needs no more privileges than the machine has, and no limit for which the machine
/// lacks the cgroup controller.
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

/// Folder of the engines' storage below a machine's folder, because an overlay cannot be on an overlay.
const STORES: &str = "engines";
/// Storage folders of the engines.
const PLACES: [&str; 2] = ["docker", "containers"];

/// Returns the layer of their installation. The first caller builds it.
pub(crate) fn layer(image: &Path) -> Result<PathBuf> {
    let layer = layer::find("engines", SETUP, image)?;
    if !layer.exists() {
        layer::make(&layer, SETUP, image)?;
    }
    Ok(layer)
}

/// Creates the storage of the machine in `folder`.
pub(crate) fn equip(folder: &Path) -> Result<()> {
    for place in PLACES {
        let path = folder.join(STORES).join(place);
        fs::create_dir_all(&path).map_err(Error::at("create", &path))?;
    }
    Ok(())
}

/// Returns the storage of the machine in `folder`.
pub(crate) fn stores(folder: &Path) -> PathBuf {
    folder.join(STORES)
}

/// Allows a machine with such storage to run nested containers.
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
