//! What an error means, for faults that real peers make: outcome, who failed, code, and the phase where the error itself tells.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use hopwatch::instrument::failure::{Failure, classify, classify_any};
use hopwatch::instrument::reqwest::watch;
use hopwatch::model::{FailedBy, Outcome, Phase};
use reqwest::{Body, Client, Proxy};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use crate::clients::builder;
use crate::endings::{End, LIMIT, Stage};
use crate::phases::trusting;
use crate::support::authority::Authority;
use crate::support::peers::{Unanswered, refused};
use crate::support::script::{Script, Step};
use crate::support::server::{Router, reset_on_close};

/// What a failure is, without its numbers.
type Told<'a> = (Outcome, Option<FailedBy>, &'a str, Option<Phase>);

fn told(failure: &Failure) -> Told<'_> {
    (failure.outcome, failure.failed_by, &failure.error_type, failure.phase)
}

const PEER: Option<FailedBy> = Some(FailedBy::Peer);
const CALLER: Option<FailedBy> = Some(FailedBy::Caller);

/// A client's error, of the call or of its body.
async fn error(client: &Client, url: &str) -> reqwest::Error {
    match client.get(url).send().await {
        Ok(response) => response.bytes().await.unwrap_err(),
        Err(error) => error,
    }
}

#[track_caller]
fn is(error: &reqwest::Error, expected: Told<'_>) {
    let failure = classify_any(error);
    assert_eq!(told(&failure), expected, "{error:?}");
    // The same inside what an application makes of it.
    let boxed: Box<dyn Error + Send + Sync> = Box::new(std::io::Error::other(format!("{error}")));
    assert_eq!(classify(&*boxed).outcome, Outcome::Error, "no text is read");
}

/// Reads what comes first, says one thing and leaves.
struct Curt {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Curt {
    fn new(says: &'static [u8], resets: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let mut stream = stream.unwrap();
                    // Whoever leaves first is no matter here.
                    let _ = stream.read(&mut [0; 16 * 1024]);
                    let _ = stream.write_all(says);
                    if resets {
                        reset_on_close(&stream).unwrap();
                    } else {
                        let _ = stream.shutdown(Shutdown::Write);
                        while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
                    }
                }
            }
        });
        Self { address, stopped, thread: Some(thread) }
    }
}

impl Drop for Curt {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the curt peer panicked");
    }
}

