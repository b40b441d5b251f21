//! A configuration file, parsed, with the line of each part.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Read as _;

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::Body;

/// More than any configuration that a person writes.
const LARGEST: u64 = 10 << 20;
/// Characters of a parser's message that are shown.
const LONGEST: usize = 400;

/// A configuration file.
pub(super) struct File {
    /// Its path, as a terminal may show it.
    name: String,
    pub(super) body: Body,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

/// A file that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    file: String,
    line: Option<usize>,
    reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

impl File {
    /// Reads and parses a file.
    pub(super) fn read(path: &OsStr) -> Result<Self, Unreadable> {
        let name = plain::line(&path.to_string_lossy(), LONGEST);
        let unreadable = |line, reason: String| Unreadable {
            file: name.clone(),
            line,
            reason: plain::line(&reason, LONGEST),
        };
        let text = text(path).map_err(|reason| unreadable(None, reason))?;
        let parsed = text.parse::<Body>();
        let body = parsed.map_err(|error| {
            let reason = format!("this is not HCL: {}", error.message());
            unreadable(Some(error.location().line()), reason)
        })?;
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Ok(Self {
            lines: std::iter::once(0).chain(breaks).collect(),
            name,
            body,
        })
    }

    /// Returns a place in the file as `file:line`.
    pub(super) fn place(&self, at: usize) -> String {
        let line = self.lines.partition_point(|begin| *begin <= at);
        format!("{}:{line}", self.name)
    }
}

fn text(path: &OsStr) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err("the file is larger than 10 MB".to_owned());
    }
    Ok(text)
}

/// Returns the key of an object; `None` if it is an expression.
pub(super) fn key_of(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Ident(name) | ObjectKey::Expression(Expression::Variable(name)) => {
            Some(name.to_string())
        }
        ObjectKey::Expression(Expression::String(text)) => Some(text.to_string()),
        ObjectKey::Expression(_) => None,
    }
}
