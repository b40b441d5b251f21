//! Root file systems of machines: an overlay for each machine over shared layers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::command::quick;
use crate::{Error, Result};

/// Mounts a new or kept overlay in `folder`: `root`, with `upper` over the layers, topmost first.
pub(crate) fn mount(folder: &Path, layers: &[PathBuf]) -> Result<PathBuf> {
    // The marker of an interrupted volatile mount would prevent mounting a kept overlay.
    cache::remove(&folder.join("work/work/incompat"))?;
    // Without power cuts, syncs are unnecessary, and each would wait for all writes of the host.
    mount_with(folder, folder, layers, ",volatile")
}

/// Like [`mount`], with `upper` on its own disk, where a sync is effective.
pub(crate) fn mount_on(folder: &Path, disk: &Path, layers: &[PathBuf]) -> Result<PathBuf> {
    mount_with(folder, disk, layers, "")
}

fn mount_with(folder: &Path, disk: &Path, layers: &[PathBuf], more: &str) -> Result<PathBuf> {
    let root = folder.join("root");
    for path in [root.clone(), disk.join("upper"), disk.join("work")] {
        fs::create_dir_all(&path).map_err(Error::at("create", &path))?;
    }
    let lower: Vec<String> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let (upper, work) = (disk.join("upper"), disk.join("work"));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}{more}",
        lower.join(":"),
        upper.display(),
        work.display()
    );
    quick(
        "mount",
        &[
            "-t",
            "overlay",
            "overlay",
            "-o",
            &options,
            &root.display().to_string(),
        ],
    )?;
    Ok(root)
}

/// Returns the mount point of a machine's own disk, if it has one.
pub(crate) fn disk(folder: &Path) -> PathBuf {
    folder.join("disk")
}

/// Returns the image file of that disk.
pub(crate) fn disk_image(folder: &Path) -> PathBuf {
    folder.join("disk.img")
}

/// Unmounts everything at or below a folder: the deepest first, and stacked mounts in reverse order.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(Error::io("read /proc/self/mounts"))?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut ours: Vec<&str> = places
        .filter(|place| Path::new(place).starts_with(folder))
        .collect();
    ours.reverse();
    ours.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in ours {
        quick("umount", &[place]).or_else(|_| quick("umount", &["--lazy", place]))?;
    }
    Ok(())
}

/// Unmounts an overlay and keeps its changes in `upper`.
pub(crate) fn keep(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    for part in ["root", "work"] {
        cache::remove(&folder.join(part))?;
    }
    Ok(())
}

/// Unmounts an overlay and discards its changes.
pub(crate) fn discard(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    for part in ["root", "upper", "work", "disk"] {
        cache::remove(&folder.join(part))?;
    }
    let image = disk_image(folder);
    if image.exists() {
        fs::remove_file(&image).map_err(Error::at("remove", &image))?;
    }
    Ok(())
}
