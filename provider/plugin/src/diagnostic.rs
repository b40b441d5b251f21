//! Messages to the user.

use std::fmt::{self, Display, Formatter};

use crate::{Fault, Path};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The operation goes on.
    Warning,
    /// The operation stops.
    Error,
}

/// One message to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A short title. Constant for warnings, so that they can be grouped.
    pub summary: String,
    /// What was observed, why, and what to do next.
    pub detail: String,
    /// The attribute it concerns.
    pub at: Option<Path>,
    /// The code to read on about, unless the detail ends with where to do that. The front adds it.
    pub code: Option<&'static str>,
}

impl Diagnostic {
    /// Returns an error without a path.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            at: None,
            code: None,
        }
    }

    /// Returns a warning without a path.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(summary, detail)
        }
    }

    /// Returns an error about the value at a path. The problem goes on from the path: `must be …`.
    pub fn invalid(at: &Path, problem: impl Into<String>) -> Self {
        Self::fault(Fault::InvalidValue, problem).at(at)
    }

    /// Returns the detail, after the path: Terraform before 1.15 and `OpenTofu` show only the outermost attribute.
    pub fn located(&self) -> String {
        let path = self.at.as_ref().map(Path::notation);
        let path = path.filter(|path| !path.is_empty() && !begins_with(&self.detail, path));
        match path {
            Some(path) => format!("{path}: {}", self.detail),
            None => self.detail.clone(),
        }
    }

    /// Says which attribute it concerns; text is read as the user writes paths.
    #[must_use]
    pub fn at(self, path: impl Into<Path>) -> Self {
        Self {
            at: Some(path.into()),
            ..self
        }
    }
}

/// Returns whether a text begins with a path and not with a longer one.
fn begins_with(text: &str, path: &str) -> bool {
    let rest = text.strip_prefix(path);
    rest.is_some_and(|rest| rest.starts_with([' ', ':']))
}

impl Display for Diagnostic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.at {
            write!(f, "{}: ", path.notation())?;
        }
        write!(f, "{}: {}", self.summary, self.detail)
    }
}

/// Messages to the user, in the order they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Returns no message.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a message.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds other messages behind these.
    pub fn append(&mut self, others: impl Into<Self>) {
        self.0.extend(others.into().0);
    }

    /// Returns whether the operation must stop.
    pub fn has_error(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Returns whether there is no message at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes through the messages.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// How work ended.
///
/// `Ok` carries warnings, mostly none; `Err` carries at least one error and all warnings before it.
/// `?` takes a [`Diagnostic`] as well.
pub type Done = Result<Diagnostics, Diagnostics>;
