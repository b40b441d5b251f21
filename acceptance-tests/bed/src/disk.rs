//! Disks of machines as block devices with their own file system, so that cutting the power is realistic: data that the
//! kernel has not yet written to the device is lost, like a page cache.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::command::{PATIENCE, quick, wait_for};
use crate::{Error, Result, overlay};

/// Size of the disk. The file is sparse, so unused space is not allocated.
const SIZE: u64 = 2 << 30;

/// Moves the files of a machine in `folder`, which must be off, to a disk with a file system such as `ext4` or `xfs`.
pub(crate) fn make(folder: &Path, file_system: &str, layers: &[PathBuf]) -> Result<()> {
    overlay::unmount_below(folder)?;
    let image = overlay::disk_image(folder);
    File::create(&image)
        .and_then(|file| file.set_len(SIZE))
        .map_err(Error::at("write", &image))?;
    let image = image.display().to_string();
    let make = format!("mkfs.{file_system}");
    let quiet: &[&str] = match file_system {
        // Initialized at once: a background thread would write while the disk is copied.
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

/// Copies the current content of a running machine's disk, without data that is still in memory.
pub(crate) fn copy(folder: &Path) -> Result<PathBuf> {
    let image = overlay::disk_image(folder);
    let copy = image.with_extension("copy");
    let [from, to] = [&image, &copy].map(|path| path.display().to_string());
    let what = format!("a copy of {from} that nothing was written in the middle of");
    let device = quick(
        "findmnt",
        &[
            "-no",
            "SOURCE",
            "--mountpoint",
            &overlay::disk(folder).display().to_string(),
        ],
    )?;
    wait_for(&what, PATIENCE, || {
        let before = writes(&device)?;
        quick("cp", &["--sparse=always", &from, &to]).map_err(|error| error.to_string())?;
        if before.under_way == 0 && writes(&device)? == before {
            Ok(())
        } else {
            Err("it was written to".to_owned())
        }
    })?;
    Ok(copy)
}

/// Replaces the disk of a machine, which must be off, with such a copy.
pub(crate) fn replace(folder: &Path, copy: &Path, layers: &[PathBuf]) -> Result<()> {
    overlay::unmount_below(folder)?;
    let image = overlay::disk_image(folder);
    fs::rename(copy, &image).map_err(Error::at("move", copy))?;
    let disk = mount(folder)?;
    overlay::mount_on(folder, &disk, layers).map(drop)
}

/// Number of completed writes and of pending requests of a block device.
#[derive(PartialEq, Eq)]
struct Writes {
    ended: u64,
    under_way: u64,
}

fn writes(device: &str) -> std::result::Result<Writes, String> {
    let name = device.trim().trim_start_matches("/dev/");
    let path = format!("/sys/block/{name}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [_, _, _, _, ended, _, _, _, under_way, ..] => Ok(Writes { ended, under_way }),
        _ => Err(format!("{path}: {text}")),
    }
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
    // A process with an open file on the previous disk keeps it mounted, and XFS rejects a second one with the same UUID.
    let magic = head(Path::new(&image))?;
    let options = if magic == *b"XFSB" {
        "loop,nouuid"
    } else {
        "loop"
    };
    quick("mount", &["-o", options, &image, &target])?;
    Ok(disk)
}
