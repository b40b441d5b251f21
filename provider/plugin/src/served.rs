//! What a provider serves, seen through raw values: the side that the protocols call.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{Declared, Diagnostics, ImportId, Limits, Path, Raw, Sides, Stored};

/// What every kind has: a name, a declaration, limits, and rules over what the user writes.
#[derive(Clone, Debug)]
pub struct Described {
    /// The name of the type, with the provider's prefix.
    pub name: &'static str,
    /// Its declaration.
    pub declared: Declared,
    /// The text attributes of the input that identify it, in the order of an import id; only resources have some.
    pub identity: &'static [&'static str],
    /// How long each operation may take unless the user says otherwise.
    pub limits: Limits,
    /// Checks what the user wrote: all problems at once, each with its path.
    pub validate: fn(&Raw) -> Diagnostics,
}

impl Described {
    /// Returns the faults of the declaration; none if a test has loaded it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.declared.faults();
        faults.extend(self.declared.faults_of_identity(self.identity));
        faults
    }
}

/// Whatever a provider serves under a name.
pub trait Named: Send + Sync {
    /// What it has of what every kind has.
    fn described(&self) -> &Described;
}

/// A resource as a [`Provider`](crate::Provider) hands it over.
pub struct Registration<C>(pub Arc<dyn Served<C>>);

/// A resource, seen through raw values.
pub trait Served<C>: Named {
    /// The version of what is stored.
    fn version(&self) -> u32;
    /// Returns a state of an earlier version as this version has it.
    fn upgrade(&self, stored: Stored) -> Result<Raw, Diagnostics>;
    /// Plans a change: without `prior` a create, without `next` a delete. `context` is absent if the provider is not
    /// configured.
    fn plan(&self, context: Option<&C>, prior: Option<&Sides>, next: Option<&Raw>)
    -> PlannedChange;
    /// Carries a change out and returns the state afterwards, whatever happened.
    fn apply<'a>(
        &'a self,
        context: &'a C,
        prior: Option<&'a Sides>,
        planned: Option<&'a Sides>,
        work: Bounds,
    ) -> BoxFuture<'a, (Option<Sides>, Diagnostics)>;
    /// Returns the state as it is now; `None`: it is gone.
    fn read<'a>(
        &'a self,
        context: &'a C,
        state: &'a Sides,
        work: Bounds,
    ) -> BoxFuture<'a, (Option<Sides>, Diagnostics)>;
    /// Finds what the user names. Returns its state and warnings.
    fn import<'a>(
        &'a self,
        context: &'a C,
        id: &'a ImportId,
        work: Bounds,
    ) -> BoxFuture<'a, Result<(Sides, Diagnostics), Diagnostics>>;
}

/// What ends work that does not end by itself.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long it may take.
    pub limit: Duration,
    /// Cancelled when the user stops it.
    pub stop: CancellationToken,
}

/// The answer to a plan.
pub struct PlannedChange {
    /// The output after the change; `None` for a delete. The input is the one that was proposed.
    pub output: Option<Raw>,
    /// The attributes of which the change replaces the resource.
    pub replaces: Vec<Path>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
}
