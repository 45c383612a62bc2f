//! The doors for `tower`: clients of any kind, HTTP and gRPC clients, and servers.
//!
//! | layer | around | a hop or a run from | to |
//! |---|---|---|---|
//! | [`HopLayer`] | any client | the call, or the first wait for it | its answer |
//! | [`HttpHopLayer`] | an HTTP client | the same | the last byte of the answer |
//! | [`RunLayer`] | an HTTP server | the head of a request | the last byte of the answer |
//!
//! # What is measured
//! | event | when |
//! |---|---|
//! | start | `call`; or, if the service was not ready when it was asked, that first `poll_ready` |
//! | `pool` | `poll_ready` was asked first and was not ready, up to where it was |
//! | `self` | ready after a wait, up to `call`: the caller held its turn and did not use it |
//! | `wait` | `call` to the answer's head (with [`HopLayer`]: to the answer) |
//! | `first_token` | head to first content: the first generated token of a known stream (feature `wire`), else the first byte |
//! | `stream` | first content to the end of the body |
//! | `pool`, `send` with [`Upload`] | the body was not asked for by a connection yet; it was being taken |
//! | a service that fails to become ready | one hop in `pool`, with that error |
//! | a dropped wait, call or body | `cancelled`, or `timeout` when the deadline of its run passed |
//! | a whole answer whose body nobody asked for | as its status says |
//!
//! Readiness comes before the call and says nothing of whose call it is for. A service that was not ready keeps the hop that it began
//! for the next call of the same run or hop; when somebody else asks first, the wait is recorded as `cancelled`. A clone starts without
//! one. A service that is asked for its readiness ahead of any call, as balancers do with their endpoints, has its layer around the
//! balancer, not around each endpoint.
//!
//! # HTTP/2 stream slots
//! A wait for one of the slots that a server gives (`SETTINGS_MAX_CONCURRENT_STREAMS`) happens inside the connection: `poll_ready` of
//! `hyper`'s HTTP/2 client is ready as long as the connection is open, and those of `hyper-util`'s pooled client and `tonic`'s channel
//! know nothing of it. What is visible is the moment at which the connection takes the request's body, since `h2` gives a stream no
//! room before it is open: [`Upload`] tells it. A request without a body, and one whose client does not take a body of its own type,
//! waits for its slot in `wait`.
//!
//! # Example
//! ```
//! # use hopwatch::{Hopwatch, Kind};
//! # use tower::ServiceBuilder;
//! # fn layers<S, T>(watch: &Hopwatch, client: S, handler: T) {
//! let qdrant = ServiceBuilder::new().layer(watch.hop(Kind::Retrieval, "qdrant").http_layer().propagate()).service(client);
//! let server = ServiceBuilder::new().layer(watch.run_layer().named("POST /answer")).service(handler);
//! # }
//! ```

mod answered;
mod classify;
mod grpc;
mod hop;
mod http;
mod ready;
mod run;
mod upload;

pub use classify::{ByError, BySource, ByStatus, Classify};
pub use grpc::grpc_timeout;
pub use hop::{HopFuture, HopLayer, HopService};
pub use http::{HopBody, HttpHopFuture, HttpHopLayer, HttpHopService};
pub use run::{RunBody, RunFuture, RunLayer, RunService};
pub use upload::Upload;

/// What every service of this door has beside its calls: access to the one inside, and `Debug` for it, its layer and its future.
macro_rules! service {
    ($service:ident, $layer:ident, $future:ident) => {
        impl<S, C> $service<S, C> {
            /// The service inside.
            pub fn get_ref(&self) -> &S {
                &self.inner
            }

            /// The service inside, to be changed.
            pub fn get_mut(&mut self) -> &mut S {
                &mut self.inner
            }

            /// The service inside, without what is around it.
            pub fn into_inner(self) -> S {
                self.inner
            }
        }

        impl<S: fmt::Debug, C> fmt::Debug for $service<S, C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($service)).field("inner", &self.inner).finish_non_exhaustive()
            }
        }

        impl<C> fmt::Debug for $layer<C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($layer)).finish_non_exhaustive()
            }
        }

        impl<F, C> fmt::Debug for $future<F, C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future)).finish_non_exhaustive()
            }
        }
    };
}
use service;

/// A body that is watched: public by name, with its watcher kept private.
macro_rules! body {
    ($(#[$doc:meta])* $body:ident($watcher:ident)) => {
        pin_project! {
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $body<B> {
                #[pin]
                inner: WatchedBody<B, $watcher>,
            }
        }

        impl<B> Body for $body<B>
        where
            B: Body,
            B::Error: 'static,
        {
            type Data = B::Data;
            type Error = B::Error;

            fn poll_frame(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
                self.project().inner.poll_frame(cx)
            }

            fn is_end_stream(&self) -> bool {
                self.inner.is_end_stream()
            }

            fn size_hint(&self) -> http_body::SizeHint {
                self.inner.size_hint()
            }
        }
    };
}
use body;
