//! Operations inside a machine: commands, files, HTTP requests.

use std::process::Command;

use crate::command::{Output, PATIENCE, checked, run};
use crate::machine::Machine;
use crate::{Error, Result};

/// Response of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status; 0 without a response.
    pub status: u16,
    /// Body, or curl's error without a response.
    pub body: String,
}

impl Machine {
    /// Runs a command in it as root. A non-zero exit code is not an error.
    pub fn exec(&self, words: &[&str]) -> Result<Output> {
        run(&mut self.command(words)?, b"", PATIENCE)
    }

    /// Runs a shell script in it as root and returns its stdout; a non-zero exit code is an error.
    pub fn shell(&self, script: &str) -> Result<String> {
        checked(&mut self.command(&["sh", "-c", script])?, b"", PATIENCE)
    }

    /// Writes a file in it as root, with mode 0644 if it is new.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let script = "mkdir -p \"$(dirname \"$1\")\" && cat >\"$1\"";
        checked(
            &mut self.command(&["sh", "-c", script, "sh", path])?,
            content,
            PATIENCE,
        )
        .map(drop)
    }

    /// Returns the content of a file in it.
    pub fn read(&self, path: &str) -> Result<String> {
        checked(&mut self.command(&["cat", path])?, b"", PATIENCE)
    }

    /// Requests a URL from inside, with optional arguments for curl.
    pub fn curl(&self, url: &str, more: &[&str]) -> Result<Answer> {
        let words = [
            &[
                "curl",
                "--silent",
                "--show-error",
                "--max-time",
                "10",
                "--write-out",
                "\n%{http_code}",
                url,
            ],
            more,
        ]
        .concat();
        let output = self.exec(&words)?;
        let (body, status) = output.stdout.rsplit_once('\n').unwrap_or_default();
        let status = status.parse().unwrap_or(0);
        Ok(Answer {
            status,
            body: if status == 0 {
                output.stderr
            } else {
                body.into()
            },
        })
    }

    /// Returns a command that runs in it as root. The caller starts it.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        self.touch();
        let leader = self
            .leader()
            .ok_or_else(|| Error::Refused(format!("{} is powered off", self.name)))?;
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &leader.to_string(),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd",
            "--",
        ]);
        let terminal = std::env::var("TERM").unwrap_or_else(|_| "dumb".into());
        command.args([
            "env",
            "-i",
            "HOME=/root",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]);
        command.arg(format!("TERM={terminal}")).args(words);
        Ok(command)
    }
}
