//! One exec of the remote program: its streams, as lines and events.

use std::collections::VecDeque;
use std::time::Duration;

use openssh::{ChildStdin, Stdio};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::program::{Event, Reader, RunId};

/// What an exec of the remote program is started with.
pub(super) struct Exec<'a> {
    /// The remote command.
    pub(super) command: String,
    /// What is written to its standard input first.
    pub(super) stdin: Vec<u8>,
    /// The run that its answer is about.
    pub(super) run: &'a RunId,
}

/// One running exec.
pub(super) struct Call<'a> {
    child: openssh::Child<&'a openssh::Session>,
    stdout: BufReader<openssh::ChildStdout>,
    input: mpsc::Sender<SecretString>,
    /// Writes to standard input and reads standard error; ends with the call.
    tasks: JoinSet<Tail>,
    reader: Reader,
    begun: bool,
    noise: Tail,
}

impl<'a> Call<'a> {
    /// Starts the program; `None` if there is no connection any more.
    pub(super) async fn start(ssh: &'a openssh::Session, exec: Exec<'_>) -> Option<Self> {
        let mut command = ssh.raw_command(exec.command);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().await.ok()?;
        let stdin = child.stdin().take()?;
        let stdout = BufReader::new(child.stdout().take()?);
        let stderr = BufReader::new(child.stderr().take()?);
        let (input, printed) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, exec.stdin, printed));
        tasks.spawn(listen(stderr));
        let reader = Reader::new(exec.run);
        Some(Self {
            child,
            stdout,
            input,
            tasks,
            reader,
            begun: false,
            noise: Tail::default(),
        })
    }

    /// Returns what the next line means; `None` after the last one.
    pub(super) async fn hear(&mut self) -> Option<Event> {
        let line = next_line(&mut self.stdout, LONGEST).await?;
        let event = match &line {
            Line::Whole(line) => self.reader.feed(line),
            Line::Part(_) => self.reader.feed_part(),
        };
        match &event {
            Event::Begun => self.begun = true,
            Event::Ignored if !self.begun => self.noise.push(line.text()),
            Event::Malformed(why) => self.noise.push(why),
            _ => {}
        }
        Some(event)
    }

    pub(super) async fn say(&self, line: SecretString) {
        // If nobody reads any more, standard output ends.
        let _ = self.input.send(line).await;
    }

    /// Waits for the end of an exec that gave no answer, for `idle` at most.
    pub(super) async fn ended(mut self, idle: Duration) -> Ended {
        drop(self.input);
        let status = tokio::time::timeout(idle, self.child.wait()).await;
        let heard = async {
            while let Some(tail) = self.tasks.join_next().await {
                self.noise.0.extend(tail.unwrap_or_default().0);
            }
        };
        // A process that the program left behind may hold standard error open.
        let _ = tokio::time::timeout(Duration::from_secs(1), heard).await;
        let status = match status {
            Ok(Ok(status)) => Status::Exited(status.code()),
            Ok(Err(openssh::Error::Remote(_))) => Status::Exited(Some(127)),
            Ok(Err(openssh::Error::RemoteProcessTerminated)) => Status::Vanished,
            _ => Status::Cut,
        };
        Ended {
            status,
            begun: self.begun,
            lines: self.noise.0.into(),
        }
    }
}

/// How an exec ended that gave no answer.
pub(super) struct Ended {
    pub(super) status: Status,
    /// Whether the program itself had answered.
    pub(super) begun: bool,
    /// The last lines of all other output, standard error's at the end.
    pub(super) lines: Vec<String>,
}

/// What is known of an exec's end.
pub(super) enum Status {
    Exited(Option<i32>),
    /// Its channel closed: a signal, or the first sign of a broken connection.
    Vanished,
    /// With the connection.
    Cut,
}

/// How often the program hears that we are there: it counts us as gone after ten seconds without.
const BEAT: Duration = Duration::from_secs(3);
const HERE: &str = "here\n";

/// Writes what is sent, with heartbeats in between, until all senders are gone; then closes
/// standard input.
async fn write(
    mut stdin: ChildStdin,
    first: Vec<u8>,
    mut printed: mpsc::Receiver<SecretString>,
) -> Tail {
    let mut open = stdin.write_all(&first).await.is_ok();
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let line = tokio::select! {
            line = printed.recv() => line,
            _ = beat.tick() => Some(HERE.into()),
        };
        let Some(line) = line else {
            break;
        };
        open = open
            && stdin
                .write_all(line.expose_secret().as_bytes())
                .await
                .is_ok();
    }
    Tail::default()
}

async fn listen(mut stderr: impl AsyncBufRead + Unpin) -> Tail {
    let mut tail = Tail::default();
    while let Some(line) = next_line(&mut stderr, LONGEST_ERROR).await {
        tail.push(line.text());
    }
    tail
}

/// Bytes of a line of the answer. The longest holds a file of 1 MiB in base64.
const LONGEST: u64 = 2 << 20;
/// Bytes of a line on standard error.
const LONGEST_ERROR: u64 = 64 << 10;

enum Line {
    Whole(String),
    /// A piece of a line that is longer than it may be.
    Part(String),
}

impl Line {
    fn text(&self) -> &str {
        match self {
            Self::Whole(text) | Self::Part(text) => text,
        }
    }
}

/// Returns the next line; one of more than `longest` bytes comes in pieces, so that it is never in memory as a whole.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin), longest: u64) -> Option<Line> {
    let mut line = Vec::new();
    let read = stream.take(longest).read_until(b'\n', &mut line).await;
    let read = read.ok().filter(|read| *read > 0)?;
    let text = String::from_utf8_lossy(&line)
        .trim_end_matches(['\r', '\n'])
        .to_owned();
    let is_part = u64::try_from(read).ok() == Some(longest) && line.last() != Some(&b'\n');
    Some(if is_part {
        Line::Part(text)
    } else {
        Line::Whole(text)
    })
}

/// The last lines of the output beside the answer.
#[derive(Debug, Default)]
struct Tail(VecDeque<String>);

impl Tail {
    fn push(&mut self, line: &str) {
        if self.0.len() == 20 {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(300).collect());
    }
}
