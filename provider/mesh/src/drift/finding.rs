//! A difference between what is and what should be, as data. State and people have it as one line of text:
//! `files: /var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'`.
//!
//! **Invariant**: any text is read as a finding that is written as the same text again, so that whatever a former
//! version stored stays as it is until it is repaired.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::cause::Cause;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// For what cause it bootstraps the VM; `None`: it is about an object, or it is repaired whatever is held back.
    pub cause: Option<Cause>,
    /// The object or file of which a part differs, e.g. `WorkloadEntry bookinfo/ratings`; `None`: `at` is the whole.
    pub subject: Option<String>,
    /// The part, e.g. `spec.labels.version`, a variable, or `the unit istio`.
    pub at: String,
    /// What is found.
    pub what: What,
}

/// What is found of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has another value.
    Differs {
        /// The value that is there.
        is: String,
        /// The value that should be there.
        should: String,
    },
    /// It is not there.
    Missing {
        /// The value that should be there, where it may be shown.
        should: Option<String>,
    },
    /// It is there and should not be.
    Unwanted {
        /// The value that is there, where it may be shown.
        is: Option<String>,
    },
    /// It is otherwise, and neither value may be shown.
    Hidden,
    /// The user changed it, and what that asks for is held back.
    Edited,
    /// A bootstrap has not come to its end.
    Unfinished,
    /// Whatever else is said of it, with the space before it; empty where `at` is the whole sentence.
    Said(String),
}

/// Where what is said of a thing begins, today and in former versions: `owner 'a' -> 'b'`, `mode 0666 -> 0644`.
const BEGINS: [&str; 6] = [" is ", " '", " none -> ", " 0", " differs", WAS_CHANGED];
const WAS_CHANGED: &str = " was changed";
const IS_MISSING: &str = " is missing";
const IS_UNWANTED: &str = " is not wanted";
const DIFFERS: &str = " differs";
const SHOULD_BE: &str = "', should be '";
const SHOULD_NOT_BE: &str = "', should not be there";
const MISSING_SHOULD_BE: &str = " is missing, should be '";
/// The bootstrap of which only an apply can tell whether it did all of its work.
const NOT_FINISHED: &str = "the bootstrap was not finished";
/// The step at which a bootstrap stopped, as the VM says.
const STOPPED: &str = "a bootstrap stopped at the step ";

/// The hosts file of the VM.
pub(super) const HOSTS: &str = "/etc/hosts";
/// The line in it that is ours.
pub(super) const ISTIOD_LINE: &str = "istiod's line";

impl Finding {
    /// Returns what is said of a thing.
    pub fn new(cause: Option<Cause>, subject: Option<&str>, at: &str, what: What) -> Self {
        Self {
            cause,
            subject: subject.map(str::to_owned),
            at: at.to_owned(),
            what,
        }
    }

    /// Returns a sentence that says all of it.
    pub fn sentence(cause: Option<Cause>, text: &str) -> Self {
        Self {
            cause,
            ..split(text)
        }
    }

    /// Returns the bootstrap that has not come to its end, as far as the provider knows.
    pub fn unfinished() -> Self {
        Self::new(None, None, NOT_FINISHED, What::Unfinished)
    }

    /// Returns the bootstrap that stopped at a step, as the VM says.
    pub(super) fn stopped_at(step: &str) -> Self {
        Self::new(None, None, &format!("{STOPPED}{step}"), What::Unfinished)
    }

    /// Returns the attribute of which an edit is held back.
    pub fn edit(&self) -> Option<&str> {
        (self.what == What::Edited && self.cause.is_some()).then_some(&self.at)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cause) = self.cause {
            write!(f, "{cause}: ")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        write!(f, "{}{}", self.at, self.what)
    }
}

/// A plan shows the line with a red minus, so both sides are in words: an arrow would read as if things got worse.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { is, should } => write!(f, " is '{is}{SHOULD_BE}{should}'"),
            Self::Missing { should: None } => f.write_str(IS_MISSING),
            Self::Missing {
                should: Some(should),
            } => write!(f, "{MISSING_SHOULD_BE}{should}'"),
            Self::Unwanted { is: None } => f.write_str(IS_UNWANTED),
            Self::Unwanted { is: Some(is) } => write!(f, " is '{is}{SHOULD_NOT_BE}"),
            Self::Hidden => f.write_str(DIFFERS),
            Self::Edited => f.write_str(WAS_CHANGED),
            Self::Unfinished => Ok(()),
            Self::Said(text) => f.write_str(text),
        }
    }
}

impl FromStr for Finding {
    type Err = Infallible;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let cause = Cause::of_line(line);
        let text = cause
            .and_then(|_| line.split_once(": "))
            .map_or(line, |(_, text)| text);
        Ok(Self::sentence(cause, text))
    }
}

impl From<&str> for Finding {
    fn from(line: &str) -> Self {
        line.parse()
            .unwrap_or_else(|never: Infallible| match never {})
    }
}

/// Reads a text without its cause.
fn split(text: &str) -> Finding {
    if text == NOT_FINISHED || text.starts_with(STOPPED) {
        return Finding::new(None, None, text, What::Unfinished);
    }
    let begin = BEGINS.iter().filter_map(|begin| text.find(begin)).min();
    let (about, said) = text.split_at(begin.unwrap_or(text.len()));
    let (subject, at) = match about.split_once(": ") {
        Some((subject, at)) => (Some(subject), at),
        None => (None, about),
    };
    Finding::new(None, subject, at, what(said))
}

fn what(said: &str) -> What {
    match said {
        IS_MISSING => What::Missing { should: None },
        IS_UNWANTED => What::Unwanted { is: None },
        DIFFERS => What::Hidden,
        WAS_CHANGED => What::Edited,
        _ => with_values(said).unwrap_or_else(|| What::Said(said.to_owned())),
    }
}

fn with_values(said: &str) -> Option<What> {
    if let Some(should) = said.strip_prefix(MISSING_SHOULD_BE) {
        let should = Some(should.strip_suffix('\'')?.to_owned());
        return Some(What::Missing { should });
    }
    let rest = said.strip_prefix(" is '")?;
    if let Some(is) = rest.strip_suffix(SHOULD_NOT_BE) {
        let is = Some(is.to_owned());
        return Some(What::Unwanted { is });
    }
    let (is, should) = rest.strip_suffix('\'')?.split_once(SHOULD_BE)?;
    Some(What::Differs {
        is: is.to_owned(),
        should: should.to_owned(),
    })
}
