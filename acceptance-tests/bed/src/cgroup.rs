//! A control group for each machine. Otherwise the systemds of all machines would share one tree, and a unit that ends on
//! one machine would remove the group in which the same unit starts on another.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{PATIENCE, wait_for};
use crate::{Error, Result};

/// Returns a command that runs a program in a control group, which is made anew below this process's own.
pub(crate) fn command(name: &str, program: &str) -> Result<Command> {
    remove(name)?;
    let mut folders = folders(name, |kind, _| kind == "cgroup2")?;
    let folder = folders.pop().ok_or_else(|| {
        Error::Refused("no cgroup2 is mounted; mount one at /sys/fs/cgroup/unified".into())
    })?;
    fs::create_dir(&folder).map_err(Error::at("make", &folder))?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
        .arg(folder.join("cgroup.procs"))
        .arg(program);
    Ok(command)
}

/// Removes a control group as soon as its processes have ended.
pub(crate) fn remove(name: &str) -> Result<()> {
    // nspawn makes the same folders in systemd's own tree of version 1, if there is one.
    let is_used = |kind: &str, options: &str| kind == "cgroup2" || options.contains("name=systemd");
    for folder in folders(name, is_used)? {
        wait_for(&format!("end of what ran in {name}"), PATIENCE, || {
            remove_below(&folder).map_err(|error| error.chain())
        })?;
    }
    Ok(())
}

/// The files in a control group go with it.
fn remove_below(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::at("read", folder)(error)),
    };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(folder).map_err(Error::at("remove", folder))
}

/// Returns the control group's folder in each mounted tree whose kind and options are wanted.
fn folders(name: &str, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<PathBuf>> {
    let read = |path: &str| fs::read_to_string(path).map_err(Error::at("read", Path::new(path)));
    let (mounts, groups) = (read("/proc/self/mounts")?, read("/proc/self/cgroup")?);
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let trees = mounts.lines().filter_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let is_wanted = wanted(words.get(2)?, words.get(3)?);
        is_wanted.then(|| Path::new(words[1]).join(own.unwrap_or_default()).join(name))
    });
    Ok(trees.collect())
}
