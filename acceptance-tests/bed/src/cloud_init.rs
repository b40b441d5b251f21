//! cloud-init on a VM: a cached layer over the image, and user data as a cloud would provide it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layer;
use crate::{Error, Result};

/// Includes `locales`, without which cloud-init fails.
const SETUP: &str = r"
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends cloud-init locales
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/machine-id
: >/etc/machine-id
# The network, the name and the keys of a machine are the bed's.
cat >/etc/cloud/cloud.cfg.d/99-bed.cfg <<'CONFIG'
datasource_list: [NoCloud]
network: {config: disabled}
preserve_hostname: true
ssh_deletekeys: false
locale: false
apt: {preserve_sources_list: true}
CONFIG
";

/// Folder in which cloud-init finds a cloud's data without a network.
const SEED: &str = "var/lib/cloud/seed/nocloud";

/// Returns the layer of its installation, which may not exist yet.
pub(crate) fn layer(image: &Path) -> Result<PathBuf> {
    layer::find("cloud-init", SETUP, image)
}

/// Builds the layer. Does nothing if another process has just built it.
pub(crate) fn make(layer: &Path, image: &Path) -> Result<()> {
    layer::make(layer, SETUP, image)
}

/// Writes user data to the folder of cloud-init below a machine's root.
pub(crate) fn seed(root: &Path, machine: &str, user_data: &str) -> Result<()> {
    let folder = root.join(SEED);
    fs::create_dir_all(&folder).map_err(Error::at("create", &folder))?;
    let meta = format!("instance-id: {machine}\n");
    for (name, content) in [("meta-data", meta.as_str()), ("user-data", user_data)] {
        let path = folder.join(name);
        fs::write(&path, content).map_err(Error::at("write", &path))?;
    }
    Ok(())
}
