//! A peer that does one thing with its connections.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Does something with each of its connections, one after the other. Dropped, it waits for the end of what it does, and fails the test
/// if that panicked.
pub(crate) struct Peer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn new(script: impl FnMut(TcpStream) + Send + 'static) -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// Of a listener that nobody has connected to.
    pub(crate) fn of(listener: TcpListener, mut script: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    script(stream.unwrap());
                }
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let broken = self.thread.take().map(JoinHandle::join).is_some_and(|result| result.is_err());
        if broken && !thread::panicking() {
            panic!("the peer panicked");
        }
    }
}
