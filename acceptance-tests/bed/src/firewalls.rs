//! Firewalls that remove foreign rules: a layer over the image, built on first use and cached.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::layer;

/// None of them is running until a test starts it.
const SETUP: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends nftables ufw firewalld python3-nftables
systemctl disable nftables.service ufw.service firewalld.service
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/machine-id
: >/etc/machine-id
"#;

/// Returns the layer of their installation. The first caller builds it.
pub(crate) fn layer(image: &Path) -> Result<PathBuf> {
    let layer = layer::find("firewalls", SETUP, image)?;
    if !layer.exists() {
        layer::make(&layer, SETUP, image)?;
    }
    Ok(layer)
}
