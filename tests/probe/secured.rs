use crate::peer::Peer;
use crate::probing::{ended, evidence, finding, once, probe, target};
use crate::support::authority::Authority;
use crate::support::script::Script;
use crate::support::server::{Router, Server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;

fn serving(authority: &Authority) -> Server {
    Router::new().route("/", |_| Script::json(&json!("ready"))).start_tls(authority)
}

fn trusting(authority: &Authority, url: &str) -> Command {
    let mut command = once(url);
    command.arg("-4").arg("--ca").arg(authority.file());
    command
}

/// So many days from now, as a certificate has it.
fn in_days(days: i64) -> (i32, u8, u8) {
    let now = hopwatch::model::clock::Anchor::new(0).now();
    let then = i128::from(now) + i128::from(days) * 86_400_000_000_000;
    let date = jiff::Timestamp::from_nanosecond(then).unwrap().to_string();
    let mut parts = date[..10].split('-').map(|part| part.parse::<i32>().unwrap());
    let (year, month, day) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    (year, u8::try_from(month).unwrap(), u8::try_from(day).unwrap())
}

#[test]
fn what_tls_settled_is_told() {
    let authority = Authority::with(|certificate| certificate.not_after = date_time_ymd(2061, 2, 3));
    let server = serving(&authority);
    let target = target(&mut trusting(&authority, &server.url("/")));
    let expected = json!({
        "version": "1.3", "alpn": null, "expires_at": "2061-02-03T00:00:00.000Z", "issuer": "hopwatch test authority"
    });
    assert_eq!((&target["tls"], &target["findings"]), (&expected, &json!([])));
    for phase in ["dns", "connect", "tls", "send", "wait", "stream"] {
        assert!(target["phases"][phase]["max_ms"].as_f64() > Some(0.0), "{phase}: {target:#}");
    }
    let told = ended(&mut trusting(&authority, &server.url("/")));
    let way = told.out.lines().nth(1).unwrap();
    assert!(way.ends_with("   TLS 1.3   certificate by hopwatch test authority to 2061-02-03"), "{way}");
}

#[test]
fn every_try_is_a_whole_handshake_whose_certificate_is_seen() {
    let authority = Authority::new();
    let server = serving(&authority);
    let target = target(probe(&["-n", "3", "-4", &server.url("/")]).arg("--ca").arg(authority.file()));
    assert_eq!((&target["answered"], &target["tls"]["issuer"]), (&json!(3), &json!("hopwatch test authority")));
}

#[test]
fn the_environment_names_authorities_as_it_does_for_clients() {
    let authority = Authority::new();
    let server = serving(&authority);
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        let target = target(once(&server.url("/")).arg("-4").env(name, authority.file()));
        assert_eq!(target["ok"], true, "{name}: {target:#}");
    }
}

#[test]
fn a_certificate_that_ends_soon_is_told_before_it_matters() {
    for (days, told) in [(5, true), (30, false)] {
        let (year, month, day) = in_days(days);
        let authority = Authority::with(|certificate| certificate.not_after = date_time_ymd(year, month, day));
        let server = serving(&authority);
        let target = target(&mut trusting(&authority, &server.url("/")));
        assert_eq!(target["ok"], true);
        if told {
            let (cause, sentence, remedy) = finding(&target);
            assert!(cause == "tls" && sentence.contains("ends in 4 days") && remedy.contains("Renew"), "{sentence}");
            assert_eq!(evidence(&target, "days_left"), &json!(4.0));
        } else {
            assert_eq!(target["findings"], json!([]));
        }
    }
}

#[test]
fn every_fault_of_a_certificate_has_its_remedy() {
    let expired = Authority::with(|certificate| certificate.not_after = date_time_ymd(2020, 5, 6));
    let early = Authority::with(|certificate| certificate.not_before = date_time_ymd(2061, 2, 3));
    let others = Authority::with(|certificate| {
        certificate.subject_alt_names = vec![rcgen::SanType::DnsName("docs.example".try_into().unwrap())];
    });
    for (authority, code, sentence_part, remedy_part) in [
        (&expired, "certificate_expired", "expired at 2020-05-06", "Renew"),
        (&early, "certificate_not_yet_valid", "only from 2061-02-03", "clock"),
        (&others, "certificate_name", "is for docs.example", "issued for localhost too"),
    ] {
        let server = serving(authority);
        let target = target(&mut trusting(authority, &server.url("/")));
        assert_eq!((&target["error_type"], &target["failed_phase"], &target["tls"]), (&json!(code), &json!("tls"), &Value::Null));
        let (cause, sentence, remedy) = finding(&target);
        assert!(cause == "tls" && sentence.contains(sentence_part) && remedy.contains(remedy_part), "{sentence} {remedy}");
    }
}

#[test]
fn an_issuer_that_is_not_trusted_is_named() {
    let authority = Authority::new();
    let server = serving(&authority);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["other.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&other, certificate.pem()).unwrap();
    let target = target(once(&server.url("/")).arg("-4").arg("--ca").arg(&other));
    assert_eq!(target["outcomes"], json!({"tls": 1}));
    let (cause, sentence, remedy) = finding(&target);
    assert!(cause == "tls" && sentence.contains("issuer is not trusted"), "{sentence}");
    assert!(remedy.contains("(hopwatch test authority) in SSL_CERT_FILE") && remedy.contains("`--ca FILE`"), "{remedy}");
    assert_eq!(evidence(&target, "issuer"), &json!("hopwatch test authority"));
    assert!(evidence(&target, "authorities_trusted").as_f64() >= Some(1.0));
}

#[test]
fn http_2_is_spoken_where_it_is_chosen() {
    let authority = Authority::new();
    let mut config = rustls::ServerConfig::clone(&authority.config());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let peer = Peer::new(move |stream| {
        let acceptor = acceptor.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let stream = acceptor.accept(tokio::net::TcpStream::from_std(stream).unwrap()).await.unwrap();
            let answer = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
                assert_eq!((request.uri().path(), request.uri().scheme_str()), ("/v1", Some("https")));
                let mut response = http::Response::new(http_body_util::Full::new(bytes::Bytes::from_static(b"ready")));
                *response.status_mut() = http::StatusCode::ACCEPTED;
                Ok::<_, Infallible>(response)
            });
            // A client that is done leaves.
            drop(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .await,
            );
        });
    });
    let target = target(&mut trusting(&authority, &format!("https://localhost:{}/v1", peer.address().port())));
    assert_eq!((&target["tls"]["alpn"], &target["statuses"]), (&json!("h2"), &json!({"202": 1})));
    assert!(target["phases"]["wait"]["max_ms"].as_f64() > Some(0.0));
}
