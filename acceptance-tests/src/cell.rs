//! A root folder (chroot) in which the provider runs. One kind contains only the binary, OpenSSH's client with a shell,
//! certificates, and the files for name resolution. The other kind is an overlay over another system.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Done, Failure, Result};

/// Requirements of the README for the machine that runs Terraform.
const PROGRAMS: [&str; 4] = ["sh", "ssh", "ssh-agent", "ssh-add"];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const PROVIDER: &str = "terraform-provider-mesh";
/// Folders of programs in a system, in search order.
const PATH: &str = "/bin:/usr/bin";

/// A root folder. Dropping it removes it.
pub struct Cell {
    folder: TempDir,
    /// The system below the overlay.
    base: Option<PathBuf>,
}

impl Cell {
    /// Creates one with a provider.
    ///
    /// # Errors
    /// Fails if this machine does not have one of the programs.
    pub fn around(provider: &str) -> Result<Self> {
        let cell = Self::empty(provider, None)?;
        for program in PROGRAMS {
            cell.restore(program)?;
        }
        if Path::new(CERTIFICATES).exists() {
            cell.copy(Path::new(CERTIFICATES))?;
        }
        cell.write("/etc/nsswitch.conf", "hosts: files dns\n")?;
        Ok(cell)
    }

    /// Creates one with a provider over another system, which is not changed.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn over(base: PathBuf, provider: &str) -> Result<Self> {
        Self::empty(provider, Some(base))
    }

    fn empty(provider: &str, base: Option<PathBuf>) -> Result<Self> {
        let folder = TempDir::new()?;
        let cell = Self { folder, base };
        for folder in ["tmp", "dev", "root"] {
            fs::create_dir_all(cell.path(folder))?;
        }
        fs::copy(provider, cell.path(PROVIDER))?;
        cell.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
        cell.write("/etc/group", "root:x:0:\n")?;
        cell.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")?;
        Ok(cell)
    }

    /// Returns the path outside of a path inside.
    pub fn path(&self, inside: &str) -> PathBuf {
        let inside = inside.trim_start_matches('/');
        self.folder.path().join("root").join(inside)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn write(&self, inside: &str, text: &str) -> Done {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        Ok(fs::write(path, text)?)
    }

    /// Returns true if the system below has an NSS module.
    ///
    /// # Errors
    /// Fails if its folder of libraries cannot be read.
    pub fn has_module(&self, name: &str) -> Result<bool> {
        let libraries = self.base.as_ref().map(|base| base.join("usr/lib"));
        for triplet in fs::read_dir(libraries.unwrap_or_default())? {
            let module = triplet?.path().join(format!("libnss_{name}.so.2"));
            if module.exists() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a program.
    ///
    /// # Errors
    /// Fails if it does not exist.
    pub fn remove(&self, program: &str) -> Done {
        Ok(fs::remove_file(self.path(&text(&find(program)?)))?)
    }

    /// Copies a program of this machine with its libraries.
    ///
    /// # Errors
    /// Fails if this machine does not have it.
    pub fn restore(&self, program: &str) -> Done {
        let found = find(program)?;
        for library in libraries(&found)? {
            self.copy(&library)?;
        }
        self.copy(&found)
    }

    /// Returns a program that starts the provider inside. The folder of its socket has the same path inside and outside.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn launcher(&self) -> Result<String> {
        let path = self.folder.path().join("launch");
        let root = text(&self.path(""));
        let sockets = text(&self.folder.path().join("sockets"));
        fs::create_dir_all(&sockets)?;
        fs::create_dir_all(self.path(&sockets))?;
        let overlay = self.base.as_ref().map(|base| {
            let layers = format!("{root}:{}", base.display());
            format!("mount -t overlay -o lowerdir={layers} overlay {root}\nmount -t tmpfs tmpfs {root}/tmp")
        });
        let overlay = overlay.unwrap_or_default();
        // `chroot` is in /usr/sbin, which is not in the PATH inside.
        let script = format!(
            "#!/bin/sh\n\
             exec unshare --mount --propagation private sh -c '\n\
             set -e\n\
             {overlay}\n\
             mount --rbind /dev {root}/dev\n\
             mkdir -p {root}{sockets}\n\
             mount --bind {sockets} {root}{sockets}\n\
             chroot=$(command -v chroot)\n\
             unset TMPDIR\n\
             export PATH={PATH} HOME=/root PLUGIN_UNIX_SOCKET_DIR={sockets}\n\
             exec \"$chroot\" {root} /{PROVIDER}'\n"
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(text(&path))
    }

    fn copy(&self, path: &Path) -> Done {
        let to = self.path(&text(path));
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        Ok(fs::copy(path, to).map(drop)?)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn find(program: &str) -> Result<PathBuf> {
    env::split_paths(PATH)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::new(format!("this machine has no {program} in {PATH}")))
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = lines
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}
