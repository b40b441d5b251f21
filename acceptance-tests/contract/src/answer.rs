//! Results of calls: a value, diagnostics, or an error.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use proto::tfplugin6 as wire;

use crate::{Mismatch, Path, Rule, Type, Value, Violation};

/// Errors of calls to a provider.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider violated a rule.
    #[error(transparent)]
    Broken(#[from] Violation),
    /// The provider returned unexpected error diagnostics.
    #[error("the provider reports {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Diagnostics(Vec<Diagnostic>),
    /// The configuration does not match the schema. Terraform would not have sent it.
    #[error("the configuration does not match the schema")]
    Config(#[from] Mismatch),
    /// The schema has no such type.
    #[error("the provider has no type {0}")]
    NoSuchType(String),
    /// A call failed without diagnostics.
    #[error("a call failed with {0}")]
    Call(#[from] Box<tonic::Status>),
    /// The plugin could not be started, or waiting for its exit failed.
    #[error("cannot run the plugin")]
    Start(#[source] io::Error),
    /// The plugin printed something other than a handshake line.
    #[error("the plugin printed {0:?} instead of a handshake line")]
    Handshake(String),
    /// The process exited before it printed a line.
    #[error("the plugin exited without a handshake line ({status}) and wrote {log:?}")]
    Ended {
        /// Exit status.
        status: ExitStatus,
        /// Its standard error.
        log: String,
    },
    /// The plugin never wrote the expected text.
    #[error("the plugin's log never contained {0:?}")]
    Silent(String),
    /// The connection to the plugin failed.
    #[error("cannot connect with the plugin")]
    Connect(#[source] io::Error),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// Severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Terraform stops.
    Error,
    /// Terraform shows it and continues.
    Warning,
}

/// A message of the provider to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Severity.
    pub severity: Severity,
    /// Summary.
    pub summary: String,
    /// Detail: cause, consequence and next step.
    pub detail: String,
    /// Path of the attribute, if any.
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

/// Result of a call: a value, diagnostics, or both.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// Returned value; after an error, the value that Terraform would keep.
    pub value: Option<T>,
    /// Diagnostics.
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

    /// Returns the value of a successful call.
    ///
    /// # Errors
    /// Returns [`Error::Diagnostics`] if there is an error or no value.
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

/// Returns true if the call failed.
pub(crate) fn failed(diagnostics: &[wire::Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| Diagnostic::from(one).severity == Severity::Error)
}

/// Decodes a value of a response. An absent value is null.
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

/// Encodes a value for the wire.
pub(crate) fn encode(value: &Value) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: value.to_msgpack(),
        json: Vec::new(),
    }
}
