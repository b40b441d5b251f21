//! A diagnostic of the provider: a code, a title, the text, and lines of others below it.

use plugin::{Diagnostic, Path};

use super::Code;

/// Characters that a diagnostic shows of a text of others.
pub(super) const LONGEST: usize = 8000;
/// Characters that it shows of one of their lines.
const LONGEST_LINE: usize = 400;
/// Lines that it shows of them.
const MOST_LINES: usize = 40;

/// Returns where to read on about a code: the end of each diagnostic.
pub(crate) fn place(code: &str) -> String {
    format!("[{code}] docs/guides/troubleshooting.md#{code}")
}

/// A diagnostic that is being made. The text says what was observed, what the consequence is, and what to do.
#[derive(Clone, Debug)]
#[must_use]
pub(crate) struct Message {
    code: Code,
    title: String,
    text: String,
    path: Option<Path>,
}

impl Message {
    /// Begins a diagnostic with the title of its code.
    pub(crate) fn new(code: Code) -> Self {
        Self {
            code,
            title: code.title().to_owned(),
            text: String::new(),
            path: None,
        }
    }

    /// Replaces the title, where a code has more than one.
    pub(crate) fn title(self, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            ..self
        }
    }

    /// Reports the same text under another code, with the title of that one.
    pub(crate) fn under(self, code: Code) -> Self {
        Self {
            code,
            title: code.title().to_owned(),
            ..self
        }
    }

    /// Ends the title with what it is about.
    pub(super) fn about(self, what: &str) -> Self {
        Self {
            title: format!("{}: {what}", self.title),
            ..self
        }
    }

    /// Adds to the text.
    pub(crate) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.text.push_str(text.as_ref());
        self
    }

    /// Adds lines of others below the text: bounded, and with nothing that a terminal obeys.
    pub(crate) fn lines(mut self, lines: &[String]) -> Self {
        for line in lines.iter().take(MOST_LINES) {
            let line = plain::line(line.trim_end(), LONGEST_LINE);
            self.text.push_str(&format!("\n  {line}"));
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            self.text.push_str(&format!("\n  and {more} more"));
        }
        self
    }

    /// Sets the attribute that it concerns.
    pub(crate) fn at(self, path: impl Into<Path>) -> Self {
        Self {
            path: Some(path.into()),
            ..self
        }
    }

    /// Returns it as an error.
    pub(crate) fn error(self) -> Diagnostic {
        let detail = format!("{}\n\n{}", self.text, place(self.code.name()));
        Diagnostic {
            at: self.path,
            ..Diagnostic::error(self.title, detail)
        }
    }

    /// Returns it as a warning.
    pub(crate) fn warning(self) -> Diagnostic {
        Diagnostic {
            severity: plugin::Severity::Warning,
            ..self.error()
        }
    }
}
