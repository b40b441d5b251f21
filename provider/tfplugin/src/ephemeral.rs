//! Ephemeral resources: what is had for the time of one run, and is in no state and no plan.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use proto::tfplugin6 as wire;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Diagnostics, Done, Kind, Limits, Object, Paths, Raw, Shape,
    data_source::{beside, input, validated},
    schema,
    typed::StateShape,
    work::{Work, within},
};

/// A kind of ephemeral resource.
///
/// Its result is one object, as the state of a [`Resource`](crate::Resource): the input as it came, beside the output.
pub trait EphemeralResource: Send + Sync + 'static {
    /// The name of the type, with the provider's prefix: `mesh_vm_bundle`.
    const NAME: &'static str;

    /// How long a call may take; only `read` counts.
    const LIMITS: Limits = Limits::DEFAULT;

    /// What the user writes.
    type Input: Object + Send + Sync;
    /// What the provider gives: every attribute is `Computed`.
    type Output: Object + Send;
    /// What the configured provider hands to it.
    type Context: Send + Sync + 'static;

    /// Checks a configuration: all problems at once, as [`Resource::check`](crate::Resource::check) does.
    fn check(input: &Self::Input, unknown: &Paths) -> Diagnostics;

    /// Makes one. Terraform asks in each plan and each apply that needs it, once the whole input is known.
    fn open(
        context: &Self::Context,
        input: &Self::Input,
        deadline: Instant,
    ) -> impl Future<Output = Result<Opened<Self::Output>, Diagnostics>> + Send;

    /// Makes it last longer; asked at [`Lease::renew_at`] if that was given, while the run goes on.
    fn renew(
        _: &Self::Context,
        _: &[u8],
    ) -> impl Future<Output = Result<Lease, Diagnostics>> + Send {
        async { Ok(Lease::default()) }
    }

    /// Ends it, with what [`Lease::kept`] held at last.
    fn close(_: &Self::Context, _: &[u8]) -> impl Future<Output = Done> + Send {
        async { Ok(Diagnostics::none()) }
    }
}

/// What was opened.
pub struct Opened<O> {
    /// The result.
    pub output: O,
    /// How long it lasts.
    pub lease: Lease,
}

/// How long an ephemeral resource lasts, and what its end needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// When it is to be renewed; `None`: it lasts for the run.
    pub renew_at: Option<Timestamp>,
    /// What Terraform keeps in memory for the next renewal or the end.
    pub kept: Vec<u8>,
}

/// An ephemeral resource as a [`Provider`](crate::Provider) hands it to the server.
pub struct EphemeralRegistration<C>(pub(crate) Arc<dyn ServedEphemeral<C>>);

/// Registers an ephemeral resource.
pub fn ephemeral_resource<R: EphemeralResource>() -> EphemeralRegistration<R::Context> {
    EphemeralRegistration(Arc::new(TypedEphemeral::<R> {
        shape: StateShape::new(R::Input::attributes(), &R::Output::attributes()),
        of: PhantomData,
    }))
}

/// An ephemeral resource, seen through raw values.
pub(crate) trait ServedEphemeral<C>: Send + Sync {
    fn name(&self) -> &'static str;
    /// The type of its result.
    fn kind(&self) -> &Kind;
    fn schema(&self) -> wire::Schema;
    fn faults(&self) -> Vec<String>;
    fn validate(&self, config: &Raw) -> Diagnostics;
    fn open<'a>(
        &'a self,
        context: &'a C,
        config: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<(Raw, Lease), Diagnostics>>;
    fn renew<'a>(
        &'a self,
        context: &'a C,
        kept: &'a [u8],
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Lease, Diagnostics>>;
    /// It is not stopped: a run that was is when it is needed most.
    fn close<'a>(&'a self, context: &'a C, kept: &'a [u8]) -> BoxFuture<'a, Done>;
}

struct TypedEphemeral<R: EphemeralResource> {
    shape: StateShape,
    of: PhantomData<fn() -> R>,
}

impl<R: EphemeralResource> ServedEphemeral<R::Context> for TypedEphemeral<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn kind(&self) -> &Kind {
        &self.shape.kind
    }

    fn schema(&self) -> wire::Schema {
        schema::of_sides::<R::Input, R::Output>(|_| "")
    }

    fn faults(&self) -> Vec<String> {
        schema::faults(&R::Input::attributes(), &R::Output::attributes())
    }

    fn validate(&self, config: &Raw) -> Diagnostics {
        validated(&self.shape, config, R::check)
    }

    fn open<'a>(
        &'a self,
        context: &'a R::Context,
        config: &'a Raw,
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<(Raw, Lease), Diagnostics>> {
        Box::pin(async move {
            let input = input::<R::Input>(config)?;
            let work = Work::new("open", R::LIMITS.for_value(config).read, stop);
            let opened = within(&work, R::open(context, &input, work.deadline)).await?;
            Ok((beside(config, &opened.output.write()), opened.lease))
        })
    }

    fn renew<'a>(
        &'a self,
        context: &'a R::Context,
        kept: &'a [u8],
        stop: CancellationToken,
    ) -> BoxFuture<'a, Result<Lease, Diagnostics>> {
        Box::pin(async move {
            let work = Work::new("renewal", R::LIMITS.read, stop);
            within(&work, R::renew(context, kept)).await
        })
    }

    fn close<'a>(&'a self, context: &'a R::Context, kept: &'a [u8]) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            let work = Work::new("end", R::LIMITS.read, CancellationToken::new());
            within(&work, R::close(context, kept)).await
        })
    }
}
