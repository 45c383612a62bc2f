//! The connector layer: times each connect of a client, and knows each connection by its addresses.

use super::connecting::{CONNECTING, Connecting};
use super::registry;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Watches a client's connects: `ClientBuilder::connector_layer`. [`watch`](super::watch) sets it together with the resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectorLayer;

impl<S> Layer<S> for ConnectorLayer {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector { inner }
    }
}

/// A connector whose connects are watched. Made by [`ConnectorLayer`].
#[derive(Clone, Debug)]
pub struct Connector<S> {
    inner: S,
}

// The request type of reqwest's connector has no name.
impl<S, R> Service<R> for Connector<S>
where
    S: Service<R>,
    S::Response: Connection,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connect<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Connect<S::Future> {
        let connecting = Connecting::begin();
        let future = CONNECTING.sync_scope(Arc::clone(&connecting), || self.inner.call(target));
        Connect { future, guard: Guard(connecting) }
    }
}

pin_project! {
    /// A connect that is watched. Made by [`Connector`].
    ///
    /// Cancel safety: that of the connector inside; dropped early, the attempt is told as given up.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Connect<F> {
        #[pin]
        future: F,
        guard: Guard,
    }
}

impl<F, C, E> Future for Connect<F>
where
    F: Future<Output = Result<C, E>>,
    C: Connection,
{
    type Output = Result<C, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<C, E>> {
        let this = self.project();
        let connecting = &this.guard.0;
        connecting.polled();
        let result = ready!(CONNECTING.sync_scope(Arc::clone(connecting), || this.future.poll(cx)));
        let id = result
            .as_ref()
            .ok()
            .and_then(info)
            .and_then(|info| registry::opened((info.local_addr(), info.remote_addr()), connecting.call()));
        connecting.ended(result.is_ok(), id);
        Poll::Ready(result)
    }
}

/// A connect that is dropped ended without a connection: its client's timer ran out, or nobody wanted it any more.
#[derive(Debug)]
struct Guard(Arc<Connecting>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended(false, None);
    }
}

fn info(connection: &impl Connection) -> Option<HttpInfo> {
    let mut extensions = http::Extensions::new();
    connection.connected().get_extras(&mut extensions);
    extensions.remove()
}
