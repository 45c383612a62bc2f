//! A body that is watched to its end, whoever the client is.
//!
//! Frames, errors, trailers, size and end are passed on untouched. The call ends with the body: at its end, at an error, or when
//! the body is dropped.

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What a door does as a body passes. It is dropped with the body; a body that is dropped early has told neither `ended` nor
/// `failed`.
pub(crate) trait Watcher {
    /// Polls the body: a place to make the call current.
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T;
    /// Data passed: `length` bytes, beginning with `start`.
    fn data(&mut self, start: &[u8], length: usize);
    /// Trailers passed.
    fn trailers(&mut self, _trailers: &http::HeaderMap) {}
    /// The body is complete. May be told twice.
    fn ended(&mut self);
    /// The body failed.
    fn failed<E: 'static>(&mut self, error: &E);
}

pin_project! {
    /// A body that is watched by `W`.
    #[derive(Debug)]
    pub(crate) struct WatchedBody<B, W> {
        #[pin]
        inner: B,
        watcher: W,
    }
}

impl<B, W> WatchedBody<B, W> {
    pub(crate) fn new(inner: B, watcher: W) -> Self {
        Self { inner, watcher }
    }
}

impl<B, W> Body for WatchedBody<B, W>
where
    B: Body,
    B::Error: 'static,
    W: Watcher,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let (mut inner, watcher) = (this.inner, this.watcher);
        let frame = ready!(watcher.poll_in(|| inner.as_mut().poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watcher.data(data.chunk(), data.remaining());
                } else if let Some(trailers) = frame.trailers_ref() {
                    watcher.trailers(trailers);
                }
                // Who knows the length from the head stops here, and never asks for the end.
                if inner.is_end_stream() {
                    watcher.ended();
                }
            }
            Some(Err(error)) => watcher.failed(error),
            None => watcher.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
