//! A folder that the provider takes for the whole system: nothing is there but the binary, OpenSSH's client, and the
//! files by which names are looked up.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Done, Failure, Result};

/// OpenSSH's client, and the shell that ends it with the provider.
const PROGRAMS: [&str; 5] = ["ssh", "ssh-agent", "ssh-add", "sh", "rm"];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const PROVIDER: &str = "terraform-provider-mesh";

/// Such a folder. It goes when it is dropped.
pub struct Cell {
    folder: TempDir,
}

impl Cell {
    /// Makes one around a provider.
    ///
    /// # Errors
    /// Something that belongs into it is not on this machine.
    pub fn around(provider: &str) -> Result<Self> {
        let cell = Self {
            folder: TempDir::new()?,
        };
        for folder in ["root/tmp", "root/dev", "root/root", "sockets"] {
            fs::create_dir_all(cell.folder.path().join(folder))?;
        }
        fs::copy(provider, cell.path(PROVIDER))?;
        for program in PROGRAMS {
            let found = find(program)?;
            cell.copy(&found)?;
            for library in libraries(&found)? {
                cell.copy(&library)?;
            }
        }
        if Path::new(CERTIFICATES).exists() {
            cell.copy(Path::new(CERTIFICATES))?;
        }
        cell.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
        cell.write("/etc/group", "root:x:0:\n")?;
        cell.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")?;
        cell.write("/etc/nsswitch.conf", "hosts: files dns\n")?;
        Ok(cell)
    }

    /// Returns where a path inside lies outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder
            .path()
            .join("root")
            .join(inside.trim_start_matches('/'))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, inside: &str, text: &str) -> Done {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        Ok(fs::write(path, text)?)
    }

    /// Takes a program away.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove(&self, program: &str) -> Done {
        Ok(fs::remove_file(self.path(&text(&find(program)?)))?)
    }

    /// Puts it back.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn restore(&self, program: &str) -> Done {
        self.copy(&find(program)?)
    }

    /// Returns a program that starts the provider inside. Its socket is at the same path inside and outside.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn launcher(&self) -> Result<String> {
        let path = self.folder.path().join("launch");
        let (root, sockets) = (self.path(""), self.folder.path().join("sockets"));
        let (root, sockets) = (root.display(), sockets.display());
        let script = format!(
            "#!/bin/sh\nexec unshare --mount --propagation private sh -c '\n\
             set -e\n\
             mount --rbind /dev {root}/dev\n\
             mkdir -p {root}{sockets}\n\
             mount --bind {sockets} {root}{sockets}\n\
             unset TMPDIR\n\
             export PLUGIN_UNIX_SOCKET_DIR={sockets} PATH=/usr/bin:/bin HOME=/root\n\
             exec chroot {root} /{PROVIDER}'\n"
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(text(&path))
    }

    /// Puts modules for the lookup of names beside the libraries, which crash in a program that holds another glibc than
    /// they were built for, as real ones may. A program that a loader started holds the right one.
    ///
    /// # Errors
    /// They do not compile.
    pub fn add_modules(&self, names: &[&str]) -> Done {
        let source = self.folder.path().join("module.c");
        fs::write(&source, MODULE)?;
        let libraries = libraries(&find("ssh")?)?;
        let libc = libraries
            .iter()
            .find(|path| path.ends_with("libc.so.6"))
            .ok_or_else(|| Failure::new("ssh has no libc"))?;
        // A static program finds the loader that a module needs beside the module only.
        for loader in libraries
            .iter()
            .filter(|path| text(path).contains("/ld-linux"))
        {
            let beside = libc.with_file_name(loader.file_name().unwrap_or_default());
            fs::copy(loader, self.path(&text(&beside)))?;
        }
        for name in names {
            let module = libc.with_file_name(format!("libnss_{name}.so.2"));
            let built = Command::new("cc")
                .args(["-shared", "-fPIC", "-o"])
                .args([&self.path(&text(&module)), &source])
                .status()?;
            if !built.success() {
                return Err(Failure::new(format!("{name} does not compile")));
            }
        }
        Ok(())
    }

    fn copy(&self, path: &Path) -> Done {
        let to = self.path(&text(path));
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        Ok(fs::copy(path, to).map(drop)?)
    }
}

const MODULE: &str = "
#include <stdlib.h>
#include <sys/auxv.h>
__attribute__((constructor)) static void crash(void) { if (getauxval(AT_BASE) == 0) abort(); }
";

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // The launcher's PATH has these two.
    env::split_paths(&path)
        .chain(["/usr/bin", "/bin"].map(PathBuf::from))
        .filter(|folder| folder.ends_with("bin") && !folder.starts_with("/usr/local"))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::new(format!("this machine has no {program}")))
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = lines
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}
