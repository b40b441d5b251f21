//! Data sources: the provider looks something up and changes nothing.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    Bounds, Declared, Described, Diagnostics, Limits, Named, Object, Paths, Raw, Shape as _,
    typed::{accepted, validated},
    work::{Work, within},
};

/// A kind of data source.
///
/// Its state is one object, as that of a [`Resource`](crate::Resource): the input as it came, beside the output.
pub trait DataSource: Send + Sync + 'static {
    /// The name of the type, with the provider's prefix: `cloud_region`.
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

    /// Looks up. Called only once the whole input is known, in a refresh or a plan.
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

/// A data source as a [`Provider`](crate::Provider) hands it over.
pub struct DataRegistration<C>(pub Arc<dyn ServedData<C>>);

/// Registers a data source.
pub fn data_source<D: DataSource>() -> DataRegistration<D::Context> {
    DataRegistration(Arc::new(TypedData::<D> {
        described: Described {
            name: D::NAME,
            declared: Declared::of::<D::Input, D::Output>(|_| ""),
            identity: &[],
            limits: D::LIMITS,
            validate: |input| validated(input, D::check),
        },
        of: PhantomData,
    }))
}

/// A data source, seen through raw values.
pub trait ServedData<C>: Named {
    /// Looks up, and returns the output.
    fn read<'a>(
        &'a self,
        context: &'a C,
        input: &'a Raw,
        work: Bounds,
    ) -> BoxFuture<'a, Result<Found<Raw>, Diagnostics>>;
}

struct TypedData<D: DataSource> {
    described: Described,
    of: PhantomData<fn() -> D>,
}

impl<D: DataSource> Named for TypedData<D> {
    fn described(&self) -> &Described {
        &self.described
    }
}

impl<D: DataSource> ServedData<D::Context> for TypedData<D> {
    fn read<'a>(
        &'a self,
        context: &'a D::Context,
        input: &'a Raw,
        work: Bounds,
    ) -> BoxFuture<'a, Result<Found<Raw>, Diagnostics>> {
        Box::pin(async move {
            let input = accepted::<D::Input>(input)?;
            let work = Work::new("read", work);
            let found = within(&work, D::read(context, &input, work.deadline.at())).await?;
            Ok(Found {
                output: found.output.write().settled(),
                diagnostics: found.diagnostics,
            })
        })
    }
}
