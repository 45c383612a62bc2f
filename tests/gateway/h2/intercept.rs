//! HTTP/2 inside of TLS that is ended in the gateway.

use super::client::Client;
use super::downstream::tests;
use super::server::{Rules, Server};
use crate::support::authority::Authority;
use crate::through::{Through, settings};
use hopwatch::gateway::{Connecting, Intercept, Settings};
use hopwatch::model::clock::Anchor;
use hopwatch::model::{ConnectionState, Phase};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A client that offers both versions, in a tunnel to a port of this machine.
async fn secured(through: &Through, intercept: &Intercept, port: u16) -> TlsStream<TcpStream> {
    let mut stream = TcpStream::connect(through.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(format!("CONNECT localhost:{port} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; "HTTP/1.1 200 OK\r\n\r\n".len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK\r\n\r\n");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(intercept.certificate().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

fn opening(authority: &Authority) -> (Through, Arc<Intercept>) {
    let intercept = Arc::new(Intercept::new(Anchor::new(0), None).unwrap());
    let connecting = Connecting { authorities: vec![authority.file()], ..Connecting::default() };
    let through = Through::with(Settings { connecting, intercept: Some(Arc::clone(&intercept)), ..settings() });
    (through, intercept)
}

tests! {
    async fn a_client_gets_the_version_that_its_host_chooses() {
        let authority = Authority::new();
        for offered in [&[&b"h2"[..], b"http/1.1"][..], &[b"h2"]] {
            let server = Server::tls(Rules::default(), &authority, offered).await;
            let (through, intercept) = opening(&authority);
            let stream = secured(&through, &intercept, server.address.port()).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let client = Client::over(stream, server.address).await;
            for n in 0..5 {
                let answer = client.get(&format!("https://localhost:{}/{n}?key=secret", server.address.port())).await.unwrap();
                assert_eq!(answer.head["x-path"], format!("/{n}"));
                assert_eq!(answer.head["x-authority"], format!("localhost:{}", server.address.port()));
                assert_eq!(answer.trailers.unwrap()["x-sum"], "42");
            }
            drop(client);
            let told = through.finish();
            assert_eq!((told.hops().len(), server.connections()), (5, 1));
            let hops = told.hops();
            hops[0].ok(200).operation("GET /{id}").connections(&[ConnectionState::New]);
            assert!(hops[0].phase(Phase::Tls) > 0.0, "{:?}", hops[0]);
            for hop in &hops[1..] {
                hop.ok(200).connections(&[ConnectionState::Reused]).under(Phase::Tls, 0.001);
            }
            assert!(intercept.left_alone().is_empty());
        }
    }

    async fn a_host_of_http_1_1_makes_its_client_speak_that() {
        let authority = Authority::new();
        let peer = crate::peer::Peer::tls(&authority, |wire, _| {
            wire.message();
            wire.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            crate::tunnel::leave(wire);
        });
        let (through, intercept) = opening(&authority);
        let mut stream = secured(&through, &intercept, peer.address().port()).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), None, "as the host has it");
        stream.write_all(b"GET /docs HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"\r\n\r\nok"), "{}", String::from_utf8_lossy(&answer));
        drop(stream);
        through.finish().hop().ok(200).operation("GET /docs");
    }
}
