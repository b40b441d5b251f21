//! A machine's disk as a block device with a file system of its own, so that its power can be cut for real: what the
//! kernel has not written to the device by then is lost, as a page cache is.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::command::{quick, run, wait_for};
use crate::{Error, Result, overlay};
use std::process::Command;
use std::time::Duration;

/// Sparse: what is not used takes no room.
const SIZE: u64 = 2 << 30;

/// Moves what a machine in `folder`, which is off, has written so far to a disk with such a file system: `ext4`, `xfs`.
pub(crate) fn make(folder: &Path, file_system: &str, layers: &[PathBuf]) -> Result<()> {
    overlay::unmount_below(folder)?;
    let image = overlay::disk_image(folder);
    File::create(&image)
        .and_then(|file| file.set_len(SIZE))
        .map_err(Error::at("write", &image))?;
    let image = image.display().to_string();
    let make = format!("mkfs.{file_system}");
    let quiet: &[&str] = match file_system {
        // All at once: a thread that goes on with it would write while the disk is copied.
        "ext4" => &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
        _ => &["-q", "-f"],
    };
    quick(&make, &[quiet, &[&image]].concat())?;
    let disk = mount(folder)?;
    let upper = folder.join("upper").display().to_string();
    let target = disk.display().to_string();
    quick("cp", &["--archive", &upper, &target])?;
    overlay::mount_on(folder, &disk, layers).map(drop)
}

/// Copies what the disk of a machine that runs holds at this moment, without what is still in memory.
pub(crate) fn copy(folder: &Path) -> Result<PathBuf> {
    let image = overlay::disk_image(folder);
    let copy = image.with_extension("copy");
    let [from, to] = [&image, &copy].map(|path| path.display().to_string());
    let what = format!("a copy of {from} that nothing was written in the middle of");
    wait_for(&what, Duration::from_mins(1), || {
        quick("cp", &["--sparse=always", &from, &to]).map_err(|error| error.to_string())?;
        let mut compare = Command::new("cmp");
        compare.args(["--silent", &from, &to]);
        match run(&mut compare, b"", Duration::from_mins(1)) {
            Ok(output) if output.success() => Ok(()),
            Ok(_) => Err("it was written to".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })?;
    Ok(copy)
}

/// Puts such a copy in the place of the disk of a machine that is off.
pub(crate) fn replace(folder: &Path, copy: &Path, layers: &[PathBuf]) -> Result<()> {
    overlay::unmount_below(folder)?;
    let image = overlay::disk_image(folder);
    fs::rename(copy, &image).map_err(Error::at("move", copy))?;
    let disk = mount(folder)?;
    overlay::mount_on(folder, &disk, layers).map(drop)
}

fn head(path: &Path) -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::at("read", path))?;
    Ok(bytes)
}

fn mount(folder: &Path) -> Result<PathBuf> {
    let disk = overlay::disk(folder);
    fs::create_dir_all(&disk).map_err(Error::at("create", &disk))?;
    let [image, target] =
        [overlay::disk_image(folder), disk.clone()].map(|path| path.display().to_string());
    // A process that holds a file of the disk of before keeps that mounted, and XFS wants no two of one name.
    let magic = head(Path::new(&image))?;
    let options = if magic == *b"XFSB" {
        "loop,nouuid"
    } else {
        "loop"
    };
    quick("mount", &["-o", options, &image, &target])?;
    Ok(disk)
}
