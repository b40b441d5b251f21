//! Plain HTTP through a proxy: the proxy is asked for the whole URL, as Go does it, since many allow no tunnel to other
//! ports than that of HTTPS.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{FutureExt as _, Map};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::Service;

/// Connects with the proxy, whichever server is asked for.
#[derive(Clone)]
pub(crate) struct Forward<C> {
    inner: C,
    proxy: Uri,
}

impl<C> Forward<C> {
    pub(crate) fn new(inner: C, proxy: Uri) -> Self {
        Self { inner, proxy }
    }
}

/// A connection with a proxy: the client sends whole URLs over it.
pub(crate) struct Proxied<S>(S);

type Outcome<S, E> = std::result::Result<S, E>;

impl<C: Service<Uri>> Service<Uri> for Forward<C> {
    type Response = Proxied<C::Response>;
    type Error = C::Error;
    type Future = Map<
        C::Future,
        fn(Outcome<C::Response, C::Error>) -> Outcome<Proxied<C::Response>, C::Error>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Outcome<(), C::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, _server: Uri) -> Self::Future {
        let connected = self.inner.call(self.proxy.clone());
        connected.map(|connected| connected.map(Proxied))
    }
}

impl<S: Connection> Connection for Proxied<S> {
    fn connected(&self) -> Connected {
        self.0.connected().proxy(true)
    }
}

impl<S: Read + Unpin> Read for Proxied<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Proxied<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, bytes)
    }
}
