use super::peer::Peer;
use super::peers::{Mute, reset_on_close};
use super::sockets::{inside_tls, something, until_left};
use super::*;
use rcgen::date_time_ymd;
use rustls::ServerConfig;
use std::io::{Read, Write};

/// A TLS server with this authority's certificate that holds its one connection; it offers these protocols.
fn server(authority: &Authority, alpn: &[&str]) -> Peer {
    let mut config = ServerConfig::clone(&authority.config());
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    serving(config)
}

fn serving(config: ServerConfig) -> Peer {
    let config = Arc::new(config);
    Peer::new(move |stream| {
        let mut stream = inside_tls(&config, stream);
        // A client that turns the certificate down is no concern of this side.
        until_left(&mut stream);
    })
}

fn localhost(peer: &Peer) -> Origin {
    Origin::new(Scheme::Https, "localhost", peer.address().port())
}

/// What goes wrong with a server's certificate.
async fn distrust(authority: &Authority, host: &str, trusted: bool) -> ConnectError {
    let peer = server(authority, &[]);
    let connector = connector(trusted.then_some(authority), |options| options.family = Family::V4);
    let error = failure(&connector, &Origin::new(Scheme::Https, host, peer.address().port())).await;
    assert_eq!((error.phase, error.outcome, error.failed_by), (Phase::Tls, Outcome::Tls, FailedBy::Peer));
    assert_eq!(error.address, Some(peer.address()));
    error
}

#[tokio::test]
async fn the_handshake_tells_what_it_settled() {
    let authority = Authority::with(|certificate| certificate.not_after = date_time_ymd(2061, 2, 3));
    let connector = connector(Some(&authority), |options| options.family = Family::V4);
    for (offered, asked, alpn, spoken) in [
        (&["h2", "http/1.1"][..], Protocols::H1OrH2, Some("h2"), Protocol::H2),
        (&["http/1.1"], Protocols::H1OrH2, Some("http/1.1"), Protocol::H1),
        (&["h2", "http/1.1"], Protocols::H1, Some("http/1.1"), Protocol::H1),
        (&["h2"], Protocols::H2, Some("h2"), Protocol::H2),
        (&[], Protocols::H1OrH2, None, Protocol::H1),
        (&[], Protocols::H2, None, Protocol::H2),
    ] {
        let peer = server(&authority, offered);
        let (connected, phases) = connect(&connector, &localhost(&peer), asked).await;
        assert_eq!(phases, [Phase::Dns, Phase::Connect, Phase::Tls]);
        let facts = connected.tls.unwrap();
        assert_eq!((facts.version, facts.alpn.as_deref(), connected.protocol), ("1.3", alpn, spoken));
        assert_eq!(facts.certificate_expires_at.map(crate::model::clock::rfc3339).as_deref(), Some("2061-02-03T00:00:00.000Z"));
    }
}

#[tokio::test]
async fn bytes_go_both_ways_inside_tls() {
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
    let authority = Authority::new();
    let config = authority.config();
    let peer = Peer::new(move |stream| {
        let mut stream = inside_tls(&config, stream);
        let mut asked = [0; 6];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(&asked).unwrap();
        stream.flush().unwrap();
    });
    let connector = connector(Some(&authority), |options| options.family = Family::V4);
    let mut io = connect(&connector, &localhost(&peer), Protocols::H1).await.0.io;
    assert!(io.is_write_vectored());
    let parts = [std::io::IoSlice::new(b"abc"), std::io::IoSlice::new(b"def")];
    assert_eq!(io.write_vectored(&parts).await.unwrap(), 6);
    io.flush().await.unwrap();
    let mut answered = [0; 6];
    io.read_exact(&mut answered).await.unwrap();
    assert_eq!(&answered, b"abcdef");
    drop(peer);
}

#[tokio::test]
async fn a_session_is_taken_up_again_by_the_same_connector() {
    use tokio::io::AsyncReadExt;
    let authority = Authority::new();
    let connector = connector(Some(&authority), |options| options.family = Family::V4);
    let config = authority.config();
    let visit = async || {
        let config = Arc::clone(&config);
        let peer = Peer::new(move |stream| {
            let mut stream = inside_tls(&config, stream);
            stream.write_all(b"x").unwrap();
            until_left(&mut stream);
        });
        let mut connected = connect(&connector, &localhost(&peer), Protocols::H1).await.0;
        // Tickets come behind the handshake.
        assert_eq!(connected.io.read_u8().await.unwrap(), b'x');
        connected.tls.unwrap().resumed
    };
    assert_eq!([visit().await, visit().await], [false, true]);
}

