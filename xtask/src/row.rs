//! Commands of `cargo xtask test`, and the parallel lanes in which they run.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::cargo::root;
use crate::libtest::Reader;
use crate::summary::Outcome;

/// Time limit of a row, so that a hanging row does not block CI.
const LIMIT_SECONDS: &str = "1800";
/// Name of the bed that the scenarios share. The rows bring it up and take it down.
pub(crate) const BED: &str = "acceptance";
/// Variable by which scenarios find the bed.
const BED_VARIABLE: &str = "MESH_BED";

/// Name of the row that runs the unit tests.
pub(crate) const UNIT: &str = "unit";
/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";

/// A command.
#[derive(Clone)]
pub(crate) struct Row {
    /// Name in the output.
    pub(crate) name: &'static str,
    /// Command line without quoting.
    pub(crate) command: String,
    /// Number of parallel tests.
    pub(crate) threads: usize,
}

/// Runs lanes in parallel, and the rows of each lane sequentially. A failed row does not stop the others, so that one run
/// shows all failures. Lines are written to `out` while the rows run, each with the name of its row.
///
/// # Errors
/// Fails if `out` cannot be written to.
pub(crate) fn run(
    lanes: &[Vec<Row>],
    out: impl Write + Send,
) -> Result<Vec<Outcome>, Box<dyn Error>> {
    let out = Mutex::new(out);
    let run_lane = |lane: &[Row]| {
        lane.iter()
            .map(|row| row.run(&out))
            .collect::<io::Result<Vec<_>>>()
    };
    let lanes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|lane| scope.spawn(|| run_lane(lane)))
            .collect();
        running
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut outcomes = Vec::new();
    for lane in lanes {
        outcomes.extend(lane.map_err(|_| "a lane panicked")??);
    }
    Ok(outcomes)
}

impl Row {
    fn run(&self, out: &Mutex<impl Write>) -> io::Result<Outcome> {
        let start = Instant::now();
        let mut tests = Reader::new(self.threads);
        let print = |line: &str| {
            let mut out = out
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            writeln!(out, "{} | {line}", self.name)
        };
        print(&format!("== {}", self.command))?;
        let success = match self.follow(|line| {
            tests.line(line, start.elapsed());
            if is_waiting(line) {
                Ok(())
            } else {
                print(line)
            }
        }) {
            Ok(success) => success,
            Err(error) => {
                print(&format!("cannot run {}: {error}", self.command))?;
                false
            }
        };
        Ok(Outcome {
            name: self.name,
            took: start.elapsed(),
            success,
            tests,
        })
    }

    /// Returns true if the command succeeded. Both of its streams go to one pipe: cargo prints the name of each binary to
    /// stderr, and its tests to stdout.
    fn follow(&self, mut each: impl FnMut(&str) -> io::Result<()>) -> io::Result<bool> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        // The command object keeps the write end of the pipe open.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            each(&String::from_utf8_lossy(&line?))?;
        }
        Ok(child.wait()?.success())
    }

    fn command(&self) -> Command {
        let words = self.command.split_whitespace();
        // Not available on all systems; without it, a hanging row is not stopped.
        let mut timeout = Command::new(if cfg!(target_os = "linux") {
            "timeout"
        } else {
            "env"
        });
        if cfg!(target_os = "linux") {
            timeout.args(["--kill-after=30", LIMIT_SECONDS]);
        }
        timeout.args(words).current_dir(root());
        timeout
            .env("RUST_TEST_THREADS", self.threads.to_string())
            .env(BED_VARIABLE, BED)
            .envs(self.temporary().map(|folder| ("TMPDIR", folder)))
            .env("CARGO_TERM_COLOR", "never");
        timeout
    }

    /// Returns a folder in memory for temporary files of the unit tests. They create and remove so many small files that a
    /// disk's file system takes a tenth of their time.
    fn temporary(&self) -> Option<&'static str> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        (self.name == UNIT && has_memory(&mounts)).then_some(MEMORY)
    }
}

/// Returns true if the file system in memory is there and programs may run from it.
fn has_memory(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields.get(1..3) == Some(&[MEMORY, "tmpfs"])
            && fields
                .get(3)
                .is_some_and(|options| !options.split(',').any(|option| option == "noexec"))
    })
}

/// Returns true if libtest only reports that a test is still running: scenarios may wait for a VM for minutes.
fn is_waiting(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with(" has been running for over 60 seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, command: &str) -> Row {
        Row {
            name,
            command: command.into(),
            threads: 1,
        }
    }

    #[test]
    fn the_output_of_a_row_is_shown_and_its_exit_code_kept() {
        let mut out = Vec::new();
        let lanes = [vec![
            row("broken", "cargo no-such-command"),
            row("whole", "true"),
        ]];
        let outcomes = run(&lanes, &mut out).unwrap();
        assert_eq!(
            outcomes.iter().map(|row| row.success).collect::<Vec<_>>(),
            [false, true]
        );
        let shown = String::from_utf8(out).unwrap();
        assert!(
            shown.starts_with("broken | == cargo no-such-command\n"),
            "{shown}"
        );
        assert!(shown.contains("no such command"), "{shown}");
        assert!(shown.ends_with("whole | == true\n"), "{shown}");
    }

    #[test]
    fn temporary_files_of_unit_tests_are_in_memory_where_programs_may_run_there() {
        let mounts = "proc /proc proc rw 0 0\ntmpfs /dev/shm tmpfs rw,relatime 0 0\n";
        assert!(has_memory(mounts));
        assert!(!has_memory(&mounts.replace("relatime", "noexec")));
        assert!(!has_memory(""));
        assert_eq!(row("lints", "cargo").temporary(), None);
    }

    /// Each of the two rows ends only if the other one runs.
    #[test]
    fn lanes_run_in_parallel() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        for path in [&one, &two] {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        let [one, two] = [one, two].map(|path| path.display().to_string());
        let lanes = [
            vec![
                row("reads", &format!("cp {one} {one}.copy")),
                row("writes", &format!("cp /dev/null {two}")),
            ],
            vec![
                row("writes", &format!("cp /dev/null {one}")),
                row("reads", &format!("cp {two} {two}.copy")),
            ],
        ];
        let outcomes = run(&lanes, io::sink()).unwrap();
        assert!(outcomes.iter().all(|row| row.success));
        assert_eq!(
            outcomes.iter().map(|row| row.name).collect::<Vec<_>>(),
            ["reads", "writes", "writes", "reads"]
        );
    }
}
