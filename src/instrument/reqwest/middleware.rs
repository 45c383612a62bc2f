//! The same as a `reqwest-middleware`, for clients that are built of such.

use super::send::Prepared;
use crate::instrument::hop::Hop;
use crate::instrument::propagate;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use std::future::Future;
use std::pin::Pin;

/// Times each request of a client as [`Hop::send`] does: `ClientBuilder::new(client).with(HopMiddleware::new(hop))`.
///
/// What stands after it is timed as one call, retries included; before it, each try is a call. A [`Hop`] among the extensions of
/// a request is used in place of the middleware's own: `request.with_extension(docs.clone())`.
#[derive(Clone, Debug)]
pub struct HopMiddleware {
    hop: Hop,
    propagates: bool,
}

impl HopMiddleware {
    /// Times requests as calls of this hop.
    #[must_use]
    pub const fn new(hop: Hop) -> Self {
        Self { hop, propagates: false }
    }

    /// Sends W3C trace context and baggage along; see [`Sending::propagate`](super::Sending::propagate).
    #[must_use]
    pub const fn propagate(mut self) -> Self {
        self.propagates = true;
        self
    }
}

impl Middleware for HopMiddleware {
    fn handle<'own, 'extensions, 'next, 'all>(
        &'own self,
        mut request: Request,
        extensions: &'extensions mut Extensions,
        next: Next<'next>,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'all>>
    where
        'own: 'all,
        'extensions: 'all,
        'next: 'all,
        Self: 'all,
    {
        let mut call = Prepared::new(extensions.get::<Hop>().unwrap_or(&self.hop).clone());
        call.read(&mut request);
        let propagates = self.propagates;
        Box::pin(call.time(move || {
            if propagates {
                propagate::inject(request.headers_mut());
            }
            next.run(request, extensions)
        }))
    }
}
