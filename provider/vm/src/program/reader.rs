//! The answer of the remote program, line by line.

use super::RunId;
use super::answer::{Answer, Excess};
use super::protocol::Line;
use super::report::Report;

/// What one line of the answer means.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each call")]
pub enum Event {
    /// A line that is not of the answer, or a part of the report to come.
    Ignored,
    /// The program runs; from now on it sends a line each second.
    Begun,
    /// The program is alive.
    Heartbeat,
    /// It begins a step.
    Step(String),
    /// It waits for [`token_line`](super::token_line) on its standard input.
    WantsToken,
    /// The answer is complete.
    Finished(Report),
    /// The answer is complete but not understood: why.
    Malformed(String),
    /// The answer is larger than one can be: nothing more is read.
    Excessive,
}

/// Reads the answer line by line; lines that are not of it (banner, profile) are ignored.
#[derive(Debug)]
pub struct Reader {
    run: RunId,
    begun: bool,
    answer: Answer,
}

impl Reader {
    /// Returns a reader for the answer to a [`Payload`](super::Payload) of this run.
    pub fn new(run: &RunId) -> Self {
        Self {
            run: run.clone(),
            begun: false,
            answer: Answer::default(),
        }
    }

    /// Takes the next line, with or without its line end.
    pub fn feed(&mut self, line: &str) -> Event {
        let line = line.trim_end_matches(['\r', '\n']);
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        match Line::from_text(key) {
            Some(Line::Begin) if rest == self.run.as_str() => {
                self.begun = true;
                Event::Begun
            }
            _ if !self.begun => Event::Ignored,
            Some(Line::Alive | Line::Undo) => Event::Heartbeat,
            Some(Line::Want) => Event::WantsToken,
            Some(Line::Step) => Event::Step(rest.into()),
            Some(Line::End) if rest == self.run.as_str() => self.finish(),
            _ => match self.answer.push(line) {
                Ok(()) => Event::Ignored,
                Err(Excess) => self.exceed(),
            },
        }
    }

    /// Takes a part of a line that is longer than any line of the program's.
    pub fn feed_part(&mut self) -> Event {
        if self.begun {
            self.exceed()
        } else {
            Event::Ignored
        }
    }

    fn exceed(&mut self) -> Event {
        self.begun = false;
        self.answer = Answer::default();
        Event::Excessive
    }

    fn finish(&mut self) -> Event {
        self.begun = false;
        match std::mem::take(&mut self.answer).report(&self.run) {
            Ok(report) => Event::Finished(report),
            Err(why) => Event::Malformed(why),
        }
    }
}
