//! A streamed request body: when the connection took its first and its last.

use super::exchange::Exchange;
use crate::instrument::body::{WatchedBody, Watcher};
use reqwest::Body;
use std::sync::{Arc, OnceLock};

/// Where the body finds its call, once that has begun.
pub(super) type Slot = Arc<OnceLock<Arc<Exchange>>>;

/// Watches a streamed body; length, frames and trailers stay as they are.
pub(super) fn wrap(body: Body, slot: Slot) -> Body {
    Body::wrap(WatchedBody::new(body, Upload(slot)))
}

#[derive(Debug)]
struct Upload(Slot);

impl Watcher for Upload {
    fn poll_in<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if let Some(exchange) = self.0.get() {
            exchange.sending();
        }
        work()
    }

    fn data(&mut self, _start: &[u8], length: usize) {
        if let Some(exchange) = self.0.get() {
            exchange.sends(length as u64);
        }
    }

    fn ended(&mut self) {
        if let Some(exchange) = self.0.get() {
            exchange.sent();
        }
    }

    // The client fails with this very error.
    fn failed<E: 'static>(&mut self, _error: &E) {}
}
