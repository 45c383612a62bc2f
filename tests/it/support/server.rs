//! A scripted HTTP server on real sockets, plain or inside TLS, one thread a connection.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::authority::Authority;
pub(crate) use super::peers::reset_on_close;
use super::request::Request;
use super::script::{Script, Step};

type Route = Box<dyn Fn(&Request) -> Script + Send + Sync>;

/// Routes first, then `start`.
#[derive(Default)]
pub(crate) struct Router {
    routes: HashMap<String, Route>,
}

impl Router {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What to answer on a path; anything else gets a 404, which the test is told of.
    pub(crate) fn route(mut self, path: &str, answer: impl Fn(&Request) -> Script + Send + Sync + 'static) -> Self {
        self.routes.insert(path.to_owned(), Box::new(answer));
        self
    }

    pub(crate) fn start(self) -> Server {
        Server::start(self.routes, None)
    }

    pub(crate) fn start_tls(self, authority: &Authority) -> Server {
        Server::start(self.routes, Some(authority))
    }
}

/// A running server. Dropped, it ends every connection and fails the test if one of its threads panicked.
pub(crate) struct Server {
    address: SocketAddr,
    tls: bool,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    routes: HashMap<String, Route>,
    stopped: AtomicBool,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    accepted: usize,
    open: HashMap<usize, TcpStream>,
    requests: Vec<Request>,
    numbers: HashMap<String, usize>,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    fn start(routes: HashMap<String, Route>, authority: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { routes, stopped: AtomicBool::new(false), state: Mutex::default(), left: Condvar::new() });
        let config = authority.map(Authority::config);
        let tls = config.is_some();
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    stream.set_nodelay(true).unwrap();
                    let mut state = shared.state();
                    let number = state.accepted;
                    state.accepted += 1;
                    state.open.insert(number, stream.try_clone().unwrap());
                    let config = config.clone();
                    let connection = Connection { number, shared: Arc::clone(&shared) };
                    state.threads.push(thread::spawn(move || match config {
                        None => connection.serve(stream, |stream| stream),
                        Some(config) => {
                            let session = ServerConnection::new(config).unwrap();
                            connection.serve(StreamOwned::new(session, stream), |stream| &stream.sock);
                        }
                    }));
                }
            }
        });
        Self { address, tls, shared, acceptor: Some(acceptor) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`, with a path behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        if self.tls { format!("https://localhost:{}{path}", self.port()) } else { format!("http://{}{path}", self.address) }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// `--dep KIND/NAME=HOST:PORT` for this server, its host as the clients spell it.
    pub(crate) fn dep(&self, name: &str) -> String {
        let host = if self.tls { "localhost" } else { "127.0.0.1" };
        format!("--dep={name}={host}:{}", self.port())
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().accepted
    }

    /// Waits until every connection accepted so far has been left by its client.
    pub(crate) fn all_left(&self) -> bool {
        let state = self.shared.state();
        let (state, _) =
            self.shared.left.wait_timeout_while(state, Duration::from_secs(10), |state| !state.open.is_empty()).unwrap();
        state.open.is_empty()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let acceptor = self.acceptor.take().map(JoinHandle::join);
        let threads = {
            let mut state = self.shared.state();
            for stream in state.open.values() {
                drop(stream.shutdown(Shutdown::Both));
            }
            self.shared.left.notify_all();
            mem::take(&mut state.threads)
        };
        let broken = threads.into_iter().map(JoinHandle::join).chain(acceptor).filter(Result::is_err).count();
        if broken > 0 && !thread::panicking() {
            panic!("{broken} threads of the scripted server panicked");
        }
    }
}

/// One accepted connection, on its own thread.
struct Connection {
    number: usize,
    shared: Arc<Shared>,
}

impl Connection {
    /// Answers until either side leaves. `socket` reaches below TLS.
    fn serve<S: Read + Write>(self, mut stream: S, socket: impl Fn(&S) -> &TcpStream) {
        // An error here is the client that left, which is what many tests are about.
        while let Ok(Some(mut request)) = Request::read(&mut stream) {
            let script = {
                let mut state = self.shared.state();
                request.connection = self.number;
                let number = state.numbers.entry(request.path.clone()).or_default();
                request.number = *number;
                *number += 1;
                state.requests.push(request.clone());
                drop(state);
                match self.shared.routes.get(&request.path) {
                    Some(route) => route(&request),
                    None => panic!("no route for {}", request.path),
                }
            };
            if !matches!(self.play(script, &mut stream, &socket), Ok(true)) {
                break;
            }
        }
    }

    /// Whether the connection may carry another request.
    fn play<S: Read + Write>(&self, script: Script, stream: &mut S, socket: impl Fn(&S) -> &TcpStream) -> io::Result<bool> {
        for step in script.0 {
            match step {
                Step::Delay(duration) => self.wait(duration),
                Step::Bytes(bytes) => {
                    stream.write_all(&bytes)?;
                    stream.flush()?;
                }
                Step::Stall => {
                    let mut socket = socket(stream);
                    while socket.read(&mut [0; 256])? > 0 {}
                    return Ok(false);
                }
                Step::Reset => {
                    reset_on_close(socket(stream))?;
                    return Ok(false);
                }
                Step::Close => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits, but no longer than the test lives.
    fn wait(&self, duration: Duration) {
        let state = self.shared.state();
        let running = |_: &mut State| !self.shared.stopped.load(Ordering::SeqCst);
        drop(self.shared.left.wait_timeout_while(state, duration, running).unwrap());
    }
}

impl Drop for Connection {
    /// The last descriptor of the connection is closed here, also when a route panicked.
    fn drop(&mut self) {
        self.shared.state().open.remove(&self.number);
        self.shared.left.notify_all();
    }
}
