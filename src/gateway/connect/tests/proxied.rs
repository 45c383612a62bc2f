use super::part::part;
use super::peer::Peer;
use super::peers::{Mute, refused, reset_on_close};
use super::sockets::{answering, head, inside_tls, until_left};
use super::tinyproxy::Tinyproxy;
use super::*;
use std::io::{Read, Write};
use std::sync::mpsc;
use tokio::io::AsyncReadExt;

/// Nothing that is looked for may hold these.
const SECRETS: [&str; 3] = ["us3r", "s3cret", "dXMzcjpzM2NyZXQ="];

/// Sends everything through this proxy, with credentials.
fn through(proxy: SocketAddr) -> impl FnOnce(&mut ConnectorOptions) {
    by(format!("http://us3r:s3cret@{proxy}"))
}

fn by(proxy: String) -> impl FnOnce(&mut ConnectorOptions) {
    move |options| {
        options.proxies = Proxies::read(|name| (name == "all_proxy").then(|| proxy.clone()));
    }
}

fn target() -> Origin {
    Origin::new(Scheme::Https, "Model.Example", 443)
}

/// The error of a connector whose proxy fails, without its credentials in sight.
async fn refusal(proxy: SocketAddr) -> ConnectError {
    refusal_within(Duration::from_secs(30), proxy).await
}

async fn refusal_within(timeout: Duration, proxy: SocketAddr) -> ConnectError {
    let connector = connector(None, |options| {
        through(proxy)(options);
        options.handshake_timeout = timeout;
    });
    let error = failure(&connector, &target()).await;
    let shown = format!("{error} {error:?} {connector:?}");
    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
    assert_eq!(error.proxy.as_deref(), Some(&*proxy.to_string()));
    assert_eq!(error.address, Some(proxy));
    error
}

