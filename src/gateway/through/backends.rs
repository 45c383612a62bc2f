//! Which process of a database's server serves which connection: a client asks by another one that its query be stopped.

use crate::gateway::record::Line;
use crate::model::Nanos;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Connections to databases by server and process.
#[derive(Debug, Default)]
pub(crate) struct Backends(Mutex<FxHashMap<(SocketAddr, u32), Weak<Line>>>);

impl Backends {
    /// This process serves a connection.
    pub(super) fn put(&self, backend: u32, line: &Arc<Line>) {
        if let Some(ends) = line.ends() {
            self.lock().insert((ends.remote, backend), Arc::downgrade(line));
        }
    }

    /// It does so no more.
    pub(super) fn remove(&self, backend: u32, line: &Arc<Line>) {
        let Some(ends) = line.ends() else { return };
        let mut all = self.lock();
        let key = (ends.remote, backend);
        if all.get(&key).is_some_and(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(line))) {
            all.remove(&key);
        }
    }

    /// By another connection to the same server a client asks that what this process does be stopped.
    pub(super) fn stop(&self, backend: u32, by: &Line, at: Nanos) {
        let served = by.ends().and_then(|ends| self.lock().get(&(ends.remote, backend)).and_then(Weak::upgrade));
        if let Some(line) = served {
            line.stop(at);
        }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<(SocketAddr, u32), Weak<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