#[tokio::test]
async fn an_older_version_is_told() {
    let authority = Authority::new();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&authority.config().cert_resolver));
    let peer = serving(config);
    let connector = connector(Some(&authority), |options| options.family = Family::V4);
    assert_eq!(connect(&connector, &localhost(&peer), Protocols::H1).await.0.tls.unwrap().version, "1.2");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_told_with_the_day() {
    let expired = Authority::with(|certificate| certificate.not_after = date_time_ymd(2020, 5, 6));
    let error = distrust(&expired, "localhost", true).await;
    assert_eq!(&*error.error_type, "certificate_expired");
    assert!(error.to_string().contains("the certificate expired at 2020-05-06T00:00:00"), "{error}");
    let early = Authority::with(|certificate| certificate.not_before = date_time_ymd(2061, 2, 3));
    let error = distrust(&early, "localhost", true).await;
    assert_eq!(&*error.error_type, "certificate_not_yet_valid");
    assert!(error.to_string().contains("only from 2061-02-03T00:00:00"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_others_is_told_with_its_names() {
    let others = Authority::with(|certificate| {
        certificate.subject_alt_names =
            ["a", "b", "c", "d"].map(|name| rcgen::SanType::DnsName(format!("{name}.example").try_into().unwrap())).to_vec();
    });
    for host in ["localhost", "127.0.0.1"] {
        let error = distrust(&others, host, true).await;
        assert_eq!(&*error.error_type, "certificate_name");
        assert!(error.to_string().contains("the certificate is for a.example, b.example, c.example and more"), "{error}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_not_trusted_is_told() {
    let error = distrust(&Authority::new(), "localhost", false).await;
    assert_eq!(&*error.error_type, "certificate_unknown_issuer");
    assert!(error.to_string().ends_with("name the PEM file of its authority in SSL_CERT_FILE"), "{error}");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_hello_is_given_up() {
    let mute = Mute::new();
    let connector = connector(None, |options| options.handshake_timeout = SHORT);
    let start = tokio::time::Instant::now();
    let error = failure(&connector, &origin(Scheme::Https, mute.address())).await;
    assert!(start.elapsed() >= SHORT);
    assert_eq!(told(&error), (Phase::Tls, Outcome::Tls, FailedBy::Peer, "timeout"));
    assert_eq!(error.errno, None);
}

#[tokio::test]
async fn every_broken_handshake_has_its_code() {
    /// Fatal `handshake_failure`.
    const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    let answer = |bytes: &'static [u8]| {
        Peer::new(move |mut stream| {
            something(&mut stream);
            stream.write_all(bytes).unwrap();
            until_left(&mut stream);
        })
    };
    let close = || {
        Peer::new(|mut stream| {
            something(&mut stream);
        })
    };
    let abort = || {
        Peer::new(|mut stream| {
            something(&mut stream);
            reset_on_close(&stream).unwrap();
        })
    };
    for (peer, code, errno) in [
        (answer(ALERT), "tls_alert", None),
        (answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not_tls", None),
        (close(), "connection_closed", None),
        (abort(), "connection_reset", Some(libc::ECONNRESET)),
    ] {
        let error = failure(&connector(None, |_| ()), &origin(Scheme::Https, peer.address())).await;
        assert_eq!(told(&error), (Phase::Tls, Outcome::Tls, FailedBy::Peer, code));
        assert_eq!(error.errno, errno, "{error}");
        drop(peer);
    }
}

#[tokio::test]
async fn a_host_that_no_certificate_can_be_for_is_ones_own_fault() {
    let peer = Peer::new(|mut stream| until_left(&mut stream));
    let resolver = Resolver::new(|_, _| Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]));
    let connector = connector(None, |options| options.resolver = resolver);
    let error = failure(&connector, &Origin::new(Scheme::Https, "a..example", peer.address().port())).await;
    assert_eq!(told(&error), (Phase::Tls, Outcome::Tls, FailedBy::Own, "invalid_name"));
}
