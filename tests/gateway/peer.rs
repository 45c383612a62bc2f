//! An upstream that does what it is told, connection by connection.

use crate::support::authority::Authority;
use crate::wire::Wire;
use rustls::{ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::wire::PATIENCE;

/// What is done with a connection, given its number in the order of acceptance.
type Talk = dyn Fn(&mut Wire, usize) + Send + Sync;

/// A running upstream. Dropped, it ends every connection and fails the test if one of its talks panicked before.
pub(crate) struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    talk: Box<Talk>,
    stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<usize, TcpStream>,
    /// What came on each connection that is over.
    heard: HashMap<usize, Vec<u8>>,
    accepted: usize,
    panicked: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Does this with each connection and closes it then.
    pub(crate) fn new(talk: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        Self::start(Box::new(talk), TcpListener::bind("127.0.0.1:0").unwrap(), None)
    }

    /// The same inside TLS.
    pub(crate) fn tls(authority: &Authority, talk: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        Self::start(Box::new(talk), TcpListener::bind("127.0.0.1:0").unwrap(), Some(authority))
    }

    /// The same at an address that was used before.
    pub(crate) fn at(address: SocketAddr, talk: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        Self::start(Box::new(talk), TcpListener::bind(address).unwrap(), None)
    }

    /// Gives this answer to each request.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |wire, _| {
            while wire.try_message(false).is_ok() {
                if wire.try_say(&answer).is_err() {
                    return;
                }
            }
        })
    }

    fn start(talk: Box<Talk>, listener: TcpListener, authority: Option<&Authority>) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { talk, stopped: AtomicBool::new(false), state: Mutex::default(), changed: Condvar::new() });
        let config = authority.map(Authority::config);
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let mut state = shared.state();
                    let number = state.accepted;
                    state.accepted += 1;
                    state.open.insert(number, stream.try_clone().unwrap());
                    let (config, shared) = (config.clone(), Arc::clone(&shared));
                    state.threads.push(thread::spawn(move || {
                        let wire = match config {
                            None => Wire::of(stream),
                            Some(config) => {
                                let socket = stream.try_clone().unwrap();
                                Wire::over(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), socket)
                            }
                        };
                        shared.serve(wire, number);
                    }));
                }
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().accepted
    }

    /// How many of them are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.state().open.len()
    }

    /// What came on a connection, once that is over.
    #[track_caller]
    pub(crate) fn heard(&self, number: usize) -> String {
        String::from_utf8_lossy(&self.heard_bytes(number)).into_owned()
    }

    /// The same, byte for byte.
    #[track_caller]
    pub(crate) fn heard_bytes(&self, number: usize) -> Vec<u8> {
        let state = self.shared.state();
        let (state, _) =
            self.shared.changed.wait_timeout_while(state, PATIENCE, |state| !state.heard.contains_key(&number)).unwrap();
        state.heard.get(&number).unwrap_or_else(|| panic!("connection {number} is not over")).clone()
    }
}

impl Shared {
    fn serve(&self, mut wire: Wire, number: usize) {
        let talked = catch_unwind(AssertUnwindSafe(|| (self.talk)(&mut wire, number)));
        let heard = std::mem::take(&mut wire.heard);
        let mut state = self.state();
        state.open.remove(&number);
        // The last descriptor of the connection.
        drop(wire);
        state.heard.insert(number, heard);
        if talked.is_err() && !self.stopped.load(Ordering::SeqCst) {
            state.panicked += 1;
        }
        self.changed.notify_all();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.acceptor.take().map(JoinHandle::join));
        let (threads, panicked) = {
            let mut state = self.shared.state();
            for stream in state.open.values() {
                drop(stream.shutdown(Shutdown::Both));
            }
            (std::mem::take(&mut state.threads), state.panicked)
        };
        threads.into_iter().for_each(|thread| drop(thread.join()));
        assert!(panicked == 0 || thread::panicking(), "{panicked} talks of the upstream panicked");
    }
}
