//! What comes of a call: a value, diagnostics, or the reason why there is neither.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use proto::tfplugin6 as wire;

use crate::{Mismatch, Path, Rule, Type, Value, Violation};

/// Why a provider could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider broke a rule.
    #[error(transparent)]
    Broken(#[from] Violation),
    /// The provider answered with errors where none were expected.
    #[error("the provider reports {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Diagnostics(Vec<Diagnostic>),
    /// A configuration does not fit the schema: Terraform would not have sent it.
    #[error("the configuration does not fit the schema")]
    Config(#[from] Mismatch),
    /// The schema has no such type.
    #[error("the provider has no type {0}")]
    NoSuchType(String),
    /// A call failed, instead of answering with diagnostics.
    #[error("a call failed with {0}")]
    Call(#[from] Box<tonic::Status>),
    /// The plugin could not be started, or its end could not be awaited.
    #[error("cannot run the plugin")]
    Start(#[source] io::Error),
    /// Something else than a handshake line.
    #[error("the plugin printed {0:?} instead of a handshake line")]
    Handshake(String),
    /// The end of the process, before it printed a line.
    #[error("the plugin ended without a handshake line ({status}) and wrote {log:?}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Its standard error.
        log: String,
    },
    /// The plugin never wrote what was waited for.
    #[error("the plugin's log never held {0:?}")]
    Silent(String),
    /// No connection with the plugin.
    #[error("cannot connect with the plugin")]
    Connect(#[source] io::Error),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Terraform stops.
    Error,
    /// Terraform tells the user and goes on.
    Warning,
}

/// What the provider tells the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A title.
    pub summary: String,
    /// Cause, consequence, next step.
    pub detail: String,
    /// The attribute it is about, if any.
    pub path: Option<Path>,
}

impl From<&wire::Diagnostic> for Diagnostic {
    fn from(sent: &wire::Diagnostic) -> Self {
        let severity = match sent.severity() {
            wire::diagnostic::Severity::Warning => Severity::Warning,
            _ => Severity::Error,
        };
        let path = sent.attribute.as_ref().map(Path::from);
        Self {
            severity,
            summary: sent.summary.clone(),
            detail: sent.detail.clone(),
            path,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            summary,
            detail,
            path,
        } = self;
        write!(f, "{severity:?}: {summary}")?;
        path.iter().try_for_each(|path| write!(f, " at {path}"))?;
        if detail.is_empty() {
            Ok(())
        } else {
            write!(f, ": {detail}")
        }
    }
}

/// What came of a call: a value, diagnostics, or both.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the provider answered; after an error, what Terraform would keep.
    pub value: Option<T>,
    /// What it tells the user.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> Answer<T> {
    pub(crate) fn new(value: Option<T>, diagnostics: &[wire::Diagnostic]) -> Self {
        Self {
            value,
            diagnostics: diagnostics.iter().map(Diagnostic::from).collect(),
        }
    }

    /// Returns the errors, without the warnings.
    pub fn errors(&self) -> Vec<&Diagnostic> {
        self.diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .collect()
    }

    /// Returns the value of a call that went well.
    ///
    /// # Errors
    /// [`Error::Diagnostics`] if there is any error, or no value.
    pub fn ok(self) -> Result<T, Error> {
        match self.value {
            Some(value)
                if self
                    .diagnostics
                    .iter()
                    .all(|one| one.severity == Severity::Warning) =>
            {
                Ok(value)
            }
            _ => Err(Error::Diagnostics(self.diagnostics)),
        }
    }
}

/// Tells whether the call failed.
pub(crate) fn failed(diagnostics: &[wire::Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| Diagnostic::from(one).severity == Severity::Error)
}

/// Reads a value of an answer: absent is null, which `at` tells apart where it matters.
pub(crate) fn decode(sent: Option<&wire::DynamicValue>, ty: &Type) -> Result<Value, Violation> {
    let Some(sent) = sent else {
        return Ok(Value::Null);
    };
    let read = if !sent.msgpack.is_empty() {
        Value::from_msgpack(&sent.msgpack, ty)
    } else if sent.json.is_empty() {
        Ok(Value::Null)
    } else {
        serde_json::from_slice(&sent.json)
            .map_err(|error| Mismatch {
                path: Path::default(),
                text: error.to_string(),
            })
            .and_then(|json| Value::from_json(&json, ty))
    };
    read.map_err(|Mismatch { path, text }| Violation {
        rule: Rule::Encoding,
        path,
        text,
    })
}

/// Returns the wire form of a value.
pub(crate) fn encode(value: &Value) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: value.to_msgpack(),
        json: Vec::new(),
    }
}
