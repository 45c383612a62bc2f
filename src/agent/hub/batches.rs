//! Takes what ended in small pieces, from a thread of its own.
//!
//! A busy source ends thousands of hops between two looks. Taken all at once they would keep a core for milliseconds from those who serve,
//! and have left the processor's caches by then.

use super::Hub;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it waits at most until it sees whether it is to end.
const WAIT: Duration = Duration::from_millis(100);

/// The thread that takes them; dropped, it ends.
#[derive(Debug)]
pub struct Batches {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// Takes what ended whenever `wait`, which is told how long it may wait at most, comes back.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(hub: Arc<Hub>, wait: impl Fn(Duration) + Send + 'static) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("hopwatch-hub".into()).spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                wait(WAIT);
                hub.take();
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic is its own.
            drop(thread.join());
        }
    }
}
