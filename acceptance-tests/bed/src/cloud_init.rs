//! cloud-init on a VM: a layer over the image, made once and kept, and user data beside it as a cloud
//! would give it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layer;
use crate::{Error, Result};

/// `locales`: without it cloud-init ends with an error.
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

/// Where cloud-init finds what a cloud would tell, without a network.
const SEED: &str = "var/lib/cloud/seed/nocloud";

/// Returns what installing it adds to the image, as a layer, whether it exists yet or not.
pub(crate) fn layer(image: &Path) -> Result<PathBuf> {
    layer::find("cloud-init", SETUP, image)
}

/// Makes the layer. Does nothing when another process has just made it.
pub(crate) fn make(layer: &Path, image: &Path) -> Result<()> {
    layer::make(layer, SETUP, image)
}

/// Puts user data where cloud-init looks for it, below a machine's root.
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
