//! The layer for clients of any kind.

use super::classify::{ByError, BySource, Classify};
use super::ready::Readiness;
use crate::instrument::ending::Ending;
use crate::instrument::hop::{Hop, OpenHop};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

impl Hop {
    /// A layer that times each call of a service, of any protocol, up to its answer. For HTTP see [`http_layer`](Self::http_layer),
    /// which goes to the last byte.
    #[must_use]
    pub fn layer(&self) -> HopLayer {
        HopLayer { hop: self.clone(), classify: ByError }
    }
}

/// Times each call of a service up to its answer. Made by [`Hop::layer`].
#[derive(Clone)]
pub struct HopLayer<C = ByError> {
    hop: Hop,
    classify: C,
}

impl<C> HopLayer<C> {
    /// You tell how a call ended, by its result.
    pub fn classify<R, E, F>(self, classify: F) -> HopLayer<F>
    where
        F: Fn(&Result<R, E>) -> Ending + Clone,
    {
        HopLayer { hop: self.hop, classify }
    }
}

impl HopLayer {
    /// Errors are told by their sources, whatever their own type.
    #[must_use]
    pub fn by_source(self) -> HopLayer<BySource> {
        HopLayer { hop: self.hop, classify: BySource }
    }
}

impl<S, C: Clone> Layer<S> for HopLayer<C> {
    type Service = HopService<S, C>;

    fn layer(&self, inner: S) -> HopService<S, C> {
        HopService { inner, hop: self.hop.clone(), classify: self.classify.clone(), readiness: Readiness::default() }
    }
}

/// A service whose calls are timed. Made by [`HopLayer`].
///
/// Requests, answers, errors and readiness are those of the service inside.
pub struct HopService<S, C = ByError> {
    inner: S,
    hop: Hop,
    classify: C,
    readiness: Readiness,
}

impl<S: Clone, C: Clone> Clone for HopService<S, C> {
    fn clone(&self) -> Self {
        let readiness = Readiness::default();
        Self { inner: self.inner.clone(), hop: self.hop.clone(), classify: self.classify.clone(), readiness }
    }
}

super::service!(HopService, HopLayer, HopFuture);

impl<S, C, Q> Service<Q> for HopService<S, C>
where
    S: Service<Q>,
    C: Classify<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HopFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let Self { inner, hop, classify, readiness } = self;
        readiness.poll(hop, classify, || inner.poll_ready(cx))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let mut open = self.readiness.call(&self.hop);
        let future = open.poll_in(|| self.inner.call(request));
        HopFuture { future, open: Some(open), classify: self.classify.clone() }
    }
}

pin_project! {
    /// A call under way. Made by [`HopService`].
    ///
    /// Cancel safety: that of the call inside; dropped, it is recorded as `cancelled`, or as `timeout` when the deadline of its run
    /// passed.
    #[must_use = "futures do nothing unless polled"]
    pub struct HopFuture<F, C> {
        // Dropped before the hop, so that what it holds ends first.
        #[pin]
        future: F,
        open: Option<OpenHop>,
        classify: C,
    }
}

impl<F, C, R, E> Future for HopFuture<F, C>
where
    F: Future<Output = Result<R, E>>,
    C: Classify<R, E>,
{
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R, E>> {
        let this = self.project();
        // Polled again after its output, the future itself answers for it.
        let Some(open) = this.open else { return this.future.poll(cx) };
        let result = ready!(open.poll_in(|| this.future.poll(cx)));
        let ending = this.classify.classify(&result);
        if let Some(phase) = this.classify.failed_in(&result) {
            open.context().was(phase);
        }
        open.finish(ending, None);
        *this.open = None;
        Poll::Ready(result)
    }
}
