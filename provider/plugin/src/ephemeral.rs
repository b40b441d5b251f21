//! Ephemeral resources: values that exist during one run, and are in no state and no plan.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    Bounds, Declared, Described, Diagnostics, Done, Limits, Named, Object, Paths, Raw, Shape as _,
    typed::{accepted, validated},
    work::{Work, within},
};

/// A kind of ephemeral resource.
///
/// Its result is one object, as the state of a [`Resource`](crate::Resource): the input as it came, beside the output.
pub trait EphemeralResource: Send + Sync + 'static {
    /// The name of the type, with the provider's prefix: `cloud_token`.
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

    /// Makes one. Asked in each plan and each apply that needs it, once the whole input is known.
    fn open(
        context: &Self::Context,
        input: &Self::Input,
        deadline: Instant,
    ) -> impl Future<Output = Result<Opened<Self::Output>, Diagnostics>> + Send;

    /// Renews it; called at [`Lease::renew_at`], if that is set, while the run continues.
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
    /// Warnings.
    pub diagnostics: Diagnostics,
}

/// How long an ephemeral resource lasts, and what its end needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// When it is to be renewed; `None`: it lasts for the run.
    pub renew_at: Option<Timestamp>,
    /// Data that is kept in memory for the next renewal or the close.
    pub kept: Vec<u8>,
}

/// An ephemeral resource as a [`Provider`](crate::Provider) hands it over.
pub struct EphemeralRegistration<C>(pub Arc<dyn ServedEphemeral<C>>);

/// Registers an ephemeral resource.
pub fn ephemeral_resource<R: EphemeralResource>() -> EphemeralRegistration<R::Context> {
    EphemeralRegistration(Arc::new(TypedEphemeral::<R> {
        described: Described {
            name: R::NAME,
            declared: Declared::of::<R::Input, R::Output>(|_| ""),
            identity: &[],
            limits: R::LIMITS,
            validate: |input| validated(input, R::check),
        },
        of: PhantomData,
    }))
}

/// An ephemeral resource, seen through raw values.
pub trait ServedEphemeral<C>: Named {
    /// Makes one, and returns the output.
    fn open<'a>(
        &'a self,
        context: &'a C,
        input: &'a Raw,
        work: Bounds,
    ) -> BoxFuture<'a, Result<Opened<Raw>, Diagnostics>>;
    /// Makes it last longer.
    fn renew<'a>(
        &'a self,
        context: &'a C,
        kept: &'a [u8],
        work: Bounds,
    ) -> BoxFuture<'a, Result<Lease, Diagnostics>>;
    /// Ends it.
    fn close<'a>(&'a self, context: &'a C, kept: &'a [u8], work: Bounds) -> BoxFuture<'a, Done>;
}

struct TypedEphemeral<R: EphemeralResource> {
    described: Described,
    of: PhantomData<fn() -> R>,
}

impl<R: EphemeralResource> Named for TypedEphemeral<R> {
    fn described(&self) -> &Described {
        &self.described
    }
}

impl<R: EphemeralResource> ServedEphemeral<R::Context> for TypedEphemeral<R> {
    fn open<'a>(
        &'a self,
        context: &'a R::Context,
        input: &'a Raw,
        work: Bounds,
    ) -> BoxFuture<'a, Result<Opened<Raw>, Diagnostics>> {
        Box::pin(async move {
            let input = accepted::<R::Input>(input)?;
            let work = Work::new("open", work);
            let opened = within(&work, R::open(context, &input, work.deadline.at())).await?;
            Ok(Opened {
                output: opened.output.write().settled(),
                lease: opened.lease,
                diagnostics: opened.diagnostics,
            })
        })
    }

    fn renew<'a>(
        &'a self,
        context: &'a R::Context,
        kept: &'a [u8],
        work: Bounds,
    ) -> BoxFuture<'a, Result<Lease, Diagnostics>> {
        Box::pin(async move {
            let work = Work::new("renewal", work);
            within(&work, R::renew(context, kept)).await
        })
    }

    fn close<'a>(
        &'a self,
        context: &'a R::Context,
        kept: &'a [u8],
        work: Bounds,
    ) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            let work = Work::new("end", work);
            within(&work, R::close(context, kept)).await
        })
    }
}
