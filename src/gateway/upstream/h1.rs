//! A connection to an upstream by HTTP/1.1, driven by whoever uses it.
//!
//! hyper's connection is a future that someone has to poll. Here that is the task of the client whose request it carries: no task of its
//! own, no wake-up from one to the other, and a client that leaves takes its connection with it. While it is idle nobody polls it, but
//! for the moment in which it is taken and the pool's sweep.

use super::io::UpstreamIo;
use crate::gateway::connect::{Connected, Form, Stream, Via};
use crate::gateway::record::Marks;
use crate::gateway::upload::Upload;
use crate::model::clock::Anchor;
use crate::model::{Name, Nanos};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A connection by HTTP/1.1.
#[derive(Debug)]
pub(crate) struct H1 {
    send: http1::SendRequest<Upload>,
    driver: Option<http1::Connection<TokioIo<UpstreamIo>, Upload>>,
    /// The driver has come to its end and must not be polled any more.
    over: bool,
    pub(crate) number: NonZeroU64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The peer's address, as it is told.
    pub(crate) address: Name,
    pub(crate) marks: Arc<Marks>,
    pub(crate) via: Option<Via>,
    /// Since when it has been idle.
    pub(crate) idle_since: Nanos,
}

/// Why an exchange has no answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// The request, if none of it went.
    pub(crate) unsent: Option<Request<Upload>>,
    pub(crate) error: hyper::Error,
}

impl H1 {
    /// Begins to speak HTTP/1.1 on a connection. Sends nothing yet.
    pub(crate) async fn new(connected: Connected, number: NonZeroU64, anchor: Anchor, max_head: usize) -> hyper::Result<Self> {
        let Connected { io, local, remote, via, .. } = connected;
        let marks = Arc::new(Marks::new(anchor));
        let io = TokioIo::new(UpstreamIo::new(io, Arc::clone(&marks)));
        let mut builder = http1::Builder::new();
        builder.max_buf_size(max_head.max(MIN_BUFFER));
        let (send, driver) = builder.handshake(io).await?;
        let (driver, address) = (Some(driver), remote.to_string().into());
        Ok(Self { send, driver, over: false, number, local, remote, address, marks, via, idle_since: 0 })
    }

    /// Whether requests are to be written with the whole URI, and with which credentials for the proxy.
    pub(crate) fn absolute_form(&self) -> Option<Option<&http::HeaderValue>> {
        match &self.via.as_ref()?.form {
            Form::Absolute(credentials) => Some(credentials.as_ref()),
            Form::Origin => None,
        }
    }

    /// Moves what can be moved; whether the connection goes on.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(driver) = self.driver.as_mut().filter(|_| !self.over) {
            // How it ended is told to the exchange under way; between two it is of no interest.
            self.over = Pin::new(driver).poll(cx).is_ready();
        }
        !self.over
    }

    /// Whether it can take a request: asked of one that was idle, or that has just answered.
    pub(crate) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop())) && self.send.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// Cancel safe: dropped midway, the connection is not usable any more.
    pub(crate) async fn send(&mut self, request: Request<Upload>) -> Result<Response<Incoming>, Unanswered> {
        self.marks.begin();
        let Self { send, driver, over, .. } = self;
        let mut answer = pin!(send.try_send_request(request));
        poll_fn(|cx| {
            if let Some(driving) = driver.as_mut().filter(|_| !*over) {
                *over = Pin::new(driving).poll(cx).is_ready();
            }
            let answered = poll_driven(|cx| answer.as_mut().poll(cx));
            if answered.is_pending() && *over {
                // Whatever it held goes back to who asked.
                *driver = None;
                return poll_driven(|cx| answer.as_mut().poll(cx));
            }
            answered
        })
        .await
        .map_err(|mut error| Unanswered { unsent: error.take_message(), error: error.into_error() })
    }

    /// The bare connection, after both sides agreed to speak another protocol on it, with what was read of that.
    pub(crate) fn into_stream(self) -> Option<(Stream, Bytes)> {
        let parts = self.driver?.into_parts();
        Some((parts.io.into_inner().into_stream(), parts.read_buf))
    }
}

/// hyper's least.
const MIN_BUFFER: usize = 8 << 10;

/// Polls what a driver alone resolves, which has just been polled: nobody else needs to wake this task for it.
pub(crate) fn poll_driven<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}
