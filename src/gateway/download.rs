//! An answer's body on its way down.

use super::failure;
use super::record::{Exchange, Marks, Recorder, Ticket};
use super::upstream::{Lease, Slot, poll_driven};
use crate::hops::{How, Judged};
use crate::model::{FailedBy, Nanos, Outcome, grpc};
use crate::wire::http1::{ResponseBody, ResponseContent};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What is percent-encoded in gRPC's texts.
const GRPC_TEXT: &AsciiSet = &CONTROLS.add(b'%');

/// What a client gets as a body.
#[derive(Debug)]
pub(crate) enum Download {
    /// A text of the gateway's own.
    Text(Option<Bytes>),
    /// What the upstream sends.
    Relay(Box<Relay>),
}

/// An exchange that is being recorded. Dropped before it is told how it ended, its client has left, or all is cut off.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) exchange: Arc<Exchange>,
    recorder: Arc<Recorder>,
    ticket: Option<Ticket>,
}

/// An answer's body: passed on as it comes, read for facts on the way.
#[derive(Debug)]
pub(crate) struct Relay {
    body: Incoming,
    carrier: Option<Carried>,
    content: Option<ResponseContent>,
    recorded: Recorded,
    /// It has trailers that say how a call of gRPC ended.
    is_grpc: bool,
    /// Some of it came.
    has_begun: bool,
    /// It broke: told to the client when it has all that came before.
    broken: Option<hyper::Error>,
    /// When the last piece was given to a client that has others on the same connection: until it wants more, it does not read.
    given: Option<Nanos>,
}

/// What carries an answer.
#[derive(Debug)]
pub(crate) enum Carried {
    H1(Lease),
    H2(Slot),
}

impl Carried {
    /// What moved for the exchange that it carries.
    pub(crate) fn marks(&self) -> &Marks {
        match self {
            Self::H1(lease) => &lease.h1.marks,
            Self::H2(slot) => &slot.marks,
        }
    }
}

impl Recorded {
    /// Begins to record an exchange.
    pub(crate) fn begin(recorder: &Arc<Recorder>, exchange: Exchange) -> Self {
        let exchange = Arc::new(exchange);
        let ticket = recorder.begin(Arc::clone(&exchange));
        Self { exchange, recorder: Arc::clone(recorder), ticket: Some(ticket) }
    }

    fn now(&self) -> Nanos {
        self.recorder.anchor().now()
    }

    /// It ended in this way.
    pub(crate) fn end(&mut self, how: How, at: Nanos) {
        let judged = self.exchange.state().judge(how, at, self.exchange.read_timeout());
        self.judged(judged, at);
    }

    /// It ended, as is known already.
    pub(crate) fn judged(&mut self, judged: Judged, at: Nanos) {
        let Some(ticket) = self.ticket.take() else { return };
        let exchange = &self.exchange;
        exchange.state().finish(judged, at);
        exchange.downstream.served(at);
        self.recorder.end(ticket);
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if self.ticket.is_none() || self.recorder.is_stopped() {
            return;
        }
        match self.exchange.downstream.has_left() {
            None if self.recorder.is_closing() => self.judged(Judged::plain(Outcome::Cancelled, Some(FailedBy::Own)), self.now()),
            left => self.end(How::CallerLeft, left.map_or_else(|| self.now(), |(at, _)| at)),
        }
    }
}

impl Relay {
    /// Passes this body on.
    pub(crate) fn new(body: Incoming, carrier: Carried, content: ResponseContent, recorded: Recorded, is_grpc: bool) -> Self {
        let mut relay = Self {
            body,
            carrier: Some(carrier),
            content: Some(content),
            recorded,
            is_grpc,
            has_begun: false,
            broken: None,
            given: None,
        };
        if relay.body.is_end_stream() {
            relay.complete();
        }
        relay
    }

    fn state_of_content(&mut self, data: &Bytes) {
        let is_whole = !std::mem::replace(&mut self.has_begun, true) && self.body.is_end_stream();
        let Some(content) = &mut self.content else { return };
        content.new_call();
        let pieces = if is_whole { content.whole(data) } else { content.data(data) };
        if pieces > 0 {
            let at = self.carrier.as_ref().and_then(|carrier| carrier.marks().last_read()).unwrap_or_else(|| self.recorded.now());
            self.recorded.exchange.state().content(at);
        }
    }

    /// The last byte is there.
    fn complete(&mut self) {
        let answer = self.finish_content(true);
        let at = {
            let mut state = self.recorded.exchange.state();
            state.answer = answer;
            let moved = state.current.moved();
            moved.read.map_or_else(|| self.recorded.now(), |(_, last)| last)
        };
        self.recorded.end(How::Complete, at);
        if let Some(Carried::H1(lease)) = self.carrier.take() {
            lease.give_back(at);
        }
    }

