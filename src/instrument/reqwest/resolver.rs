//! The resolver: times look-ups, and keeps the reason of those that fail.

use super::connecting::CONNECTING;
use super::lookup;
use reqwest::dns::{Name, Resolve, Resolving};
use std::sync::Arc;

/// A resolver whose look-ups are timed: `ClientBuilder::dns_resolver`. [`watch`](super::watch) sets it.
///
/// The default asks the system (`getaddrinfo` on a blocking thread) as reqwest does by default, and errors read the same; a
/// failed look-up additionally keeps its reason ([`LookupError`](crate::instrument::failure::LookupError)).
#[derive(Clone, Debug, Default)]
pub struct Resolver<R = SystemResolver> {
    inner: Arc<R>,
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl<R: Resolve> Resolver<R> {
    /// Times a resolver of your own. What it gives is passed on untouched.
    pub fn new(inner: R) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl<R: Resolve + 'static> Resolve for Resolver<R> {
    fn resolve(&self, name: Name) -> Resolving {
        // Of a connect that nobody watches there is nothing to tell.
        let Ok(connecting) = CONNECTING.try_with(Arc::clone) else { return self.inner.resolve(name) };
        connecting.lookup();
        let resolving = self.inner.resolve(name);
        Box::pin(async move {
            let addresses = resolving.await;
            // One that is dropped stays where it was.
            connecting.resolved();
            addresses
        })
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        lookup::resolve(name)
    }
}
