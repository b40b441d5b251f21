//! Processes that the bed starts and stops.
//!
//! **Invariant**: a process is stopped only if its ID *and* start time were recorded.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use crate::command::{PATIENCE, quick, wait_for};
use crate::{Error, Result};

/// Lifetime of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until `down`, even after this process has exited.
    Bed,
    /// Until its owner is dropped or this process exits for any reason.
    Owner,
}

/// A process, distinguished by its start time from a later one with the same ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) pid: u32,
    started: u64,
}

impl Recorded {
    /// Returns a running process.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field, the name in parentheses, may contain spaces. State and start time are the 3rd and 22nd.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if fields.next()? == "Z" && !other_threads(pid) {
            return None;
        }
        Some(Self {
            pid,
            started: fields.nth(18)?.parse().ok()?,
        })
    }

    /// Reads a record written by [`Recorded::save`].
    pub(crate) fn load(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }

    /// Writes ID and start time to a file.
    pub(crate) fn save(self, path: &Path) -> Result<()> {
        fs::write(path, format!("{} {}\n", self.pid, self.started))
            .map_err(Error::at("write", path))
    }

    /// Returns true if it is still running.
    pub(crate) fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills it with SIGKILL and waits until it has exited.
    pub(crate) fn kill(self) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        let killed = quick("sh", &["-c", "kill -9 \"$1\"", "sh", &self.pid.to_string()]);
        if killed.is_err() && self.alive() {
            return killed.map(drop);
        }
        wait_for(&format!("end of process {}", self.pid), PATIENCE, || {
            if self.alive() {
                Err(String::new())
            } else {
                Ok(())
            }
        })
    }
}

/// Returns true if a process has threads besides its main thread. The main thread may exit first, and sockets stay open
/// until the last thread has exited.
fn other_threads(pid: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// Watcher of a server: stops it once the pipe from its owner closes, and then removes the owner's folder.
const WATCH: &str = r#"folder=$1; shift; exec 3<&0
"$@" 3<&- & server=$!
{ cat <&3 >/dev/null; kill -9 $server 2>/dev/null; } & watch=$!
wait $server; kill $watch 2>/dev/null; rm -rf "$folder""#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Recorded,
    /// For a server that stops with its owner: the pipe that keeps it running, and its watcher.
    kept: Option<(ChildStdin, Child)>,
}

impl Server {
    /// Starts a server that logs to `folder/NAME.log`. Its ID is recorded in `folder/NAME.pid`.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        folder: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::at("write", &path))?;
        let errors = log.try_clone().map_err(Error::at("write", &path))?;
        let mut watched;
        let command = match lifetime {
            Lifetime::Bed => command.stdin(Stdio::null()),
            Lifetime::Owner => {
                watched = watched_by_shell(command, folder);
                watched.stdin(Stdio::piped())
            }
        };
        // Ctrl-C in a terminal must not stop a server that is meant to keep running.
        let mut child = command
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("start {name}")))?;
        let process = Recorded::of(child.id()).ok_or_else(|| {
            Error::Refused(format!("{name} exited immediately, see {}", path.display()))
        })?;
        process.save(&folder.join(format!("{name}.pid")))?;
        if let Some(pipe) = child.stdin.take() {
            let kept = Some((pipe, child));
            return Ok(Self { process, kept });
        }
        thread::spawn(move || child.wait());
        let kept = None;
        Ok(Self { process, kept })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((pipe, mut watcher)) = self.kept.take() {
            drop(pipe);
            // The watcher exits right after the server. Its exit code does not matter.
            let _ = watcher.wait();
        }
    }
}

fn watched_by_shell(command: &Command, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", WATCH, "sh"])
        .arg(folder)
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        shell.env(key, value.unwrap_or(OsStr::new("")));
    }
    if let Some(place) = command.get_current_dir() {
        shell.current_dir(place);
    }
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program whose main thread exits while a second one runs until stdin is closed.
    const FIRST_THREAD_ENDS: &str = r#"
import ctypes, sys, threading
def rest():
    print("on", flush=True)
    sys.stdin.read()
threading.Thread(target=rest).start()
ctypes.CDLL(None).pthread_exit(None)
"#;

    #[test]
    fn a_process_is_alive_until_its_last_thread_has_exited() {
        let mut child = Command::new("python3")
            .args(["-c", FIRST_THREAD_ENDS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Recorded::of(child.id()).unwrap();
        wait_for("the first thread exits", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            if stat.contains(") Z ") {
                Ok(())
            } else {
                Err(stat)
            }
        })
        .unwrap();
        assert!(process.alive());
        drop(child.stdin.take());
        wait_for("the process exits", PATIENCE, || {
            if process.alive() {
                Err("alive".into())
            } else {
                Ok(())
            }
        })
        .unwrap();
        child.wait().unwrap();
    }
}
