//! Registered resources, seen through raw values.

use std::sync::Arc;

use futures::future::BoxFuture;
use proto::tfplugin6 as wire;
use tokio_util::sync::CancellationToken;

use crate::{Diagnostics, ImportId, Kind, Path, Raw};

/// A resource as a [`Provider`](crate::Provider) hands it to the server.
pub struct Registration<C>(pub(crate) Arc<dyn Served<C>>);

/// A resource, seen through raw values.
///
/// A state is null, or a map with every attribute of input and output.
pub(crate) trait Served<C>: Send + Sync {
    fn name(&self) -> &'static str;
    /// The type of its state.
    fn kind(&self) -> &Kind;
    fn schema(&self) -> wire::Schema;
    fn faults(&self) -> Vec<String>;
    /// The attributes that identify it, with their documentation.
    fn identity(&self) -> Vec<(&'static str, String)>;
    fn validate(&self, config: &Raw) -> Diagnostics;
    fn plan(&self, prior: &Raw, proposed: &Raw) -> PlannedChange;
    /// Returns the state afterwards, whatever happened.
    fn apply<'a>(
        &'a self,
        context: &'a C,
        prior: &'a Raw,
        planned: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)>;
    /// Returns the state as it is now.
    fn read<'a>(
        &'a self,
        context: &'a C,
        state: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)>;
    fn import<'a>(
        &'a self,
        context: &'a C,
        id: &'a ImportId,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Raw, Diagnostics>>;
}

/// The answer to a plan.
pub(crate) struct PlannedChange {
    pub(crate) state: Raw,
    pub(crate) replaces: Vec<Path>,
    pub(crate) diagnostics: Diagnostics,
}
