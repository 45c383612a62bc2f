//! A request's body that tells when its connection takes it.

use crate::instrument::context::Context;
use crate::model::Phase;
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{self, Poll, ready};

pin_project! {
    /// A request's body that tells the current hop when the connection takes it: up to its first byte is `pool` (a connection, or a slot
    /// for a stream on one of HTTP/2, was waited for), up to its last `send`, and what follows `wait`.
    ///
    /// To be put around the body inside an [`HttpHopLayer`](super::HttpHopLayer), since the hop must have begun:
    ///
    /// ```
    /// # use hopwatch::{Hopwatch, Kind, instrument::tower::Upload};
    /// # use tower::ServiceBuilder;
    /// # fn client<S>(watch: &Hopwatch, service: S) {
    /// let client = ServiceBuilder::new()
    ///     .layer(watch.hop(Kind::Retrieval, "qdrant").http_layer())
    ///     .map_request(|request: http::Request<String>| request.map(Upload::new))
    ///     .service(service);
    /// # }
    /// ```
    ///
    /// An empty body is never asked for by a client, so that it tells nothing.
    #[derive(Debug)]
    pub struct Upload<B> {
        #[pin]
        inner: B,
        context: Context,
        sent: u64,
        done: bool,
    }
}

impl<B: Body> Upload<B> {
    /// The body of a request of the current hop.
    #[must_use]
    pub fn new(inner: B) -> Self {
        let (context, done) = (Context::current(), inner.is_end_stream());
        if !done {
            context.moves(Phase::Wait, Phase::Pool);
        }
        Self { inner, context, sent: 0, done }
    }
}

impl<B: Body> Body for Upload<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        if !*this.done {
            this.context.moves(Phase::Pool, Phase::Send);
        }
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            *this.sent = this.sent.saturating_add(data.remaining() as u64);
        }
        let is_last = frame.is_none() || this.inner.is_end_stream();
        if is_last && !std::mem::replace(this.done, true) {
            this.context.edit_call(|call| call.bytes.sent = *this.sent);
            // An answer may have begun before.
            this.context.moves(Phase::Send, Phase::Wait);
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
