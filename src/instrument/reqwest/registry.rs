//! Connections by identity: the two addresses. Whether a call opened its connection cannot be known by whether it started a
//! connect, since hyper may give it another one that became free meanwhile.
//!
//! A connection is a fact of the process, so that one table serves all handles and clients. It is bounded; nobody tells when a
//! connection closes, but a new one at the same addresses takes the old one's place.

use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Local and remote address.
pub(super) type Key = (SocketAddr, SocketAddr);

/// Most connections remembered; the ones unused for longest go first.
const CONNECTIONS_MAX: usize = 4_096;

/// How a call came by its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Which connection it is, unique in the process.
    pub(super) id: NonZeroU64,
    /// An earlier call opened it, or one at the same time.
    pub(super) reused: bool,
    /// How long it had been idle.
    pub(super) idle: Option<Duration>,
    /// Another call opened it after this one had begun: it was waited for until then.
    pub(super) awaited: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    id: NonZeroU64,
    opened: Option<Instant>,
    /// The call that opened it; 0 = one that nobody times.
    opened_by: u64,
    /// When the last body on it ended.
    released: Option<Instant>,
    touched: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    connections: FxHashMap<Key, Known>,
}

static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

/// A connect of call `call` led to this connection. `None` only when ids ran out.
pub(super) fn opened(key: Key, call: u64) -> Option<NonZeroU64> {
    lock().get_or_insert_default().opened(key, call, Instant::now())
}

/// Call `call`, which began at `start`, is served by this connection.
pub(super) fn used(key: Key, call: u64, start: Instant) -> Option<Use> {
    lock().get_or_insert_default().used(key, call, start, Instant::now())
}

/// A call's body on this connection ended.
pub(super) fn released(key: Key, id: NonZeroU64) {
    lock().get_or_insert_default().released(key, id, Instant::now());
}

fn lock() -> MutexGuard<'static, Option<Registry>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    fn opened(&mut self, key: Key, call: u64, now: Instant) -> Option<NonZeroU64> {
        self.make_room();
        let id = next_id()?;
        let known = Known { id, opened: Some(now), opened_by: call, released: None, touched: now };
        self.connections.insert(key, known);
        Some(id)
    }

    fn used(&mut self, key: Key, call: u64, start: Instant, now: Instant) -> Option<Use> {
        if !self.connections.contains_key(&key) {
            // Of a client whose connects nobody watches: the first call seen on it is taken to have opened it.
            self.make_room();
            let known = Known { id: next_id()?, opened: None, opened_by: call, released: None, touched: now };
            self.connections.insert(key, known);
        }
        let known = self.connections.get_mut(&key)?;
        known.touched = now;
        let own = known.opened_by == call;
        Some(Use {
            id: known.id,
            reused: !own,
            idle: known.released.filter(|&released| released <= start).map(|released| start - released).filter(|_| !own),
            awaited: known.opened.filter(|&opened| !own && opened > start),
        })
    }

    fn released(&mut self, key: Key, id: NonZeroU64, now: Instant) {
        if let Some(known) = self.connections.get_mut(&key).filter(|known| known.id == id) {
            known.released = Some(now);
            known.touched = now;
        }
    }

    /// Forgets the eighth that was unused for longest, so that this is rare.
    fn make_room(&mut self) {
        if self.connections.len() < CONNECTIONS_MAX {
            return;
        }
        let mut touched: Vec<Instant> = self.connections.values().map(|known| known.touched).collect();
        let (_, &mut limit, _) = touched.select_nth_unstable(CONNECTIONS_MAX / 8);
        let mut left = CONNECTIONS_MAX / 8;
        self.connections.retain(|_, known| {
            let goes = left > 0 && known.touched <= limit;
            left -= usize::from(goes);
            !goes
        });
    }
}

fn next_id() -> Option<NonZeroU64> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> Key {
        (SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([127, 0, 0, 1], 80)))
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn the_call_that_opened_a_connection_has_a_new_one_and_later_ones_reuse_it() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        let id = registry.opened(key(1), 7, at(start, 10)).unwrap();
        let first = registry.used(key(1), 7, start, at(start, 20)).unwrap();
        assert_eq!(first, Use { id, reused: false, idle: None, awaited: None });
        registry.released(key(1), id, at(start, 30));
        let second = registry.used(key(1), 8, at(start, 80), at(start, 90)).unwrap();
        assert_eq!(second, Use { id, reused: true, idle: Some(Duration::from_millis(50)), awaited: None });
    }

    #[test]
    fn a_connection_that_another_call_opened_meanwhile_was_waited_for() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        registry.opened(key(1), 7, at(start, 40)).unwrap();
        let other = registry.used(key(1), 8, at(start, 5), at(start, 60)).unwrap();
        assert_eq!((other.reused, other.awaited), (true, Some(at(start, 40))));
    }

    #[test]
    fn a_new_connection_at_the_same_addresses_takes_the_place_of_the_old_one() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        let old = registry.opened(key(1), 7, start).unwrap();
        let new = registry.opened(key(1), 9, at(start, 5)).unwrap();
        registry.released(key(1), old, at(start, 6));
        let used = registry.used(key(1), 9, start, at(start, 7)).unwrap();
        assert_eq!((used.id, used.reused), (new, false));
        assert_ne!(old, new);
    }

    #[test]
    fn the_first_call_on_an_unwatched_connection_is_taken_to_have_opened_it() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        assert!(!registry.used(key(1), 7, start, start).unwrap().reused);
        assert!(registry.used(key(1), 8, start, start).unwrap().reused);
    }

    #[test]
    fn a_connection_that_a_call_without_a_hop_opened_is_reused() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        registry.opened(key(1), 0, start).unwrap();
        assert!(registry.used(key(1), 8, start, start).unwrap().reused);
    }

    #[test]
    fn it_is_bounded_and_forgets_what_was_unused_for_longest() {
        let (mut registry, start) = (Registry::default(), Instant::now());
        for port in 0..u16::try_from(CONNECTIONS_MAX + 100).unwrap() {
            registry.opened(key(port), 1, at(start, u64::from(port)));
        }
        assert!(registry.connections.len() <= CONNECTIONS_MAX);
        assert!(!registry.connections.contains_key(&key(0)));
        assert!(registry.connections.contains_key(&key(u16::try_from(CONNECTIONS_MAX + 99).unwrap())));
    }
}
