//! Folders of the cache that are slow to build. Each is built in a temporary folder beside it and moved once complete.

use std::fs;
use std::path::Path;

use crate::{Error, Result, cache, overlay};

/// Builds the folder. Does nothing if another process has just built it.
pub(crate) fn make(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let _lock = cache::lock(&cache::root()?)?;
    if folder.exists() {
        return Ok(());
    }
    let unfinished = folder.with_extension("unfinished");
    start_over(&unfinished)?;
    let filled = fill(&unfinished);
    overlay::unmount_below(&unfinished)?;
    filled?;
    fs::rename(&unfinished, folder).map_err(Error::at("move", &unfinished))
}

/// Removes the remains of a killed run. It unmounts them first: the machine's own /proc or /dev may be mounted there.
fn start_over(unfinished: &Path) -> Result<()> {
    overlay::unmount_below(unfinished)?;
    cache::remove(unfinished)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::env;
    use std::os::unix::fs::MetadataExt as _;
    use std::process::Command;

    use super::*;

    const UNFINISHED: &str = "MESH_TEST_UNFINISHED";

    /// The test runs itself again in its own mount namespace.
    #[test]
    fn mounts_of_a_killed_run_are_unmounted_and_not_emptied() {
        if let Some(folder) = env::var_os(UNFINISHED) {
            return start_over(Path::new(&folder)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("devices");
        let unfinished = folder.path().join("image.unfinished");
        for folder in [&devices, &unfinished.join("dev")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(devices.join("null"), "").unwrap();
        let script = "mount --bind \"$1\" \"$MESH_TEST_UNFINISHED/dev\" && exec \"$0\" \
                      mounts_of_a_killed_run_are_unmounted_and_not_emptied";
        let own = fs::metadata("/proc/self").unwrap().uid();
        let mut unshare = Command::new("unshare");
        if own != 0 {
            unshare.args(["--user", "--map-root-user"]);
        }
        let ended = unshare
            .args(["--mount", "sh", "-c", script])
            .arg(env::current_exe().unwrap())
            .arg(&devices)
            .env(UNFINISHED, &unfinished)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert!(!unfinished.exists());
        assert!(devices.join("null").exists());
    }
}
