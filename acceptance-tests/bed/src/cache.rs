//! Cache of build artifacts outside the clone, in folders named after their sources.

use std::env;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Returns the cache folder: `$XDG_CACHE_HOME/terraform-provider-mesh`.
pub(crate) fn root() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|base| base.join("terraform-provider-mesh"))
        .ok_or_else(|| {
            Error::Refused(
                "neither XDG_CACHE_HOME nor HOME is set: set one, the built servers are cached there"
                    .into(),
            )
        })
}

/// Returns the name of a folder whose content depends on `sources`.
pub(crate) fn key(kind: &str, sources: &[&str]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        // The length distinguishes ("ab", "c") from ("a", "bc").
        hash.update(source.len().to_be_bytes());
        hash.update(source);
    }
    format!("{kind}-{}", &hex(&hash.finalize())[..16])
}

/// Returns the SHA-256 of a file in hex.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(Error::at("read", path))?;
    std::io::copy(&mut file, &mut hash).map_err(Error::at("read", path))?;
    Ok(hex(&hash.finalize()))
}

/// Locks a folder against builds by other processes until the lock is dropped.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).map_err(Error::at("create", folder))?;
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::at("create", &path))?;
    file.lock().map_err(Error::at("lock", &path))?;
    Ok(file)
}

/// Removes a folder that may not exist.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::at("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn different_sources_or_boundaries_have_different_keys() {
        let keys = [
            key("servers", &["ab", "c"]),
            key("servers", &["a", "bc"]),
            key("servers", &["ab", "d"]),
            key("image", &["ab", "c"]),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(one), "{one} twice");
        }
        assert_eq!(keys[0], key("servers", &["ab", "c"]));
    }
}
