//! The door for `reqwest` clients.
//!
//! [`watch`] (or `Hopwatch::reqwest`) adds to a client what only its builder can: `dns`, `connect` and `tls` are told apart, and
//! which call opened which connection. [`Hop::send`](crate::instrument::hop::Hop::send) times a call to its last byte, on any
//! client; a call under `hop.time(...)` still gets the phases up to its connection.
//!
//! | event | when |
//! |---|---|
//! | start | the first poll of the call |
//! | `pool` | a connection that another call had or made was waited for; with a streamed body, the wait for a stream slot |
//! | `dns` | the name was asked for, up to its addresses |
//! | `connect` | the rest of the connector's work: TCP, a forward proxy, and TLS where [`watch_tls`] is not used |
//! | `tls` | the client's hello was written, up to a usable connection |
//! | `send` | a streamed body was taken by the connection; bodies in memory go with `wait` |
//! | `wait` | up to the answer's head; redirects that were followed are in here |
//! | `first_token` | up to the first content: the first generated token of a known stream (feature `wire`), else the first byte |
//! | `stream` | up to the end of the body |
//!
//! Not seen: a wait for an HTTP/2 stream slot without a streamed body (it is part of `wait`), a proxy's part of a connect, and
//! retries inside the client that need no new connection.

mod connecting;
mod connector;
mod exchange;
mod lookup;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod phases;
mod registry;
mod resolver;
mod send;
mod tls;
mod upload;
mod watcher;

pub use connector::{Connect, Connector, ConnectorLayer};
#[cfg(feature = "reqwest-middleware")]
pub use middleware::HopMiddleware;
pub use resolver::{Resolver, SystemResolver};
pub use send::Sending;
pub use tls::{watch_tls, watch_tls_with};

use reqwest::ClientBuilder;
use reqwest::dns::Resolve;

/// Watches the connects of a client: adds [`ConnectorLayer`], and sets a [`Resolver`] that asks the system as the default one
/// does. A resolver that was set before is replaced, since it cannot be read back: use [`watch_with`] then. Everything else stays
/// as it is.
///
/// Costs under 2 microseconds a call, nothing on a reused connection.
pub fn watch(builder: ClientBuilder) -> ClientBuilder {
    watch_with(builder, SystemResolver)
}

/// The same with a resolver of your own, which is asked as before.
pub fn watch_with(builder: ClientBuilder, resolver: impl Resolve + 'static) -> ClientBuilder {
    builder.connector_layer(ConnectorLayer).dns_resolver(Resolver::new(resolver))
}
