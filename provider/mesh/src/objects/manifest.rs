//! Manifests of managed objects.

use serde_json::{Value, json};

use crate::desired::{Kind, Manifest};
use crate::mark::Mark;
use crate::names::{Id, Name, Namespace};

/// Returns a manifest that carries the mark.
pub(super) fn manifest(
    namespace: &Namespace,
    mark: &Mark,
    kind: Kind,
    name: Name,
    spec: Value,
) -> Manifest {
    let namespace = namespace.clone();
    let mut body = json!({ "metadata": { "labels": mark.labels() } });
    body["spec"] = spec;
    Manifest {
        kind,
        id: Id { namespace, name },
        body,
    }
}
