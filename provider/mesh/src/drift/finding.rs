//! A difference between the actual and the desired state. In state and for users it is one line of text, e.g.
//! `files: /var/lib/istio/envoy/cluster.env: ISTIO_INBOUND_PORTS is '9080', should be '*'`.
//!
//! **Invariant**: any text parses into a finding that displays as the same text, so that a line stored by an earlier
//! version is kept until the difference is repaired.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::cause::Cause;
use crate::names::Id;

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Cause of the re-bootstrap. `None`: the finding is about an object, or is repaired even if all causes are held back.
    pub cause: Option<Cause>,
    /// Object or file of which a part differs, e.g. `WorkloadEntry bookinfo/ratings`; `None`: `at` is the whole.
    pub subject: Option<String>,
    /// The part that differs, e.g. `spec.labels.version`, a variable, or `the unit istio`.
    pub at: String,
    /// Kind of difference.
    pub what: What,
}

/// Kind of difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The value differs.
    Differs {
        /// Actual value.
        is: String,
        /// Desired value.
        should: String,
    },
    /// It is missing.
    Missing {
        /// Desired value, if it may be shown.
        should: Option<String>,
    },
    /// It exists and should not.
    Unwanted {
        /// Actual value, if it may be shown.
        is: Option<String>,
    },
    /// The value differs, and neither value may be shown.
    Hidden,
    /// The user changed it, and the required re-bootstrap is held back.
    Edited,
    /// A bootstrap was not finished. `at` is the whole sentence.
    Unfinished,
    /// The proxy's `WorkloadEntry` does not exist. `at` is the whole sentence.
    NoEntry,
    /// The proxy was bootstrapped for a `WorkloadEntry` that was deleted since. `at` is the whole sentence.
    EarlierEntry,
    /// Traffic bypasses the proxy. `at` is the whole sentence.
    NotIntercepted,
    /// Any other text, with its leading space; empty if `at` is the whole sentence.
    Said(String),
}

/// Beginnings of the text after `at`, in this version and in earlier ones (`owner 'a' -> 'b'`, `mode 0666 -> 0644`).
const BEGINS: [&str; 6] = [" is ", " '", " none -> ", " 0", " differs", WAS_CHANGED];
const WAS_CHANGED: &str = " was changed";
const IS_MISSING: &str = " is missing";
const IS_UNWANTED: &str = " is not wanted";
const DIFFERS: &str = " differs";
const SHOULD_BE: &str = "', should be '";
const SHOULD_NOT_BE: &str = "', should not be there";
const MISSING_SHOULD_BE: &str = " is missing, should be '";
/// A bootstrap that the provider did not see finish; only an apply can verify that it did all of its work.
const NOT_FINISHED: &str = "the bootstrap was not finished";
/// Beginning of the line about a bootstrap that stopped at a step, as the VM reports it.
const STOPPED: &str = "a bootstrap stopped at the step ";

/// Beginnings of sentences, and what they say.
const NO_ENTRY: &str = "the proxy has no WorkloadEntry ";
const EARLIER_ENTRY: &str = "the proxy was bootstrapped for an earlier WorkloadEntry ";
const NOT_INTERCEPTED: &str = "no rules intercept ";

/// Beginning of an entry's title.
const ENTRY: &str = "WorkloadEntry ";

/// Hosts file of the VM.
pub(super) const HOSTS: &str = "/etc/hosts";
/// Our line in the hosts file.
pub(super) const ISTIOD_LINE: &str = "istiod's line";

impl Finding {
    /// Returns a finding about a part of a subject.
    pub fn new(cause: Option<Cause>, subject: Option<&str>, at: &str, what: What) -> Self {
        Self {
            cause,
            subject: subject.map(str::to_owned),
            at: at.to_owned(),
            what,
        }
    }

    /// Returns a finding from its text without the cause.
    pub fn sentence(cause: Option<Cause>, text: &str) -> Self {
        Self {
            cause,
            ..split(text)
        }
    }

    /// Returns the finding of a bootstrap that the provider did not see finish.
    pub fn unfinished() -> Self {
        Self::new(None, None, NOT_FINISHED, What::Unfinished)
    }

    /// Returns the finding of a bootstrap that stopped at a step, as the VM reports it.
    pub(super) fn stopped_at(step: &str) -> Self {
        Self::new(None, None, &format!("{STOPPED}{step}"), What::Unfinished)
    }

    /// Returns the finding of a proxy whose entry does not exist. It also applies to a VM that was not checked.
    pub(super) fn no_entry(id: &Id) -> Self {
        let text = format!("{NO_ENTRY}{id} to report to");
        Self::new(None, None, &text, What::NoEntry)
    }

    /// Returns the finding of a proxy that was bootstrapped for an entry that was deleted since.
    pub(super) fn earlier_entry(id: &Id) -> Self {
        let text = format!("{EARLIER_ENTRY}{id}");
        Self::new(None, None, &text, What::EarlierEntry)
    }

    /// Returns the finding of traffic that bypasses the proxy, e.g. `inbound traffic`.
    pub(super) fn not_intercepted(traffic: &str) -> Self {
        let text = format!("{NOT_INTERCEPTED}{traffic}, and they should");
        Self::new(None, None, &text, What::NotIntercepted)
    }

    /// Returns true if it says that the workload's entry does not exist.
    pub fn is_missing_entry(&self) -> bool {
        let is_entry = self.subject.is_none() && self.at.starts_with(ENTRY);
        self.what == What::NoEntry || is_entry && self.what == What::Missing { should: None }
    }

    /// Returns the attribute whose edit is held back.
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

/// Both sides are in words: a plan shows the line with a red minus, and an arrow would read like a change for the worse.
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
            Self::Unfinished | Self::NoEntry | Self::EarlierEntry | Self::NotIntercepted => Ok(()),
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

/// Parses a text without its cause.
fn split(text: &str) -> Finding {
    if let Some(what) = of_sentence(text) {
        return Finding::new(None, None, text, what);
    }
    let begin = BEGINS.iter().filter_map(|begin| text.find(begin)).min();
    let (about, said) = text.split_at(begin.unwrap_or(text.len()));
    let (subject, at) = match about.split_once(": ") {
        Some((subject, at)) => (Some(subject), at),
        None => (None, about),
    };
    Finding::new(None, subject, at, what(said))
}

/// Returns what a whole sentence says; `None` if it names a thing and says what is found of it.
fn of_sentence(text: &str) -> Option<What> {
    let kinds = [
        (STOPPED, What::Unfinished),
        (NO_ENTRY, What::NoEntry),
        (EARLIER_ENTRY, What::EarlierEntry),
        (NOT_INTERCEPTED, What::NotIntercepted),
    ];
    if text == NOT_FINISHED {
        return Some(What::Unfinished);
    }
    let mut kinds = kinds.into_iter();
    let kind = kinds.find(|(begin, _)| text.starts_with(begin));
    kind.map(|(_, what)| what)
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
