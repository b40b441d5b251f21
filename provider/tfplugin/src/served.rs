//! Registered resources: the typed trait behind one that the server can call.

use std::marker::PhantomData;

use crate::{Import, Resource};

/// A resource as a [`Provider`](crate::Provider) hands it to the server.
pub struct Registration<C>(PhantomData<fn() -> C>);

/// Registers a resource.
pub fn resource<R: Resource>() -> Registration<R::Context> {
    Registration(PhantomData)
}

/// Registers a resource that can be imported.
pub fn importable<R: Import>() -> Registration<R::Context> {
    Registration(PhantomData)
}
