//! One encoded request to a collector, and what it answered. No retry here.

mod grpc;
mod http;
mod tls;

use super::config::{OtlpProtocol, OtlpSignal};
use crate::model::redact;
use ::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use bytes::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) use tls::TlsError;

/// How a collector answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It took the request but for so many of its items.
    Taken {
        /// Items that it rejected.
        rejected: u64,
        /// Why, in its words.
        why: String,
    },
    /// It may take the same request later, not before `after` where it said so.
    Later {
        /// How long it asked to wait.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
    /// It never will.
    Refused {
        /// Why.
        why: String,
    },
}

/// Which service the requests are for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

/// The way to a collector. Connections are kept between requests and made anew when they broke.
#[derive(Debug)]
pub(super) struct Transport {
    way: Way,
    timeout: Duration,
    /// The address, for messages.
    to: String,
    /// It answered once: it speaks what it should.
    answered: AtomicBool,
}

/// The connection broke before an answer came over it.
#[derive(Debug)]
struct Broken {
    why: String,
}

#[derive(Debug)]
enum Way {
    Grpc(grpc::Grpc),
    Http(http::Http),
}

type Connector = HttpsConnector<HttpConnector>;

/// Why a transport cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    /// The address is none.
    #[error("`{0}` is no address of a collector: write one like `http://localhost:4318`")]
    Endpoint(String),
    /// A header is none.
    #[error("`{0}` is no header that can be sent, or its value is none")]
    Header(String),
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Transport {
    /// Gets ready; connects with the first request. To be called within the runtime that will send.
    pub(super) fn new(signal: &OtlpSignal, service: Service) -> Result<Self, TransportError> {
        let to = redact::url(&signal.endpoint);
        let wrong = || TransportError::Endpoint(to.clone());
        let uri: Uri = signal.endpoint.parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        let headers = headers(&signal.headers)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(signal.timeout));
        // Without TLS in the address no roots are read, which takes tens of milliseconds.
        let tls = tls::client(signal, uri.scheme_str() == Some("https"))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let way = match signal.protocol {
            OtlpProtocol::Grpc => {
                let client = client(true).build(connector.enable_http2().wrap_connector(tcp));
                Way::Grpc(grpc::Grpc::new(client, uri, headers, signal.gzip, service))
            }
            OtlpProtocol::HttpProtobuf => {
                let client = client(false).build(connector.enable_http1().wrap_connector(tcp));
                Way::Http(http::Http::new(client, uri, headers, signal.gzip))
            }
        };
        Ok(Self { way, timeout: signal.timeout, to, answered: AtomicBool::new(false) })
    }

    /// Sends one encoded request. Cancel safe: what was on its way may have arrived.
    pub(super) async fn send(&self, body: Bytes) -> Answer {
        let sent = async {
            match &self.way {
                Way::Grpc(grpc) => grpc.send(body).await,
                Way::Http(http) => http.send(body).await,
            }
        };
        let answer = match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(answer)) => {
                self.answered.store(true, Ordering::Relaxed);
                answer
            }
            Ok(Err(Broken { why })) if self.answered.load(Ordering::Relaxed) => Answer::Later { after: None, why },
            Ok(Err(Broken { why })) => Answer::Later { after: None, why: format!("{why}; {}", self.way.doubt()) },
            Err(_) => Answer::Later { after: None, why: format!("no answer within {:?}", self.timeout) },
        };
        answer.of(&self.to)
    }
}

impl Way {
    /// What may be wrong where no connection ever carried an answer.
    const fn doubt(&self) -> &'static str {
        match self {
            Self::Grpc(_) => "is this the port of OTLP/HTTP? then set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            Self::Http(_) => "is this the port of OTLP/gRPC? then set OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        }
    }
}

impl Answer {
    /// The same, its reason with the place.
    fn of(self, to: &str) -> Self {
        let place = |why: String| if why.is_empty() { why } else { format!("{to}: {why}") };
        match self {
            Self::Taken { rejected, why } => Self::Taken { rejected, why: place(why) },
            Self::Later { after, why } => Self::Later { after, why: place(why) },
            Self::Refused { why } => Self::Refused { why: place(why) },
        }
    }
}

fn client(http2: bool) -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).http2_only(http2);
    builder
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let wrong = || TransportError::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

/// Reads the answer to a request that was taken: both services answer in the same form.
fn taken(body: Bytes) -> Answer {
    let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success).unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
    Answer::Taken { rejected, why: crate::model::redact::name(&partial.error_message) }
}

/// What a request that got no answer met: with a connection that was never made, a collector that is away.
fn unanswered(error: &(dyn Error + 'static)) -> Result<Answer, Broken> {
    let mut why = error.to_string();
    let mut connecting = false;
    let mut cause = Some(error);
    while let Some(error) = cause {
        connecting |= error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect());
        let next = error.to_string();
        // Several libraries repeat their cause's words in their own.
        if !why.ends_with(&next) {
            why = format!("{why}: {next}");
        }
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidMessage(_))) {
            why.push_str("; does it speak TLS? if not, write `http://`");
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    if connecting { Ok(Answer::Later { after: None, why }) } else { Err(Broken { why }) }
}
