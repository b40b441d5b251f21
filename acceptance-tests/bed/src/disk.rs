//! A machine's disk as a block device with a file system of its own, so that its power can be cut for real: what the
//! kernel has not written to the device by then is lost, as a page cache is.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::command::{PATIENCE, quick, wait_for};
use crate::{Error, Result, overlay};

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

/// Puts such a copy in the place of the disk of a machine that is off.
pub(crate) fn replace(folder: &Path, copy: &Path, layers: &[PathBuf]) -> Result<()> {
    overlay::unmount_below(folder)?;
    let image = overlay::disk_image(folder);
    fs::rename(copy, &image).map_err(Error::at("move", copy))?;
    let disk = mount(folder)?;
    overlay::mount_on(folder, &disk, layers).map(drop)
}

/// How often a block device was written to, and how many requests it is at.
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
