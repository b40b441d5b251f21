//! Whether the cluster is still the one that a workload was created in.
//!
//! A cluster has no identity of its own that a role in one namespace may read. The UID of the workload's namespace stands
//! for it: no other cluster has a namespace with the same UID.

use crate::drift::{Finding, What};
use crate::names::{Id, Namespace};

/// The workload's namespace as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenNamespace {
    /// It exists, and has this UID.
    Uid(String),
    /// It does not exist.
    Absent,
    /// The credential may not read it.
    Hidden,
}

impl SeenNamespace {
    /// Returns the UID, if it is known.
    pub fn uid(&self) -> Option<&str> {
        match self {
            Self::Uid(uid) => Some(uid),
            Self::Absent | Self::Hidden => None,
        }
    }
}

/// What the state knows of the cluster. `None`: not known, as in a state of an earlier version.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    /// UID of the namespace.
    pub namespace: Option<&'a str>,
    /// UID of the workload's entry.
    pub entry: Option<&'a str>,
}

/// Which cluster it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The one that the state knows.
    Same,
    /// Another one, or one in which the namespace was created again. The finding says how it differs.
    Other(Finding),
    /// Nothing is known that could be compared.
    Unknown,
}

impl Identity<'_> {
    /// Compares the state with the cluster. `entry` is the UID of the entry that exists there. Where a UID of the
    /// namespace is not known, that of the entry decides.
    pub fn compare(&self, id: &Id, namespace: &SeenNamespace, entry: Option<&str>) -> Verdict {
        match (self.namespace, namespace) {
            (Some(known), SeenNamespace::Uid(seen)) if known == seen => Verdict::Same,
            (Some(known), SeenNamespace::Uid(seen)) => {
                Verdict::Other(differs(&title(&id.namespace), seen, known))
            }
            (Some(_), SeenNamespace::Absent) => {
                let what = What::Missing { should: None };
                Verdict::Other(Finding::new(None, None, &title(&id.namespace), what))
            }
            (None, _) | (_, SeenNamespace::Hidden) => match (self.entry, entry) {
                (Some(known), Some(seen)) if known == seen => Verdict::Same,
                (Some(known), Some(seen)) => {
                    Verdict::Other(differs(&format!("WorkloadEntry {id}"), seen, known))
                }
                _ => Verdict::Unknown,
            },
        }
    }
}

fn title(namespace: &Namespace) -> String {
    format!("Namespace {namespace}")
}

fn differs(subject: &str, is: &str, should: &str) -> Finding {
    let what = What::Differs {
        is: plain::line(is, LONGEST),
        should: plain::line(should, LONGEST),
    };
    Finding::new(None, Some(subject), "metadata.uid", what)
}

/// Maximum length of a UID in characters.
const LONGEST: usize = 80;
