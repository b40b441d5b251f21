//! Runs programs with a time limit and waits for conditions.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Result of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; 128 plus the signal's number if a signal terminated it.
    pub status: i32,
    /// Stdout as text.
    pub stdout: String,
    /// Stderr as text.
    pub stderr: String,
}

impl Output {
    /// Returns true if the exit code is 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// Runs a program with `input` on its stdin for at most `limit`.
pub(crate) fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Output> {
    let name = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(format!("start `{name}`")))?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child
            .try_wait()
            .map_err(Error::io(format!("wait for `{name}`")))?
        {
            break status;
        }
        if Instant::now() > end {
            child
                .kill()
                .and_then(|()| child.wait())
                .map_err(Error::io(format!("stop `{name}`")))?;
            return Err(Error::Late {
                what: format!("`{name}` done"),
                limit,
                last: String::new(),
            });
        }
        thread::sleep(Duration::from_millis(5));
    };
    Ok(Output {
        status: code(status),
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Runs a program like [`run`] and returns its stdout; a non-zero exit code is an error.
pub(crate) fn checked(command: &mut Command, input: &[u8], limit: Duration) -> Result<String> {
    let output = run(command, input, limit)?;
    if output.success() {
        return Ok(output.stdout);
    }
    Err(Error::Command {
        command: describe(command),
        status: format!("exit code {}", output.status),
        output: tail(&format!("{}{}", output.stdout, output.stderr), 20),
    })
}

/// Timeout of conditions and short commands. It is generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// Runs a short program without input and checks its exit code.
pub(crate) fn quick(program: &str, args: &[&str]) -> Result<String> {
    checked(Command::new(program).args(args), b"", PATIENCE)
}

/// Runs a short program that prints a word, such as a version or a path, and returns the word.
///
/// # Errors
/// Fails if the program fails or prints nothing: an empty version or path would cause errors elsewhere.
pub(crate) fn answer(program: &str, args: &[&str]) -> Result<String> {
    word(Command::new(program).args(args))
}

/// Like [`answer`], for a prepared command.
pub(crate) fn word(command: &mut Command) -> Result<String> {
    let printed = checked(command, b"", PATIENCE)?;
    let word = printed.trim();
    if word.is_empty() {
        return Err(Error::Refused(format!(
            "`{}` printed nothing: check that this program works here, then run the same command again",
            describe(command)
        )));
    }
    Ok(word.to_owned())
}

/// Polls `probe` until it succeeds. On failure, `probe` returns what it found instead.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match probe() {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() > end => {
                return Err(Error::Late {
                    what: what.into(),
                    limit,
                    last,
                });
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Returns the last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A broken pipe ends the text; the exit code shows the failure.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

fn text(reader: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_prints_nothing_is_named() {
        assert_eq!(answer("echo", &[" amd64 "]).unwrap(), "amd64");
        for program in ["echo", "true"] {
            let error = answer(program, &[]).unwrap_err().chain();
            assert!(
                error.starts_with(&format!("`{program}` printed nothing: ")),
                "{error}"
            );
        }
    }
}
