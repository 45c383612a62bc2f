//! A request's body on its way up.

use super::record::{Exchange, Marks};
use crate::wire::http1::RequestContent;
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// How long a body is held back for a peer that says nothing, as clients do it (RFC 9110, 10.1.1, leaves the time open; curl waits as long).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// A request's body: passed on as it comes, read for facts on the way.
#[derive(Debug)]
pub(crate) struct Upload {
    exchange: Arc<Exchange>,
    /// `None` = there is none, or it is over.
    body: Option<Incoming>,
    content: Option<Box<RequestContent>>,
    /// Told of what is handed over, where the connection does not tell by itself (HTTP/2).
    marks: Option<Arc<Marks>>,
    /// The client waits to be told to send it.
    held: Option<Held>,
}

/// A body that its client holds back until its peer wants it (`expect: 100-continue`).
#[derive(Debug)]
struct Held {
    wanted: oneshot::Receiver<()>,
    patience: Pin<Box<Sleep>>,
}

impl Upload {
    /// The body of this exchange.
    pub(crate) fn new(exchange: Arc<Exchange>, body: Incoming) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        if body.is_none() {
            exchange.state().request_ended = true;
        }
        let content = body.as_ref().map(|_| Box::new(RequestContent::new(&exchange.fields.message)));
        Self { exchange, body, content, marks: None, held: None }
    }

    /// No body, of an exchange whose request is sent once more.
    pub(crate) fn again(exchange: Arc<Exchange>) -> Self {
        exchange.state().request_ended = true;
        Self { exchange, body: None, content: None, marks: None, held: None }
    }

    /// Whether there is nothing to send.
    pub(crate) const fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    /// Tells of what is handed over by these marks.
    pub(crate) fn mark(&mut self, marks: Arc<Marks>) {
        self.marks = Some(marks);
    }

    /// Holds the body of a request back until its peer says that it wants it, or says nothing for a second.
    pub(crate) fn hold(request: &mut Request<Self>) {
        let (want, wanted) = oneshot::channel();
        let want = Mutex::new(Some(want));
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() == http::StatusCode::CONTINUE
                && let Some(want) = want.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                // It has stopped to wait.
                let _unheard = want.send(());
            }
        });
        let patience = Box::pin(tokio::time::sleep(CONTINUE_TIMEOUT));
        request.body_mut().held = Some(Held { wanted, patience });
    }

    fn ended(&mut self, complete: bool) {
        self.body = None;
        let content = self.content.take();
        let mut state = self.exchange.state();
        state.request_ended |= complete;
        if let Some(content) = content {
            state.request = content.finish(complete);
        }
    }
}

impl Held {
    /// Whether the body may go.
    fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.wanted).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // Nobody is left to want it before the time is over.
            Poll::Ready(Err(_)) | Poll::Pending => self.patience.as_mut().poll(cx),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(held) = &mut this.held {
            ready!(held.poll_wanted(cx));
            this.held = None;
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let over = body.is_end_stream();
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(content) = &mut this.content {
                        content.data(data);
                    }
                    if let Some(marks) = &this.marks {
                        marks.wrote(data.len());
                    }
                }
                if over {
                    this.ended(true);
                }
            }
            Some(Err(_)) => this.ended(false),
            None => this.ended(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.ended(false);
        }
    }
}
