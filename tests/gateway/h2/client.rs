//! A client of HTTP/2 by prior knowledge.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection with its streams.
pub(super) struct Client {
    address: SocketAddr,
    send: SendRequest<Bytes>,
    task: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) head: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request; a target without an authority is the gateway's own.
pub(super) fn request(method: Method, target: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri(target);
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}

impl Client {
    pub(super) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // Else a request may wait for the acknowledgement of the one before.
        stream.set_nodelay(true).unwrap();
        Self::over(stream, address).await
    }

    /// Over bytes that lead to an address.
    pub(super) async fn over(bytes: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, address: SocketAddr) -> Self {
        let (send, connection) = h2::client::handshake(bytes).await.unwrap();
        Self { address, send, task: tokio::spawn(connection) }
    }

    /// Sends a request's head; `ends` where that is all of it.
    pub(super) async fn begin(&self, mut request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        if request.uri().authority().is_none() {
            *request.uri_mut() = format!("http://{}{}", self.address, request.uri()).parse().unwrap();
        }
        let mut send = self.send.clone().ready().await.unwrap();
        send.send_request(request, ends).unwrap()
    }

    /// Sends a request with a body and reads its answer to the end.
    pub(super) async fn ask(&self, request: Request<()>, body: &'static str) -> Result<Answer, h2::Error> {
        let (response, mut stream) = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            stream.send_data(body.into(), true)?;
        }
        whole(response).await
    }

    pub(super) async fn get(&self, target: &str) -> Result<Answer, h2::Error> {
        self.ask(request(Method::GET, target, &[]), "").await
    }

    /// How its connection ended, once it has.
    pub(super) async fn ended(mut self) -> Result<(), h2::Error> {
        (&mut self.task).await.unwrap()
    }
}

impl Drop for Client {
    /// Its connection is closed with it.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads an answer to its end.
pub(super) async fn whole(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let response = response.await?;
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status, head: parts.headers, body, trailers })
}

/// The reason by which the gateway reset a stream.
#[track_caller]
pub(super) fn reset(answer: Result<Answer, h2::Error>) -> Reason {
    match answer {
        Err(error) if error.is_reset() && error.is_remote() => error.reason().unwrap(),
        other => panic!("no reset: {other:?}"),
    }
}
