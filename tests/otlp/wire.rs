//! What goes over the wire beside the spans, and what must not come back from it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hopwatch::export::otlp::{Exporter, OtlpConfig, OtlpProtocol};
use tracing::span;
use tracing::subscriber::Subscriber;

use crate::collector::peer::{Peer, Reply};
use crate::samples::{BOTH, PATIENCE, config, counts, is, push, until};

#[test]
fn headers_and_compression_are_as_configured() {
    for protocol in BOTH {
        let peer = Peer::start(protocol, []);
        let mut config = config(&peer.endpoint(), protocol);
        let signal = config.traces.as_mut().unwrap();
        signal.headers = vec![("authorization".to_owned(), "Bearer s3cret".to_owned())];
        signal.gzip = true;
        let exporter = Exporter::start(&config).unwrap();
        push(&exporter, 1..101);
        assert!(exporter.flush(PATIENCE));
        is(counts(&exporter), 100, 0, [0, 0, 0]);
        let request = peer.requests().remove(0);
        assert_eq!(request.headers["authorization"], "Bearer s3cret");
        assert!(request.headers["user-agent"].to_str().unwrap().starts_with("hopwatch/"), "{:?}", request.headers);
        let encoding = if protocol == OtlpProtocol::Grpc { "grpc-encoding" } else { "content-encoding" };
        assert_eq!(request.headers[encoding], "gzip");
    }
}

#[test]
fn what_cannot_work_is_told_at_the_start() {
    let start = |change: &dyn Fn(&mut OtlpConfig)| {
        let mut config = OtlpConfig::new("https://localhost:4318", OtlpProtocol::HttpProtobuf);
        config.metrics = None;
        change(&mut config);
        Exporter::start(&config).unwrap_err().to_string()
    };
    let traces = |config: &mut OtlpConfig, change: fn(&mut hopwatch::export::otlp::OtlpSignal)| {
        change(config.traces.as_mut().unwrap());
    };
    let said = start(&|config| traces(config, |signal| signal.endpoint = "localhost:4318".to_owned()));
    assert!(said.contains("`localhost:4318`") && said.contains("http://localhost:4318"), "{said}");
    let said = start(&|config| traces(config, |signal| signal.certificate = Some("/nowhere/ca.pem".into())));
    assert!(said.contains("/nowhere/ca.pem") && said.contains("certificates"), "{said}");
    let said = start(&|config| traces(config, |signal| signal.client_key = Some("/nowhere/key.pem".into())));
    assert!(said.contains("both or neither"), "{said}");
    let said = start(&|config| traces(config, |signal| signal.headers = vec![("a".to_owned(), "s3cret\n".to_owned())]));
    assert!(said.contains("`a`") && !said.contains("s3cret"), "{said}");
}

#[test]
fn the_wrong_protocol_is_told_with_what_to_set() {
    let peer = Peer::start(OtlpProtocol::Grpc, []);
    let exporter = Exporter::start(&config(&peer.endpoint(), OtlpProtocol::HttpProtobuf)).unwrap();
    push(&exporter, 1..2);
    until("the first try failed", || exporter.last_error().is_some());
    let said = exporter.last_error().unwrap();
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), "{said}");
    is(counts(&exporter), 0, 1, [0, 0, 0]);
}

/// Counts what is told from the exporters' own threads.
struct Listener(&'static AtomicUsize);

impl Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        self.note();
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.note();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Listener {
    fn note(&self) {
        if std::thread::current().name().is_some_and(|name| name.starts_with("hopwatch-otlp")) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_export_is_never_told_to_the_applications_subscriber() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    tracing::subscriber::set_global_default(Listener(&HEARD)).unwrap();
    for protocol in BOTH {
        let peer = Peer::start(protocol, [Reply::Unavailable]);
        let exporter = Exporter::start(&config(&peer.endpoint(), protocol)).unwrap();
        push(&exporter, 1..11);
        is(exporter.shutdown(PATIENCE), 10, 0, [0, 0, 0]);
    }
    // The clients do talk: on a thread of that name without our care they are heard.
    let talk = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let peer = Peer::start(OtlpProtocol::Grpc, []);
        runtime.block_on(async {
            let client =
                hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).http2_only(true).build_http();
            let request = http::Request::new(http_body_util::Empty::<axum::body::Bytes>::new());
            let (mut parts, body) = request.into_parts();
            parts.uri = peer.endpoint().parse().unwrap();
            let answer = client.request(http::Request::from_parts(parts, body));
            drop(tokio::time::timeout(Duration::from_secs(20), answer).await);
        });
    };
    assert_eq!(HEARD.load(Ordering::Relaxed), 0);
    std::thread::Builder::new().name("hopwatch-otlp-like".to_owned()).spawn(talk).unwrap().join().unwrap();
    assert!(HEARD.load(Ordering::Relaxed) > 0, "the listener hears nothing at all: the test proves nothing");
}
