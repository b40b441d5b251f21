//! Layers that a script installs over the VMs' image, cached beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::checked;
use crate::{Error, Result, cache, kept, overlay};

/// Returns the layer that running `setup` as root adds to the image. It may not exist yet.
pub(crate) fn find(name: &str, setup: &str, image: &Path) -> Result<PathBuf> {
    let sources = [setup, &image.display().to_string()];
    Ok(cache::root()?
        .join(cache::key(name, &sources))
        .join("upper"))
}

/// Builds the layer. Does nothing if another process has just built it.
pub(crate) fn make(layer: &Path, setup: &str, image: &Path) -> Result<()> {
    kept::make(layer.parent().unwrap_or(layer), |folder| {
        let root = overlay::mount(folder, &[image.into()])?;
        let resolver = root.join("etc/resolv.conf");
        fs::copy("/etc/resolv.conf", &resolver).map_err(Error::at("write", &resolver))?;
        let mut shell = Command::new("chroot");
        shell.arg(&root).args(["/bin/sh", "-s"]);
        checked(&mut shell, setup.as_bytes(), Duration::from_mins(10))?;
        overlay::keep(folder)
    })
}
