//! Measures the start time of the binary and its memory at that time.
//!
//! Terraform starts a provider several times per command, so its start time matters. A process that only prints a line is
//! measured as well, to show the overhead of a slow or busy machine.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use contract::{COOKIE, ClientCertificate};

use super::process::resident;

const STARTS: usize = 20;

/// A process at its first line on stdout.
pub(super) struct Start {
    pub(super) took: Duration,
    /// Resident memory.
    pub(super) kib: u64,
}

/// Starts of the provider and of a trivial process.
pub(super) struct Starts {
    pub(super) provider: Start,
    pub(super) trivial: Start,
}

/// Measures the binary of a provider.
///
/// # Errors
/// Fails if it cannot be started or prints no handshake line.
pub(super) fn measure(binary: &Path) -> Result<Starts, Box<dyn Error>> {
    Ok(Starts {
        provider: median(|sockets| launch(binary, sockets))?,
        trivial: median(|_| Ok(trivial()))?,
    })
}

/// Returns the command as Terraform starts it: with the cookie, and with a certificate for mutual TLS.
fn launch(binary: &Path, sockets: &Path) -> io::Result<Command> {
    let mut command = Command::new(binary);
    command
        .env(COOKIE.0, COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "6")
        .env("PLUGIN_UNIX_SOCKET_DIR", sockets)
        .env("PLUGIN_CLIENT_CERT", ClientCertificate::new()?.pem());
    Ok(command)
}

fn trivial() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read -r line"]);
    command
}

/// Returns the separate medians of time and memory. The first start does not count, because it reads from disk.
fn median(launch: impl Fn(&Path) -> io::Result<Command>) -> Result<Start, Box<dyn Error>> {
    let sockets = tempfile::tempdir()?;
    let mut took = Vec::new();
    let mut kib = Vec::new();
    for _ in 0..=STARTS {
        let start = start(launch(sockets.path())?)?;
        took.push(start.took);
        kib.push(start.kib);
    }
    took.remove(0);
    kib.remove(0);
    took.sort_unstable();
    kib.sort_unstable();
    Ok(Start {
        took: took[STARTS / 2],
        kib: kib[STARTS / 2],
    })
}

/// Starts a process, waits for its first line, and stops it.
fn start(mut command: Command) -> Result<Start, Box<dyn Error>> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let begin = Instant::now();
    let mut child = command.spawn()?;
    let measured = observe(&mut child, begin);
    child.kill()?;
    child.wait()?;
    measured
}

fn observe(child: &mut Child, begin: Instant) -> Result<Start, Box<dyn Error>> {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().ok_or("stdout is not a pipe")?).read_line(&mut line)?;
    let took = begin.elapsed();
    if line.is_empty() {
        return Err("the process exited without printing a line: see its output above".into());
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let kib = resident(&status).ok_or("the kernel does not report VmRSS")?;
    Ok(Start { took, kib })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_first_line_is_an_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 0"]);
        assert!(start(command).is_err());
    }
}
