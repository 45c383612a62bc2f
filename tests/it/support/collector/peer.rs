//! A collector that does as it is told: takes, rejects some, throttles, refuses, never answers, dies.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use hopwatch::export::otlp::OtlpProtocol;
use hopwatch::model::clock::monotonic;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::sync::oneshot;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Takes it all.
    Take,
    /// Takes it but for so many spans.
    Partial(i64),
    /// Asks to come back, after this long where it says so: 429 or RESOURCE_EXHAUSTED.
    Throttle(Option<Duration>),
    /// Is not ready: 503 or UNAVAILABLE.
    Unavailable,
    /// Will never take it: 400 or INVALID_ARGUMENT.
    Refuse,
    /// Never answers.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// Span ids in their order.
    pub(crate) ids: Vec<u64>,
    pub(crate) headers: HeaderMap,
    /// It was taken as a whole.
    pub(crate) taken: bool,
}

/// A running collector. Dropped, it is killed: its connections break.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    told: Arc<Told>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What it is to do, and what came.
#[derive(Debug, Default)]
struct Told(Mutex<(VecDeque<Reply>, Vec<Request>)>);

impl Told {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Reply>, Vec<Request>)> {
        self.0.lock().unwrap()
    }

    /// Notes a request; what to answer.
    fn take(&self, request: &ExportTraceServiceRequest, headers: &HeaderMap) -> Reply {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let spans = scopes.flat_map(|scope| &scope.spans);
        let ids = spans.map(|span| u64::from_be_bytes(span.span_id.as_slice().try_into().unwrap())).collect();
        let mut told = self.lock();
        let reply = told.0.pop_front().unwrap_or(Reply::Take);
        let taken = matches!(reply, Reply::Take);
        told.1.push(Request { at: monotonic(), ids, headers: headers.clone(), taken });
        reply
    }
}

impl Peer {
    /// On a port of the system's choice; after these replies it takes everything.
    pub(crate) fn start(protocol: OtlpProtocol, replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), protocol, replies)
    }

    pub(crate) fn start_at(address: SocketAddr, protocol: OtlpProtocol, replies: impl IntoIterator<Item = Reply>) -> Self {
        let told = Arc::new(Told(Mutex::new((replies.into_iter().collect(), Vec::new()))));
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address_of) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let told = Arc::clone(&told);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                    bound.send(listener.local_addr().unwrap()).unwrap();
                    let serving = tokio::spawn(serve(listener, protocol, told));
                    let _asked_or_dropped = stopped.await;
                    serving.abort();
                });
                // Its tasks go with it, and their connections.
            }
        });
        Self { address: address_of.recv().unwrap(), told, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.told.lock().1.clone()
    }

    /// How often each id was taken.
    pub(crate) fn taken(&self) -> BTreeMap<u64, usize> {
        let mut taken = BTreeMap::new();
        for id in self.requests().iter().filter(|request| request.taken).flat_map(|request| &request.ids) {
            *taken.entry(*id).or_default() += 1;
        }
        taken
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the peer panicked");
    }
}

/// An address at which nobody listens, yet.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn serve(listener: tokio::net::TcpListener, protocol: OtlpProtocol, told: Arc<Told>) {
    if protocol == OtlpProtocol::Grpc {
        let service = TraceServiceServer::new(Grpc(told)).accept_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    } else {
        let router = axum::Router::new().route("/v1/traces", axum::routing::post(post)).with_state(told);
        axum::serve(listener, router).await.unwrap();
    }
}

struct Grpc(Arc<Told>);

#[async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        match self.0.take(&request, &metadata.into_headers()) {
            Reply::Take => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
            Reply::Partial(rejected) => Ok(tonic::Response::new(partial(rejected))),
            Reply::Throttle(Some(delay)) => {
                let details = ErrorDetails::with_retry_info(Some(delay));
                Err(Status::with_error_details(Code::ResourceExhausted, "slow down", details))
            }
            Reply::Throttle(None) => Err(Status::resource_exhausted("slow down")),
            Reply::Unavailable => Err(Status::unavailable("not now")),
            Reply::Refuse => Err(Status::invalid_argument("never")),
            Reply::Hang => std::future::pending().await,
        }
    }
}

async fn post(State(told): State<Arc<Told>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut plain = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    } else {
        plain = body.to_vec();
    }
    let request = ExportTraceServiceRequest::decode(&*plain).unwrap();
    match told.take(&request, &headers) {
        Reply::Take => ExportTraceServiceResponse::default().encode_to_vec().into_response(),
        Reply::Partial(rejected) => partial(rejected).encode_to_vec().into_response(),
        Reply::Throttle(Some(delay)) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", delay.as_secs().to_string())]).into_response()
        }
        Reply::Throttle(None) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Reply::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Reply::Refuse => StatusCode::BAD_REQUEST.into_response(),
        Reply::Hang => std::future::pending().await,
    }
}

fn partial(rejected_spans: i64) -> ExportTraceServiceResponse {
    let error_message = "some were odd".to_owned();
    ExportTraceServiceResponse { partial_success: Some(ExportTracePartialSuccess { rejected_spans, error_message }) }
}
