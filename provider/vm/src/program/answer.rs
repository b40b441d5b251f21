//! The lines of an answer, collected until its end.

use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mesh::desired::Owner;
use mesh::observed::{ObservedVm, Seen, SeenRuntime, UnitState};
use mesh::workload::Runtime;

use super::RunId;
use super::certificate::validity;
use super::protocol::{CheckWord, FileWord, Line, ReportWord};
use super::report::{Check, Report, Verdict};

/// Bytes of an answer that are kept. The program reads 1 MiB of a file at most, and there are few files.
const MOST: usize = 16 << 20;
/// How many lines of one kind are read.
const MOST_OF_A_KIND: usize = 1000;

/// The answer is larger than one can be.
#[derive(Debug)]
pub(super) struct Excess;

/// The lines so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Lines as they arrived. They are parsed at the end, so that they take no more memory than their length, whatever is
    /// in them.
    text: String,
}

impl Answer {
    /// Adds one line.
    pub(super) fn push(&mut self, line: &str) -> Result<(), Excess> {
        if self.text.len() + line.len() >= MOST {
            return Err(Excess);
        }
        self.text.push_str(line);
        self.text.push('\n');
        Ok(())
    }

    /// Returns the report, or what is missing.
    pub(super) fn report(self, run: &RunId) -> Result<Report, String> {
        let words = self
            .last(Line::Report)
            .ok_or("the program ended without a report")?;
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        let Some(report) = ReportWord::from_text(word(0)) else {
            return Err(format!("unknown report {:?}", word(0)));
        };
        match report {
            ReportWord::Observed => self.observed().map(Report::Observed),
            ReportWord::Checked => Ok(Report::Checked(self.checks())),
            ReportWord::Committed => Ok(self.committed()),
            ReportWord::Awaits => Ok(Report::AwaitsVerdict(run.clone())),
            ReportWord::Untouched => {
                let (step, hop, lines) = self.failure();
                Ok(Report::Untouched { step, hop, lines })
            }
            ReportWord::Reverted => {
                let (step, hop, lines) = self.failure();
                Ok(Report::Reverted { step, hop, lines })
            }
            ReportWord::Removed => Ok(Report::Removed {
                left: self.texts(Line::Left),
            }),
            ReportWord::Foreign => {
                let owner = decode(word(1)).as_deref().and_then(owner);
                let unreadable = || "the owner marker on the VM is not readable".to_owned();
                owner.map(Report::Foreign).ok_or_else(unreadable)
            }
            ReportWord::Busy => Ok(Report::Busy {
                run: name(word(1)),
                verb: name(word(2)),
            }),
            ReportWord::Lost => Ok(Report::Lost),
            ReportWord::Halfway => Ok(Report::Halfway {
                step: name(word(1)),
                lines: self.texts(Line::Text),
            }),
        }
    }

