//! A request's body on its way up.

use super::record::{Exchange, Marks};
use crate::wire::http1::RequestContent;
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// How long a body is held back for a peer that says nothing, as clients do it (RFC 9110, 10.1.1, leaves the time open; curl waits as long).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes that are read before they can be sent.
const AHEAD_MAX: usize = 64 << 10;

/// A request's body: passed on as it comes, read for facts on the way.
#[derive(Debug)]
pub(crate) struct Upload {
    exchange: Arc<Exchange>,
    /// `None` = there is none, or it was read to its end.
    body: Option<Incoming>,
    /// What was read and not sent yet.
    ahead: VecDeque<hyper::Result<Frame<Bytes>>>,
    /// `None` = there is none, or all of it was handed on.
    content: Option<Box<RequestContent>>,
    /// The client said how long it is.
    is_sized: bool,
    /// Told of what is handed over, where the connection does not tell by itself (HTTP/2).
    marks: Option<Arc<Marks>>,
    /// The client waits to be told to send it.
    held: Option<Held>,
}

/// A body that its client holds back until its peer wants it (`expect: 100-continue`).
#[derive(Debug)]
struct Held {
    /// `None` = nobody will say so.
    wanted: Option<oneshot::Receiver<()>>,
    patience: Pin<Box<Sleep>>,
}

impl Upload {
    /// The body of this exchange.
    pub(crate) fn new(exchange: Arc<Exchange>, body: Incoming) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        match &body {
            Some(_) => exchange.downstream.uploads(true),
            None => exchange.state().request_ended = true,
        }
        let content = body.as_ref().map(|_| Box::new(RequestContent::new(&exchange.fields.message)));
        let is_sized = body.as_ref().is_none_or(|body| body.size_hint().exact().is_some());
        Self { exchange, body, ahead: VecDeque::new(), content, is_sized, marks: None, held: None }
    }

    /// No body, of an exchange whose request is sent once more.
    pub(crate) fn again(exchange: Arc<Exchange>) -> Self {
        exchange.state().request_ended = true;
        Self { exchange, body: None, ahead: VecDeque::new(), content: None, is_sized: true, marks: None, held: None }
    }

    /// Whether there is nothing to send.
    pub(crate) const fn is_empty(&self) -> bool {
        self.content.is_none()
    }

    /// Waits for something else and reads meanwhile: a client that leaves is seen only behind all that it sent.
    ///
    /// # Cancel safety
    /// What was read is sent when it is asked for.
    pub(crate) async fn ahead<T>(&mut self, of: impl Future<Output = T>) -> T {
        let mut of = pin!(of);
        poll_fn(|cx| {
            let done = of.as_mut().poll(cx);
            if done.is_pending() {
                self.poll_ahead(cx);
            }
            done
        })
        .await
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        while self.held.is_none()
            && self.waiting() < AHEAD_MAX as u64
            && let Poll::Ready(Some(frame)) = self.poll_body(cx)
        {
            self.ahead.push_back(frame);
        }
    }

    /// Bytes that were read and not sent yet.
    fn waiting(&self) -> u64 {
        let data = self.ahead.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        data.map(|data| data.len() as u64).sum()
    }

    /// The next piece from the client.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
            self.body = None;
            // From here on its task sees it leave.
            self.exchange.downstream.uploads(false);
        }
        Poll::Ready(frame)
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
        request.body_mut().held = Some(Held { wanted: Some(wanted), patience });
    }

    fn ended(&mut self, complete: bool) {
        let Some(content) = self.content.take() else { return };
        let mut state = self.exchange.state();
        state.request_ended |= complete;
        state.request = content.finish(complete);
    }
}

impl Held {
    /// Whether the body may go; never if there is an answer without it.
    fn poll_wanted(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Poll<()> {
        match self.wanted.as_mut().map(|wanted| Pin::new(wanted).poll(cx)) {
            Some(Poll::Ready(Ok(()))) => return Poll::Ready(()),
            Some(Poll::Ready(Err(_))) => self.wanted = None,
            Some(Poll::Pending) | None => {}
        }
        ready!(self.patience.as_mut().poll(cx));
        if exchange.state().response.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(held) = &mut this.held {
            ready!(held.poll_wanted(&this.exchange, cx));
            this.held = None;
        }
        let frame = match this.ahead.pop_front() {
            Some(frame) => Some(frame),
            None => ready!(this.poll_body(cx)),
        };
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
                if this.is_end_stream() {
                    this.ended(true);
                }
            }
            Some(Err(_)) => {
                this.exchange.state().request_broke = true;
                this.ended(false);
            }
            None => this.ended(true),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if !self.is_sized {
            return SizeHint::default();
        }
        let rest = self.body.as_ref().map_or(0, |body| body.size_hint().lower());
        SizeHint::with_exact(rest.saturating_add(self.waiting()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.ended(false);
        self.exchange.downstream.uploads(false);
    }
}
