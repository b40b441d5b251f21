//! A machine's root: an overlay of its own over folders that many share.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::command::quick;
use crate::{Error, Result};

/// Mounts a fresh or kept overlay in `folder`: `root` over `upper` over the layers, topmost first.
pub(crate) fn mount(folder: &Path, layers: &[PathBuf]) -> Result<PathBuf> {
    let root = folder.join("root");
    for part in ["root", "upper", "work"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).map_err(Error::at("create", &path))?;
    }
    let lower: Vec<String> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let (upper, work) = (folder.join("upper"), folder.join("work"));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
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

/// Unmounts everything at or below a folder, the deepest first.
pub(crate) fn unmount_below(folder: &Path) -> Result<()> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(Error::io("read /proc/self/mounts"))?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut ours: Vec<&str> = places
        .filter(|place| Path::new(place).starts_with(folder))
        .collect();
    ours.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in ours {
        quick("umount", &[place]).or_else(|_| quick("umount", &["--lazy", place]))?;
    }
    Ok(())
}

/// Unmounts an overlay and forgets what was written to it.
pub(crate) fn discard(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    for part in ["root", "upper", "work"] {
        cache::remove(&folder.join(part))?;
    }
    Ok(())
}