    /// The words behind each line of this key.
    fn lines(&self, key: Line) -> impl DoubleEndedIterator<Item = &str> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(key.text())?;
            (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
        })
    }

    fn all(&self, key: Line) -> impl Iterator<Item = Vec<&str>> {
        self.lines(key).take(MOST_OF_A_KIND).map(words)
    }

    fn last(&self, key: Line) -> Option<Vec<&str>> {
        self.lines(key).next_back().map(words)
    }

    fn texts(&self, key: Line) -> Vec<String> {
        self.all(key)
            .filter_map(|words| decode(words.first()?))
            .collect()
    }

    /// Begin and end of the proxy's certificate.
    fn certificate(&self) -> Option<(Timestamp, Timestamp)> {
        validity(&self.text(Line::Certificate)?)
    }

    fn text(&self, key: Line) -> Option<String> {
        decode(self.last(key)?.first()?).map(|text| text.trim_end_matches('\n').to_owned())
    }

    /// A text of a certain form; a key whose text has another is added to `strange`.
    fn formed(
        &self,
        key: Line,
        fits: impl Fn(&str) -> bool,
        strange: &mut Vec<&'static str>,
    ) -> Option<String> {
        let text = self.text(key)?;
        if fits(&text) {
            return Some(text);
        }
        strange.push(key.text());
        None
    }

    /// What reaches the state has the right form, whatever the VM sends.
    fn committed(&self) -> Report {
        let mut strange = vec![];
        let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
        let are_ports = |text: &str| {
            text.len() <= 400
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b' ')
        };
        Report::Committed {
            version: self.formed(Line::Version, is_version, &mut strange),
            machine_id: self
                .formed(Line::Machine, is_machine_id, &mut strange)
                .unwrap_or_default(),
            recorded: self.last(Line::Recorded).is_some(),
            bypass: self.formed(Line::Ipv6, is_address, &mut strange),
            published: self.formed(Line::Published, are_ports, &mut strange),
            blocked: self.texts(Line::Blocked),
            strange,
        }
    }

    /// The step that failed, the hop that broke, and what was printed.
    fn failure(&self) -> (String, Option<String>, Vec<String>) {
        let word = |words: Vec<&str>| words.first().map(|word| name(word));
        let found = |words: Vec<&str>| {
            Some(format!(
                "{}: {}",
                name(words.first()?),
                decode(words.get(1)?)?
            ))
        };
        let bad = self.all(Line::Bad).filter_map(found);
        let unknown = self.all(Line::Unknown).filter_map(found);
        let unknown = unknown.map(|check| format!("{check} (not checked)"));
        // The first that failed: undoing may fail, too.
        let step = self
            .all(Line::Failed)
            .next()
            .and_then(word)
            .unwrap_or_default();
        let hop = self.last(Line::Hop).and_then(word);
        let lines = bad.chain(unknown).chain(self.texts(Line::Text)).collect();
        (step, hop, lines)
    }

    fn checks(&self) -> Vec<Check> {
        let check = |words: Vec<&str>| {
            let [check, verdict, found @ ..] = words.as_slice() else {
                return None;
            };
            Some(Check {
                name: name(check),
                verdict: match CheckWord::from_text(verdict) {
                    Some(CheckWord::Ok) => Verdict::Ok,
                    Some(CheckWord::Bad) => Verdict::Bad,
                    Some(CheckWord::Unknown) | None => Verdict::Unknown,
                },
                found: found
                    .first()
                    .and_then(|text| decode(text))
                    .unwrap_or_default(),
            })
        };
        self.all(Line::Check).filter_map(check).collect()
    }

    fn observed(&self) -> Result<ObservedVm, String> {
        let word =
            |words: &[&str], at: usize| words.get(at).copied().unwrap_or_default().to_owned();
        Ok(ObservedVm {
            machine_id: self.text(Line::Machine).unwrap_or_default(),
            owner: self.text(Line::Owner).as_deref().and_then(owner),
            files: self
                .all(Line::File)
                .map(|words| file(&words))
                .collect::<Option<_>>()
                .ok_or("a file is not readable")?,
            changed: self.texts(Line::Changed),
            hosts_lines: self.texts(Line::Hosts),
            runtime: SeenRuntime {
                kind: self
                    .last(Line::Runtime)
                    .and_then(|words| words.first()?.parse().ok())
                    .unwrap_or(Runtime::Systemd),
                image: self.text(Line::Image),
                unit: self
                    .last(Line::Unit)
                    .map_or_else(UnitState::default, |words| UnitState {
                        active: word(&words, 0),
                        enabled: word(&words, 1),
                    }),
                version: self.text(Line::Version),
                ready: self.last(Line::Ready).is_some(),
            },
            certificate: self.certificate(),
            jumps: self.all(Line::Jump).map(|words| word(&words, 0)).collect(),
            lost_jumps: self.all(Line::Lost).map(|words| word(&words, 0)).collect(),
            unfinished: self.last(Line::Unfinished).map(|words| word(&words, 0)),
        })
    }
}

/// No line has more words.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().take(8).collect()
}

/// A name of a step, a hop, a verb or a run. The names of the program are short and plain; any other is unknown.
fn name(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if word.len() <= 32 && word.bytes().all(plain) {
        word.to_owned()
    } else {
        "unknown".to_owned()
    }
}

/// As Debian and RPM write versions, and Istio its own.
fn is_version(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+~:-_".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(plain)
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads `PATH missing`, `PATH odd WHY` or `PATH OWNER MODE [CONTENT]`; path, reason and content in base64.
fn file(words: &[&str]) -> Option<(String, Seen)> {
    let path = decode(words.first()?)?;
    let seen = match words.get(1..)? {
        [word] if *word == FileWord::Missing.text() => Seen::Missing,
        [word, why] if *word == FileWord::Odd.text() => Seen::Odd(decode(why)?.trim().to_owned()),
        [owner, mode, content @ ..] => Seen::File {
            owner: (*owner).to_owned(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            content: STANDARD.decode(content.first().unwrap_or(&"")).ok()?,
        },
        _ => return None,
    };
    Some((path, seen))
}

fn owner(line: &str) -> Option<Owner> {
    let (uid, id) = line.split_once(' ')?;
    Some(Owner {
        uid: plain::is_plain(uid, 100).then(|| uid.into())?,
        id: id.trim().parse().ok()?,
    })
}

/// Returns the text, what is no UTF-8 in it replaced; `None` if it is no base64.
fn decode(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
