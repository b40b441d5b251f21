//! Data sources: what the provider looks up, and nothing of which it changes.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::future::BoxFuture;
use proto::tfplugin6 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Diagnostics, Kind, Limits, Object, Path, Paths, Raw, Shape, schema,
    typed::StateShape,
    work::{Work, within},
};

/// A kind of data source.
///
/// Its state is one object, as that of a [`Resource`](crate::Resource): the input as it came, beside the output.
pub trait DataSource: Send + Sync + 'static {
    /// The name of the type, with the provider's prefix: `mesh_network_path`.
    const NAME: &'static str;

    /// How long a read may take unless the attribute `timeouts` says otherwise; only `read` counts.
    const LIMITS: Limits = Limits::DEFAULT;

    /// What the user writes.
    type Input: Object + Send + Sync;
    /// What the provider finds out: every attribute is `Computed`.
    type Output: Object + Send;
    /// What the configured provider hands to its data sources.
    type Context: Send + Sync + 'static;

    /// Checks a configuration: all problems at once, as [`Resource::check`](crate::Resource::check) does.
    fn check(input: &Self::Input, unknown: &Paths) -> Diagnostics;

    /// Looks up. Terraform asks only once the whole input is known, in a refresh or a plan.
    fn read(
        context: &Self::Context,
        input: &Self::Input,
        deadline: Instant,
    ) -> impl Future<Output = Result<Found<Self::Output>, Diagnostics>> + Send;
}

/// What a data source has found.
pub struct Found<O> {
    /// The answer.
    pub output: O,
    /// Warnings.
    pub diagnostics: Diagnostics,
}

impl<O> Found<O> {
    /// Returns an answer without a message.
    pub fn new(output: O) -> Self {
        Self {
            output,
            diagnostics: Diagnostics::none(),
        }
    }
}

/// A data source as a [`Provider`](crate::Provider) hands it to the server.
pub struct DataRegistration<C>(pub(crate) Arc<dyn ServedData<C>>);

/// Registers a data source.
pub fn data_source<D: DataSource>() -> DataRegistration<D::Context> {
    DataRegistration(Arc::new(TypedData::<D> {
        shape: StateShape::new(D::Input::attributes(), &D::Output::attributes()),
        of: PhantomData,
    }))
}

/// A data source, seen through raw values.
pub(crate) trait ServedData<C>: Send + Sync {
    fn name(&self) -> &'static str;
    /// The type of its state.
    fn kind(&self) -> &Kind;
    fn schema(&self) -> wire::Schema;
    fn faults(&self) -> Vec<String>;
    fn validate(&self, config: &Raw) -> Diagnostics;
    fn read<'a>(
        &'a self,
        context: &'a C,
        config: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)>;
}

struct TypedData<D: DataSource> {
    shape: StateShape,
    of: PhantomData<fn() -> D>,
}

impl<D: DataSource> ServedData<D::Context> for TypedData<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn kind(&self) -> &Kind {
        &self.shape.kind
    }

    fn schema(&self) -> wire::Schema {
        schema::of_sides::<D::Input, D::Output>(|_| "")
    }

    fn faults(&self) -> Vec<String> {
        schema::faults(&D::Input::attributes(), &D::Output::attributes())
    }

    fn validate(&self, config: &Raw) -> Diagnostics {
        validated(&self.shape, config, D::check)
    }

    fn read<'a>(
        &'a self,
        context: &'a D::Context,
        config: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, (Raw, Diagnostics)> {
        Box::pin(async move {
            let input = match input::<D::Input>(config) {
                Ok(input) => input,
                Err(told) => return (Raw::Null, told),
            };
            let work = Work::new("read", D::LIMITS.for_value(config).read, stop);
            match within(&work, D::read(context, &input, work.deadline)).await {
                Ok(found) => (beside(config, &found.output.write()), found.diagnostics),
                Err(told) => (Raw::Null, told),
            }
        })
    }
}

/// Checks a configuration: what each value is, then what `check` says.
pub(crate) fn validated<I: Object>(
    shape: &StateShape,
    config: &Raw,
    check: fn(&I, &Paths) -> Diagnostics,
) -> Diagnostics {
    let mut told = shape.read_only(config);
    if let Some(input) = I::read(config, &Path::root(), &mut told) {
        let unknown = Paths::unknown_in(config).with_told(&told);
        told.append(check(&input, &unknown));
    }
    told
}

/// Reads a configuration that was validated.
pub(crate) fn input<I: Object>(config: &Raw) -> Result<I, Diagnostics> {
    let mut told = Diagnostics::none();
    let input = I::read(config, &Path::root(), &mut told);
    input.filter(|_| !told.has_error()).ok_or(told)
}

/// Returns the configuration as it came, with the output beside it and nothing unknown.
pub(crate) fn beside(config: &Raw, output: &Raw) -> Raw {
    let (Raw::Map(fields), Raw::Map(output)) = (config, output) else {
        return Raw::Null;
    };
    let both = fields.clone().into_iter().chain(output.clone());
    Raw::Map(both.collect()).settled()
}