    /// The body broke.
    fn broke(&mut self, error: &hyper::Error) {
        let answer = self.finish_content(false);
        let now = self.recorded.now();
        let connection = || if let Some(Carried::H2(slot)) = &self.carrier { slot.failure() } else { None };
        if let Some((judged, code)) = failure::h2(error).or_else(connection).filter(|_| !answer.done) {
            {
                let mut state = self.recorded.exchange.state();
                state.answer = answer;
                state.current.error = code.map(Into::into);
            }
            self.recorded.judged(judged, now);
            self.carrier = None;
            return;
        }
        let (how, at) = {
            let mut state = self.recorded.exchange.state();
            // A stream that said it is done is whole, though its end was cut.
            let done = answer.done;
            state.answer = ResponseBody { complete: done, ..answer };
            let broken = state.current.moved().broken;
            let at = broken.map_or(now, |(at, _)| at);
            let how = match broken {
                _ if done => How::Complete,
                Some((_, errno)) => How::PeerClosed(errno),
                None => failure::how(error),
            };
            (how, at)
        };
        if matches!(how, How::PeerClosed(errno) if errno != 0) {
            self.recorded.exchange.downstream.reset_at_end();
        }
        self.recorded.end(how, at);
        self.carrier = None;
    }

    /// How a client is told that its answer broke. One of gRPC is told as it would tell itself had it lost the connection: a stream that
    /// is reset is another thing to it.
    fn told(&self, error: hyper::Error) -> hyper::Result<Frame<Bytes>> {
        if self.is_grpc && failure::reset(&error).is_none() {
            return Ok(Frame::trailers(unavailable("the upstream closed the connection")));
        }
        Err(error)
    }

    fn finish_content(&mut self, complete: bool) -> ResponseBody {
        self.content.take().map(|content| content.finish(complete)).unwrap_or_default()
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.is_grpc
            && let Some(status) = trailers.get(grpc::STATUS)
        {
            self.recorded.exchange.state().grpc = Some(grpc::status(grpc::code(status.as_bytes())));
        }
    }
}

impl Drop for Relay {
    /// Its client left: what the answer said up to there is known all the same, and one that said it is done is whole.
    fn drop(&mut self) {
        if self.content.is_none() || self.recorded.ticket.is_none() {
            return;
        }
        let answer = self.finish_content(false);
        let done = answer.done;
        let last = {
            let mut state = self.recorded.exchange.state();
            state.answer = ResponseBody { complete: done, ..answer };
            state.current.moved().read.map(|(_, last)| last)
        };
        if let Some(at) = last.filter(|_| done && !self.recorded.recorder.is_stopped()) {
            self.recorded.end(How::Complete, at);
        }
    }
}

/// The fields by which gRPC says that the peer is not there.
pub(crate) fn unavailable(why: &str) -> HeaderMap {
    let message = format!("hopwatch: {}", utf8_percent_encode(why, GRPC_TEXT));
    let message = HeaderValue::try_from(message).unwrap_or(HeaderValue::from_static("hopwatch"));
    HeaderMap::from_iter([
        (HeaderName::from_static(grpc::STATUS), HeaderValue::from(grpc::UNAVAILABLE)),
        (HeaderName::from_static(grpc::MESSAGE), message),
    ])
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relay(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Relay(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Relay(relay) => relay.body.size_hint(),
        }
    }
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if self.broken.is_some() {
            ready!(self.recorded.exchange.downstream.poll_written(cx));
            return Poll::Ready(self.broken.take().map(|error| self.told(error)));
        }
        if let Some(given) = self.given.take() {
            let now = self.recorded.now();
            self.recorded.exchange.state().not_read(given, now);
        }
        let frame = ready!(self.poll_body(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.given = self.recorded.exchange.downstream.is_shared().then(|| self.recorded.now());
                    if let Some(Carried::H2(slot)) = &self.carrier {
                        slot.marks.read(data.len());
                    }
                    self.state_of_content(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers(trailers);
                }
                // Nothing follows trailers, and nobody asks for more.
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.complete();
                }
            }
            Some(Err(error)) => self.broke(error),
            None => self.complete(),
        }
        if let Some(Err(error)) = frame {
            // An error ends the client's connection at once, with all that has not been written yet: it is written first.
            self.broken = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(frame)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.carrier {
            Some(Carried::H1(lease)) => {
                lease.h1.drive(cx);
                let body = &mut self.body;
                match poll_driven(|cx| Pin::new(&mut *body).poll_frame(cx)) {
                    // To ask is what makes the driver read on.
                    Poll::Pending => {
                        lease.h1.drive(cx);
                        poll_driven(|cx| Pin::new(body).poll_frame(cx))
                    }
                    ready => ready,
                }
            }
            _ => Pin::new(&mut self.body).poll_frame(cx),
        }
    }
}
