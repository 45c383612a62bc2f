//! Records that a real implementation makes.

use std::io::Cursor;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;

/// Both ends of connections, and what they trust.
struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion, with_client_certificate: bool, name: &str) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        certificate.distinguished_name.push(DnType::CommonName, name);
        let certificate = certificate.self_signed(&key).unwrap();
        let certificate: CertificateDer<'static> = certificate.der().clone();
        let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let roots = Arc::new(roots);
        let client = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(roots.clone());
        let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let (mut client, mut server) = if with_client_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
            let client = client.with_client_auth_cert(vec![certificate.clone()], key()).unwrap();
            (client, server.with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key()).unwrap())
        } else {
            (client.with_no_client_auth(), server.with_no_client_auth().with_single_cert(vec![certificate], key()).unwrap())
        };
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        client.enable_early_data = true;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.max_early_data_size = 16_384;
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    fn connect(&self) -> Talk {
        let client = ClientConnection::new(self.client.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        let server = ServerConnection::new(self.server.clone()).unwrap();
        Talk { client, server, reader: Connection::new(), now: 0, facts: Vec::new() }
    }
}

/// A connection under way, and what was read of it. Every flight takes 10 ms.
struct Talk {
    client: ClientConnection,
    server: ServerConnection,
    reader: Connection,
    now: u64,
    facts: Vec<Fact>,
}

impl Talk {
    /// Carries bytes until neither side has any; the first error of a side ends it.
    fn settle(&mut self) {
        loop {
            let sent = self.carry(Request);
            let answered = self.carry(Response);
            if !sent && !answered {
                return;
            }
        }
    }

    fn carry(&mut self, direction: Direction) -> bool {
        let mut bytes = Vec::new();
        match direction {
            Request => while self.client.wants_write() && self.client.write_tls(&mut bytes).unwrap() > 0 {},
            Response => while self.server.wants_write() && self.server.write_tls(&mut bytes).unwrap() > 0 {},
        }
        if bytes.is_empty() {
            return false;
        }
        self.now += 10;
        let facts = &mut self.facts;
        self.reader.feed(direction, Chunk::whole(self.now * MS, &bytes), &mut |fact| facts.push(fact));
        let mut bytes = Cursor::new(bytes);
        while bytes.position() < bytes.get_ref().len() as u64 {
            // A side that failed says so by an alert that it still writes.
            let went_well = match direction {
                Request => self.server.read_tls(&mut bytes).is_ok() && self.server.process_new_packets().is_ok(),
                Response => self.client.read_tls(&mut bytes).is_ok() && self.client.process_new_packets().is_ok(),
            };
            if !went_well {
                break;
            }
        }
        true
    }

    fn ask(&mut self, bytes: &[u8]) {
        std::io::Write::write_all(&mut self.client.writer(), bytes).unwrap();
        self.settle();
    }

    fn answer(&mut self, bytes: &[u8]) {
        std::io::Write::write_all(&mut self.server.writer(), bytes).unwrap();
        self.settle();
    }

    fn told(&self) -> Vec<String> {
        brief(&self.facts)
    }
}

const HELLO: &str = "hello of localhost [\"h2\", \"http/1.1\"] @10..10";

#[test]
fn a_connection_of_tls_1_3_is_followed_from_hello_to_goodbye() {
    let ends = Ends::new(&rustls::version::TLS13, false, "peer");
    let mut talk = ends.connect();
    talk.settle();
    assert_eq!(talk.told(), [HELLO, "hello 1.3 @20", "handshake ended Some(false) @30"]);
    talk.now = 1_000;
    talk.ask(&[1; 300]);
    talk.now = 1_490;
    talk.answer(&[2; 20_000]);
    talk.answer(&[3; 5]);
    talk.client.send_close_notify();
    talk.settle();
    assert_eq!(
        talk.told()[3..],
        [
            "0 request started @1010",
            "0 request ended 317 @1010",
            "0 response started @1500",
            "0 content after 10 @1510",
            "Request alert encrypted @1520",
        ]
    );
    // The next connection takes up the session.
    let mut talk = ends.connect();
    talk.settle();
    assert_eq!(talk.told(), [HELLO, "hello 1.3 @20", "handshake ended Some(true) @30"]);
}

#[test]
fn early_data_of_tls_1_3_is_a_request_at_the_handshakes_end() {
    let ends = Ends::new(&rustls::version::TLS13, false, "peer");
    let mut first = ends.connect();
    first.settle();
    let mut talk = ends.connect();
    std::io::Write::write_all(&mut talk.client.early_data().unwrap(), &[1; 100]).unwrap();
    talk.settle();
    talk.now = 990;
    talk.answer(&[2; 50]);
    assert_eq!(
        talk.told()[1..],
        [
            "hello 1.3 @20",
            "handshake ended Some(true) @30",
            "0 request started @30",
            "0 request ended 117 @30",
            "0 response started @40",
            "0 response started @1000",
        ]
    );
}

#[test]
fn a_clients_certificate_in_tls_1_3_is_part_of_the_handshake() {
    let ends = Ends::new(&rustls::version::TLS13, true, "peer");
    let mut talk = ends.connect();
    talk.settle();
    talk.now = 1_000;
    talk.ask(&[1; 300]);
    assert_eq!(talk.told(), [HELLO, "hello 1.3 @20", "handshake ended Some(false) @30", "0 request started @1010"]);
}

#[test]
fn a_connection_of_tls_1_2_is_followed_and_its_session_too() {
    let ends = Ends::new(&rustls::version::TLS12, false, "peer");
    let mut talk = ends.connect();
    talk.settle();
    assert_eq!(talk.told(), [HELLO, "hello 1.2 @20", "handshake ended Some(false) @40"]);
    talk.now = 1_000;
    talk.ask(&[1; 300]);
    talk.answer(&[2; 300]);
    assert_eq!(talk.told()[3..], ["0 request started @1010", "0 request ended 324 @1010", "0 response started @1020"]);
    let mut talk = ends.connect();
    talk.settle();
    assert_eq!(talk.told(), [HELLO, "hello 1.2 @20", "handshake ended Some(true) @30"]);
}

#[test]
fn a_client_that_does_not_know_the_authority_sends_an_alert() {
    for (version, alert) in [(&rustls::version::TLS12, "unknown_ca"), (&rustls::version::TLS13, "encrypted")] {
        let ends = Ends { server: Ends::new(version, false, "other").server, ..Ends::new(version, false, "peer") };
        let mut talk = ends.connect();
        talk.settle();
        assert_eq!(talk.told().last().map(String::as_str), Some(&*format!("Request alert {alert} @30")));
        assert!(talk.reader.handshake_ended().is_none());
    }
}
