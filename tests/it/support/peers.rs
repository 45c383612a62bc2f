//! Peers that fail below HTTP: nobody listening, a SYN without an answer, a TLS hello without one, a slow path.

use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A port on which nobody listens: connecting is refused.
pub(crate) fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener whose queue is full, so that a further SYN gets no answer at all.
pub(crate) struct Unanswered {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Unanswered {
    pub(crate) fn new() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Of a listener that nobody has connected to.
    pub(crate) fn of(listener: TcpListener) -> Self {
        // SAFETY: plain call on a descriptor that is open; a second `listen` only changes the length of the queue.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 10, "the queue of the listener never filled");
        }
        Self { listener, _queued: queued }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

/// Accepts (by the kernel) and never says a word: a TLS handshake stalls after the client's hello.
pub(crate) struct Mute(TcpListener);

impl Mute {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// Carries bytes to another port; answers to requests that hold `pattern` are kept back for `delay`.
pub(crate) struct Forwarder {
    address: SocketAddr,
    shared: Arc<Carrying>,
    acceptor: Option<JoinHandle<()>>,
}

struct Carrying {
    target: SocketAddr,
    pattern: Vec<u8>,
    delay: Duration,
    stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Forwarder {
    pub(crate) fn new(port: u16, pattern: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Carrying {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            pattern: pattern.as_bytes().to_vec(),
            delay,
            stopped: AtomicBool::new(false),
            open: Mutex::default(),
            threads: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming() {
                    if shared.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.carry(client.unwrap());
                }
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Carrying {
    fn carry(self: &Arc<Self>, client: TcpStream) {
        let server = TcpStream::connect(self.target).unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        self.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let slow = Arc::new(AtomicBool::new(false));
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::clone(&slow));
        let there = Arc::clone(self);
        let here = Arc::clone(self);
        self.threads.lock().unwrap().extend([
            thread::spawn(move || {
                pump(client, server, |bytes| {
                    if bytes.windows(there.pattern.len()).any(|window| window == there.pattern) {
                        slow.store(true, Ordering::SeqCst);
                    }
                });
            }),
            thread::spawn(move || {
                let (server, client, slow) = back;
                pump(server, client, |_| {
                    if slow.swap(false, Ordering::SeqCst) {
                        here.hold();
                    }
                });
            }),
        ]);
    }

    /// Sleeps, but not past the end of the test.
    fn hold(&self) {
        let step = Duration::from_millis(20);
        let mut left = self.delay;
        while left > Duration::ZERO && !self.stopped.load(Ordering::SeqCst) {
            thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut(&[u8])) {
    let mut part = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut part) {
        before(&part[..read]);
        if to.write_all(&part[..read]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let acceptor = self.acceptor.take().map(JoinHandle::join);
        for stream in self.shared.open.lock().unwrap().iter() {
            drop(stream.shutdown(Shutdown::Both));
        }
        let threads = mem::take(&mut *self.shared.threads.lock().unwrap());
        let broken = threads.into_iter().map(JoinHandle::join).chain(acceptor).filter(Result::is_err).count();
        if broken > 0 && !thread::panicking() {
            panic!("{broken} threads of the forwarder panicked");
        }
    }
}

/// A close from now on is an RST.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open while `stream` lives, and the option is read from a `linger` of its own size.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