#[tokio::test]
async fn failures_to_connect() {
    let client = builder().connect_timeout(LIMIT).build().unwrap();
    let failure = classify_any(&error(&client, &format!("http://{}/", refused())).await);
    assert_eq!(told(&failure), (Outcome::Connect, PEER, "connection_refused", Some(Phase::Connect)));
    assert_eq!(failure.errno, Some(111));
    let unanswered = Unanswered::new();
    let silent = error(&client, &format!("http://{}/", unanswered.address())).await;
    is(&silent, (Outcome::Timeout, CALLER, "timeout", Some(Phase::Connect)));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_tells_why_where_the_resolver_is_ours() {
    let url = "http://hopwatch.invalid/";
    is(&error(&builder().build().unwrap(), url).await, (Outcome::Dns, PEER, "name_resolution", Some(Phase::Dns)));
    let failure = classify_any(&error(&watch(builder()).build().unwrap(), url).await);
    assert_eq!((failure.outcome, failure.phase), (Outcome::Dns, Some(Phase::Dns)));
    // Without a network it is the name server that fails.
    assert!(["name_not_found", "name_server_failure"].contains(&&*failure.error_type), "{failure:?}");
}

#[tokio::test]
async fn a_timer_tells_no_phase() {
    let stage = Stage::new();
    let mute = stage.url(End::Timeout);
    let total = error(&builder().timeout(LIMIT).build().unwrap(), &mute).await;
    is(&total, (Outcome::Timeout, CALLER, "timeout", None));
    let read = error(&builder().read_timeout(LIMIT).build().unwrap(), &mute).await;
    is(&read, (Outcome::Timeout, CALLER, "timeout", None));
    let body = error(&builder().timeout(LIMIT).build().unwrap(), &stage.url(End::DroppedBody)).await;
    is(&body, (Outcome::Timeout, CALLER, "timeout", None));
}

#[tokio::test]
async fn answers_that_are_none_or_broken() {
    let bytes = |bytes: &'static [u8]| Script::new().then(Step::Bytes(bytes.to_vec()));
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n";
    let server = Router::new()
        .route("/closes", |_| Script::new().then(Step::Close))
        .route("/resets", |_| Script::new().then(Step::Reset))
        .route("/garbage", move |_| bytes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").then(Step::Close))
        .route("/cut", move |_| bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").then(Step::Close))
        .route("/cut-chunk", move |_| bytes(CHUNKED).then(Step::Close))
        .route("/bad-chunk", move |_| bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").then(Step::Close))
        .route("/resets-late", move |_| bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").delay(100).then(Step::Reset))
        .start();
    let client = builder().build().unwrap();
    for (path, expected) in [
        ("/closes", (Outcome::Reset, PEER, "connection_closed", None)),
        ("/resets", (Outcome::Reset, PEER, "connection_reset", None)),
        ("/garbage", (Outcome::Error, PEER, "invalid_response", None)),
        ("/cut", (Outcome::Body, PEER, "connection_closed", None)),
        ("/cut-chunk", (Outcome::Body, PEER, "connection_closed", None)),
        ("/bad-chunk", (Outcome::Body, PEER, "invalid_data", None)),
        ("/resets-late", (Outcome::Reset, PEER, "connection_reset", None)),
    ] {
        is(&error(&client, &server.url(path)).await, expected);
    }
}

#[tokio::test]
async fn what_the_client_itself_finds_wrong() {
    let server = Router::new()
        .route("/loop", |_| {
            Script::new().then(Step::Bytes(b"HTTP/1.1 302 Found\r\nlocation: /loop\r\ncontent-length: 0\r\n\r\n".to_vec()))
        })
        .route("/limited", |_| Script::answer(429, &[], &json!({})))
        .route("/broken", |_| Script::answer(503, &[], &json!({})))
        .route("/list", |_| Script::json(&json!([1, 2])))
        .start();
    let client = builder().build().unwrap();
    is(&error(&client, &server.url("/loop")).await, (Outcome::Error, PEER, "redirect", None));
    is(&error(&client, "ftp://127.0.0.1/").await, (Outcome::Error, CALLER, "request", None));
    let status = |response: reqwest::Response| response.error_for_status().unwrap_err();
    let limited = status(client.get(server.url("/limited")).send().await.unwrap());
    is(&limited, (Outcome::RateLimited, PEER, "429", None));
    assert_eq!(classify_any(&limited).status, Some(429));
    is(&status(client.get(server.url("/broken")).send().await.unwrap()), (Outcome::ServerError, PEER, "503", None));
    let no_text = client.get(server.url("/list")).send().await.unwrap().json::<String>().await.unwrap_err();
    is(&no_text, (Outcome::Body, PEER, "decode", None));
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = Body::wrap_stream(futures_util::stream::iter([Ok("one"), Err(std::io::Error::other("disk"))]));
    let upload = client.post(format!("http://{}/", deaf.local_addr().unwrap())).body(bad).send().await.unwrap_err();
    is(&upload, (Outcome::Error, CALLER, "request_body", Some(Phase::Send)));
}

#[tokio::test]
async fn handshakes_that_fail() {
    let authority = Authority::new();
    let server = Router::new().route("/", |_| Script::json(&json!({}))).start_tls(&authority);
    let strangers = || {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    let client = |config: ClientConfig| builder().tls_backend_preconfigured(config).build().unwrap();
    let tls = |code| (Outcome::Tls, PEER, code, Some(Phase::Tls));
    is(&error(&client(strangers()), &server.url("/")).await, tls("certificate_unknown_issuer"));
    // The certificate is for `localhost` and 127.0.0.1.
    let other = builder()
        .tls_backend_preconfigured(trusting(&authority))
        .resolve("other.test", SocketAddr::from(([127, 0, 0, 1], server.port())))
        .build()
        .unwrap();
    is(&error(&other, &format!("https://other.test:{}/", server.port())).await, tls("certificate_name"));
    let trusts = client(trusting(&authority));
    for (says, resets, code) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false, "not_tls"),
        // A fatal alert, handshake_failure.
        (b"\x15\x03\x03\x00\x02\x02\x28", false, "tls_alert"),
        (b"", false, "connection_closed"),
        (b"", true, "connection_reset"),
    ] {
        let peer = Curt::new(says, resets);
        is(&error(&trusts, &format!("https://localhost:{}/", peer.address.port())).await, tls(code));
    }
}

#[tokio::test]
async fn proxies_that_do_not_lead_on() {
    let client = |proxy: SocketAddr| builder().proxy(Proxy::https(format!("http://{proxy}")).unwrap()).build().unwrap();
    for (says, code) in [
        (&b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"[..], "proxy_refused"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "proxy_refused"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "proxy_authentication_required"),
        (b"", "proxy_closed"),
    ] {
        let peer = Curt::new(says, false);
        is(&error(&client(peer.address), "https://docs.test/").await, (Outcome::Connect, PEER, code, Some(Phase::Proxy)));
    }
    let down = error(&client(refused()), "https://docs.test/").await;
    is(&down, (Outcome::Connect, PEER, "connection_refused", Some(Phase::Connect)));
}
