//! Child processes that end when we do, however we end.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use crate::VmError;

/// Starts `$2…` and ends it when standard input does: that pipe is ours, so the system closes it
/// even when we are killed. `$1` is the directory that is removed with it. The shell gives up standard error,
/// whose reader may be dead: to report the child's end there would end it, too.
const WATCHED: &str = r#"
dir=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & child=$!
(read -r _ <&3; kill "$child") 2>/dev/null & watcher=$!
exec 3<&- 2>/dev/null
wait "$child"; status=$?
kill "$watcher" 2>/dev/null
rm -rf -- "$dir"
exit "$status"
"#;

/// A running child and the directory of its files. Dropping it ends the child.
#[derive(Debug)]
pub(super) struct Lifeline {
    child: Child,
    /// Never written to. Not left in `child`: waiting there would close it.
    line: Option<ChildStdin>,
    dir: TempDir,
}

impl Lifeline {
    /// Starts `program` in its directory and discards its standard output.
    pub(super) fn spawn<S: AsRef<OsStr>>(
        program: &'static str,
        args: impl IntoIterator<Item = S>,
        dir: TempDir,
    ) -> Result<Self, VmError> {
        installed(program).map_err(|source| VmError::OpenSsh { program, source })?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHED, "sh"])
            .arg(dir.path())
            .arg(program)
            .args(args)
            .env("LC_ALL", "C")
            .env("SSH_ASKPASS_REQUIRE", "never")
            // Ctrl-C in the terminal is for Terraform, which then stops us.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| VmError::Local {
                doing: "start /bin/sh",
                source,
            })?;
        Ok(Self {
            line: child.stdin.take(),
            child,
            dir,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits until `socket` in the directory answers; `false` if the child ended before.
    pub(super) async fn answers(&mut self, socket: &Path) -> bool {
        loop {
            if UnixStream::connect(socket).await.is_ok() {
                return true;
            }
            if tokio::time::timeout(Duration::from_millis(5), self.child.wait())
                .await
                .is_ok()
            {
                return false;
            }
        }
    }

    /// Ends the child and waits until it is gone, for two seconds at most.
    pub(super) async fn close(mut self) {
        drop(self.line.take());
        // Past that it is the shell's to finish.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await;
    }

    /// Whether the child is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Creates a directory that only we can enter, with a path that is safe in ssh's own options and short
/// enough for a socket.
pub(super) fn private_dir() -> Result<TempDir, VmError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    let base = std::env::temp_dir();
    let fits = base.as_os_str().len() <= 60
        && base
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .all(|byte| plain(*byte));
    let base = if fits { base } else { PathBuf::from("/tmp") };
    tempfile::Builder::new()
        .prefix("mesh-ssh-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(base)
        .map_err(|source| VmError::Local {
            doing: "create a temporary directory",
            source,
        })
}

/// The shell in between would only say 127, or 126 of a file that is no program.
fn installed(program: &str) -> io::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find(program, &path)
}

fn find(program: &str, path: &OsStr) -> io::Result<()> {
    let runs = |path: PathBuf| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if std::env::split_paths(path).any(|dir| runs(dir.join(program))) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "not found in PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_file_in_path_that_may_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().as_os_str();
        assert!(find("ssh", path).is_err());
        let ssh = dir.path().join("ssh");
        std::fs::write(&ssh, "").unwrap();
        assert!(find("ssh", path).is_err());
        std::fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
        find("ssh", path).unwrap();
        assert!(find("ssh", OsStr::new("")).is_err());
    }
}
