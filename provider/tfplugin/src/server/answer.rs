//! Replies: whatever goes wrong, the client gets one, with diagnostics.

use std::{future::Future, panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt;
use proto::tfplugin6::{self as wire, Diagnostic as WireDiagnostic};
use tonic::{Response, Status};

use plugin::{Diagnostic, Diagnostics, Kind, Provider, crashed};

use crate::convert;

/// A failure before the schema of the requested type is known, or within its value.
///
/// Its paths come from decoding, so that they are the schema's already.
pub(super) struct Failure(Diagnostic);

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(diagnostic)
    }
}

/// A reply that can carry diagnostics.
pub(super) trait Answer: Default {
    /// Returns the place of its diagnostics.
    fn diagnostics(&mut self) -> &mut Vec<WireDiagnostic>;
}

macro_rules! answers {
    ($($module:ident),+ $(,)?) => { $(
        impl Answer for wire::$module::Response {
            fn diagnostics(&mut self) -> &mut Vec<WireDiagnostic> {
                &mut self.diagnostics
            }
        }
    )+ };
}
answers!(
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    get_functions,
    validate_provider_config,
    configure_provider,
    validate_resource_config,
    validate_data_resource_config,
    read_data_source,
    validate_ephemeral_resource_config,
    open_ephemeral_resource,
    renew_ephemeral_resource,
    close_ephemeral_resource,
    upgrade_resource_state,
    upgrade_resource_identity,
    read_resource,
    plan_resource_change,
    apply_resource_change,
    import_resource_state,
);

/// Answers a call, also one that fails or panics.
pub(super) async fn answer<P: Provider, R: Answer>(
    call: &'static str,
    work: impl Future<Output = Result<R, Failure>>,
) -> Result<Response<R>, Status> {
    let start = Instant::now();
    let mut outcome = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(crashed(&*panic).into()));
    if let Ok(reply) = &mut outcome {
        let (diagnostics, took) = (reply.diagnostics().len(), start.elapsed());
        tracing::debug!(
            call,
            diagnostics,
            milliseconds = took.as_millis(),
            "answered"
        );
    }
    let reply = outcome.unwrap_or_else(|Failure(diagnostic)| {
        tracing::debug!(call, ?diagnostic, "failed");
        let mut reply = R::default();
        reply
            .diagnostics()
            .push(convert::write_diagnostic::<P>(diagnostic));
        reply
    });
    Ok(Response::new(reply))
}

/// Returns a reply with messages about a value of a type.
pub(super) fn with_diagnostics<P: Provider, R: Answer>(
    mut reply: R,
    diagnostics: Diagnostics,
    kind: &Kind,
) -> R {
    *reply.diagnostics() = convert::write_diagnostics::<P>(diagnostics, kind);
    reply
}