#[tokio::test]
async fn every_answer_of_a_proxy_that_does_not_lead_on_has_its_code() {
    for (answer, code, status) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"[..],
            "proxy_authentication_required",
            Some(407),
        ),
        (b"HTTP/1.0 403 Filtered\r\n\r\n<html>", "proxy_refused_403", Some(403)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy_refused_502", Some(502)),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "proxy_invalid_response", None),
        (b"HTTP/1.1 what\r\n\r\n", "proxy_invalid_response", None),
    ] {
        let peer = answering(answer);
        let error = refusal(peer.address()).await;
        assert_eq!(told(&error), (Phase::Proxy, Outcome::Connect, FailedBy::Peer, code));
        assert_eq!(error.status, status);
        assert!(
            error.to_string().contains(&format!("the proxy `{}` does not lead to `model.example:443`", peer.address())),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read_without_end() {
    let peer = Peer::new(|mut stream| {
        head(&mut stream);
        let line = [b'a'; 1024];
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nx: "));
        while stream.write_all(&line).is_ok() {}
    });
    assert_eq!(told(&refusal(peer.address()).await).3, "proxy_invalid_response");
    drop(peer);
}

#[tokio::test]
async fn a_proxy_that_is_silent_closes_or_resets_has_its_code() {
    let mute = Mute::new();
    let half = answering(b"HTTP/1.1 200 OK\r\n");
    for address in [mute.address(), half.address()] {
        let error = refusal_within(SHORT, address).await;
        assert_eq!(told(&error), (Phase::Proxy, Outcome::Connect, FailedBy::Peer, "timeout"));
    }
    let close = Peer::new(|mut stream| {
        head(&mut stream);
    });
    assert_eq!(told(&refusal(close.address()).await), (Phase::Proxy, Outcome::Connect, FailedBy::Peer, "proxy_closed"));
    let abort = Peer::new(|mut stream| {
        head(&mut stream);
        reset_on_close(&stream).unwrap();
    });
    let error = refusal(abort.address()).await;
    assert_eq!(told(&error), (Phase::Proxy, Outcome::Connect, FailedBy::Peer, "connection_reset"));
    assert_eq!(error.errno, Some(libc::ECONNRESET));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_fails_in_the_step_that_was_for_it() {
    let address = refused();
    let error = refusal(address).await;
    assert_eq!(told(&error), (Phase::Connect, Outcome::Connect, FailedBy::Peer, "connection_refused"));
    assert!(error.to_string().starts_with(&format!("cannot connect to the proxy `{address}` at {address}: ")), "{error}");
    let error = failure(&connector(None, by("http://proxy.invalid:3128".into())), &target()).await;
    assert_eq!((error.phase, error.outcome), (Phase::Dns, Outcome::Dns));
    assert!(error.to_string().starts_with("cannot resolve the proxy `proxy.invalid:3128`: "), "{error}");
}

#[tokio::test]
async fn what_the_origin_says_first_is_left_for_the_reader() {
    let (told, request) = mpsc::channel();
    let peer = Peer::new(move |mut stream| {
        told.send(head(&mut stream)).unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n220 hello").unwrap();
    });
    let origin = Origin::new(Scheme::Tcp, "db.example", 5432);
    let (mut connected, phases) = connect(&connector(None, through(peer.address())), &origin, Protocols::H1).await;
    assert_eq!(phases, [Phase::Connect, Phase::Proxy]);
    let mut said = String::new();
    connected.io.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "220 hello");
    let request = request.recv().unwrap();
    assert!(request.starts_with("CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n"), "{request}");
    assert!(request.contains("\r\nProxy-Authorization: Basic dXMzcjpzM2NyZXQ=\r\n"), "{request}");
    let via = connected.via.unwrap();
    assert_eq!(&*via.proxy, peer.address().to_string());
    assert!(matches!(via.form, Form::Origin));
}

#[tokio::test]
async fn plain_requests_are_the_proxys_to_read() {
    let peer = Peer::new(|mut stream| assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing is asked of it in advance"));
    let origin = Origin::new(Scheme::Http, "a.example", 80);
    let (connected, phases) = connect(&connector(None, through(peer.address())), &origin, Protocols::H1OrH2).await;
    assert_eq!((phases, connected.protocol), (vec![Phase::Connect, Phase::Proxy], Protocol::H1));
    let Via { proxy, form: Form::Absolute(Some(authorization)) } = connected.via.clone().unwrap() else { panic!() };
    assert_eq!((&*proxy, authorization.as_bytes()), (&*peer.address().to_string(), &b"Basic dXMzcjpzM2NyZXQ="[..]));
    let shown = format!("{connected:?}");
    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
    drop(connected);
    drop(peer);
}

#[tokio::test]
async fn http_2_without_tls_is_led_through() {
    let peer = answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let origin = Origin::new(Scheme::Http, "grpc.example", 50051);
    let (connected, _) = connect(&connector(None, through(peer.address())), &origin, Protocols::H2).await;
    assert_eq!(connected.protocol, Protocol::H2);
    assert!(matches!(connected.via.unwrap().form, Form::Origin));
}

#[tokio::test]
async fn an_address_that_is_blocked_is_not_reached_through_a_proxy_either() {
    let peer = Peer::new(|mut stream| assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing is asked of it"));
    let connector = connector(None, |options| {
        through(peer.address())(options);
        options.blocked = vec!["169.254.0.0/16".parse().unwrap()];
    });
    let error = failure(&connector, &Origin::new(Scheme::Http, "169.254.169.254", 80)).await;
    assert_eq!(told(&error), (Phase::Connect, Outcome::Error, FailedBy::Own, "blocked_address"));
}

#[tokio::test]
async fn a_host_cannot_write_into_the_request_for_a_tunnel() {
    let peer = Peer::new(|mut stream| assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "nothing is asked of it"));
    let connector = connector(None, through(peer.address()));
    for host in ["a\r\nx: y", "a b", "a\0b", ""] {
        let error = failure(&connector, &Origin::new(Scheme::Tunnel, host, 443)).await;
        assert_eq!(told(&error), (Phase::Dns, Outcome::Error, FailedBy::Own, "invalid_name"));
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_told_with_what_to_write() {
    let connector = connector(None, by("socks5://us3r:s3cret@127.0.0.1:1080".into()));
    let error = failure(&connector, &target()).await;
    assert_eq!(told(&error), (Phase::Proxy, Outcome::Error, FailedBy::Own, "proxy_unsupported"));
    let text = error.to_string();
    assert!(text.contains("`all_proxy` names a SOCKS proxy, which is not spoken; write http://"), "{text}");
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
}

#[tokio::test]
async fn tls_runs_inside_tls_to_the_proxy() {
    let authority = Authority::new();
    let config = authority.config();
    let peer = Peer::new(move |stream| {
        let mut outer = inside_tls(&config, stream);
        assert!(head(&mut outer).starts_with("CONNECT 127.0.0.1:9 "));
        outer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut inner = inside_tls(&config, outer);
        inner.write_all(b"x").unwrap();
        until_left(&mut inner);
    });
    let connector = connector(Some(&authority), by(format!("https://{}", peer.address())));
    let (mut connected, phases) = connect(&connector, &Origin::new(Scheme::Https, "127.0.0.1", 9), Protocols::H1OrH2).await;
    assert_eq!(phases, [Phase::Connect, Phase::Proxy, Phase::Tls]);
    assert_eq!(connected.io.read_u8().await.unwrap(), b'x');
    assert_eq!(connected.tls.unwrap().version, "1.3");
}

#[tokio::test]
async fn a_proxy_whose_certificate_is_not_trusted_fails_as_the_proxys_step() {
    let authority = Authority::new();
    let config = authority.config();
    let peer = Peer::new(move |stream| until_left(&mut inside_tls(&config, stream)));
    let error = failure(&connector(None, by(format!("https://{}", peer.address()))), &target()).await;
    assert_eq!(told(&error), (Phase::Proxy, Outcome::Tls, FailedBy::Peer, "certificate_unknown_issuer"));
}

/// A TLS server that greets, one connection after another, until it is dropped.
fn greeter(authority: &Authority) -> Peer {
    let config = authority.config();
    Peer::new(move |stream| {
        let mut stream = inside_tls(&config, stream);
        drop(stream.write_all(b"hello"));
        until_left(&mut stream);
    })
}

#[tokio::test]
async fn a_real_proxy_leads_on_with_the_right_credentials_alone() {
    let Some(program) = part("tinyproxy") else { return };
    let authority = Authority::new();
    let proxy = Tinyproxy::start(&program, "BasicAuth us3r s3cret");
    let peer = greeter(&authority);
    let origin = Origin::new(Scheme::Https, "localhost", peer.address().port());
    // The host's name is the proxy's to resolve, which takes IPv6 first.
    let origin = Origin { host: "127.0.0.1".into(), ..origin };
    for wrong in ["", "us3r@", "us3r:other@"] {
        let connector = connector(Some(&authority), by(format!("http://{wrong}127.0.0.1:{}", proxy.port())));
        let error = failure(&connector, &origin).await;
        let code = told(&error).3;
        assert!(["proxy_authentication_required", "proxy_refused_401"].contains(&code), "{wrong}: {error}");
    }
    let right = connector(Some(&authority), by(format!("http://us3r:s3c%72et@127.0.0.1:{}", proxy.port())));
    let (mut connected, phases) = connect(&right, &origin, Protocols::H1OrH2).await;
    assert_eq!(phases, [Phase::Connect, Phase::Proxy, Phase::Tls]);
    let mut said = [0; 5];
    connected.io.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    let nobody = origin_of_nobody();
    let error = failure(&right, &nobody).await;
    assert_eq!((error.phase, error.outcome), (Phase::Proxy, Outcome::Connect));
    assert!(error.status.is_some_and(|status| status >= 500), "{error}\n{}", proxy.log());
}

fn origin_of_nobody() -> Origin {
    origin(Scheme::Https, refused())
}

#[tokio::test]
async fn a_real_proxy_passes_plain_requests_in_absolute_form() {
    use tokio::io::AsyncWriteExt;
    let Some(program) = part("tinyproxy") else { return };
    let proxy = Tinyproxy::start(&program, "BasicAuth us3r s3cret");
    let peer = answering(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let connector = connector(None, by(format!("us3r:s3cret@127.0.0.1:{}", proxy.port())));
    let (mut connected, _) = connect(&connector, &origin(Scheme::Http, peer.address()), Protocols::H1).await;
    let Form::Absolute(Some(authorization)) = connected.via.unwrap().form else { panic!("it is for the proxy") };
    let address = peer.address();
    let request = format!(
        "GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nProxy-Authorization: {}\r\n\r\n",
        authorization.to_str().unwrap()
    );
    connected.io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    connected.io.read_exact(&mut answer).await.unwrap();
    assert!(answer.ends_with(b" 204"), "{:?}", String::from_utf8_lossy(&answer));
}
