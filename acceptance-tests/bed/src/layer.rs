//! What a script installs over the VMs' image: made once and kept, beside the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::checked;
use crate::{Error, Result, cache, kept, overlay};

/// Returns what running `setup` as root adds to the image, whether it exists yet or not.
pub(crate) fn find(name: &str, setup: &str, image: &Path) -> Result<PathBuf> {
    let sources = [setup, &image.display().to_string()];
    Ok(cache::root()?
        .join(cache::key(name, &sources))
        .join("upper"))
}

/// Makes the layer. Does nothing when another process has just made it.
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
