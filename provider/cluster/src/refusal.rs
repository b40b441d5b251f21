//! What an answer of the API server means that is no success, and what no answer means.

use std::sync::Arc;

use kube::core::Status;

use crate::call::Call;
use crate::error::{Cause, ClusterError, FieldCause, FieldConflict};
use crate::forbidden::forbidden;
use crate::retry::is_passing;

/// Returns what a refusal of the API server means.
pub(crate) fn refused(
    (server, credentials): (&str, &str),
    call: Call,
    code: u16,
    status: Status,
) -> ClusterError {
    let message = if status.message.is_empty() {
        status.reason.clone()
    } else {
        status.message.clone()
    };
    // A webhook may deny with a status that asks for another attempt.
    if is_denial(&message) && !is_passing(code) {
        return ClusterError::Denied { call, message };
    }
    match code {
        401 => ClusterError::Unauthorized {
            server: server.into(),
            credentials: credentials.into(),
            call,
        },
        403 => forbidden(call, message, &status),
        404 if names_an_object(&status) => ClusterError::NotFound { call, message },
        404 => {
            let (kind, version) = (call.resource.kind, call.resource.api_version());
            ClusterError::MissingCrd {
                call,
                kind,
                version,
            }
        }
        409 if !field_conflicts(&status).is_empty() => ClusterError::Conflict {
            fields: field_conflicts(&status),
            call,
        },
        _ if matches!(code, 400 | 422) || is_unknown_field(&message) => ClusterError::Invalid {
            causes: field_causes(status),
            call,
            message,
        },
        _ => ClusterError::Server {
            call,
            status: code,
            message,
        },
    }
}

/// Admission has no reason of its own in a Status: only these words distinguish it from RBAC and schema.
fn is_denial(message: &str) -> bool {
    message.starts_with("admission webhook ") || message.contains("denied request:")
}

/// Server-side apply answers 500 to a field that the schema does not have.
fn is_unknown_field(message: &str) -> bool {
    message.starts_with("failed to create typed patch object")
}

/// A 404 for a path that is not served comes without details.
fn names_an_object(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_some_and(|details| !details.name.is_empty())
}

fn field_conflicts(status: &Status) -> Vec<FieldConflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| FieldConflict {
            owner: owner(&cause.message),
            field: cause.field.clone(),
        })
        .collect()
}

/// Reads the manager out of `conflict with "NAME" using networking.istio.io/v1`; it stands
/// nowhere else.
fn owner(message: &str) -> String {
    message.split('"').nth(1).unwrap_or(message).to_owned()
}

fn field_causes(status: Status) -> Vec<FieldCause> {
    let causes = status
        .details
        .map(|details| details.causes)
        .unwrap_or_default();
    causes
        .into_iter()
        .map(|cause| FieldCause {
            field: cause.field,
            message: cause.message,
        })
        .collect()
}

/// Returns what a request without an answer means.
pub(crate) fn unanswered(server: &str, call: Call, error: kube::Error) -> ClusterError {
    let source: Cause = match error {
        kube::Error::Service(source) => source.into(),
        other => Arc::new(other),
    };
    ClusterError::Unreachable {
        server: server.into(),
        call,
        source,
    }
}

#[cfg(test)]
mod tests {
    use mesh::desired::Kind;
    use serde_json::json;

    use super::*;
    use crate::call::{Resource, Verb};

    /// istiod's webhook answers 400 without a reason, Gatekeeper 403: only the words differ.
    #[test]
    fn a_webhook_that_denies_is_neither_schema_nor_rbac() {
        let message = "admission webhook \"validation.istio.io\" denied the request: configuration is invalid: \
                       domain name \"a..b\" invalid";
        for code in [400, 403] {
            let status =
                serde_json::from_value(json!({ "message": message, "code": code })).unwrap();
            let call = Call::new(Verb::Patch, Resource::of(Kind::ServiceEntry), "ns", "a");
            let error = refused(("https://x", "the credentials"), call, code, status);
            assert_eq!(
                error.to_string(),
                format!("cannot apply ServiceEntry ns/a: {message}")
            );
            assert!(matches!(error, ClusterError::Denied { .. }), "{error:?}");
        }
    }
}
