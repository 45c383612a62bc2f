//! A client over HTTP/2, whose streams share one connection.

use crate::client::BEFORE_LEAVING;
use crate::http1::Fields;
use crate::scene::{Point, Scene, Upload};
use crate::seen::{End, Seen};
use bytes::Bytes;
use h2::SendStream;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A connection.
pub(crate) struct Streams {
    address: SocketAddr,
    send: SendRequest<Bytes>,
    task: JoinHandle<()>,
}

impl Streams {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        let task = tokio::spawn(async move {
            let ended = connection.await;
            assert!(ended.is_ok(), "{ended:?}");
        });
        Self { address, send, task }
    }

    /// Asks in a stream of its own. `prefix` comes before the target.
    pub(crate) async fn ask(&self, scene: &Scene, prefix: &str) -> Seen {
        if scene.leaves_at(Point::Asking) {
            // A head is one piece here.
            return Seen::nothing(End::Left);
        }
        let body = scene.request_body();
        let mut request =
            Request::builder().method(scene.method).uri(format!("http://{}{prefix}{}", self.address, scene.target()));
        for (name, value) in scene.request_fields() {
            request = request.header(name, value);
        }
        if let Upload::Sized(_) = scene.upload {
            request = request.header("content-length", body.len());
        }
        let is_empty = scene.upload == Upload::None;
        let mut send = self.send.clone().ready().await.unwrap();
        let (response, mut stream) = send.send_request(request.body(()).unwrap(), is_empty).unwrap();
        if scene.leaves_at(Point::Uploading) || scene.leaves_at(Point::BodyUnread) {
            let part = if scene.leaves_at(Point::Uploading) { body.len() / 2 } else { body.len() };
            let upload = upload(&mut stream, &body[..part], part == body.len());
            let _taken = timeout(BEFORE_LEAVING, upload).await;
            sleep(BEFORE_LEAVING).await;
            stream.send_reset(h2::Reason::CANCEL);
            return Seen::nothing(End::Left);
        }
        if !is_empty {
            // Its end is that of the answer.
            upload(&mut stream, &body, true).await;
        }
        let leaves = scene.fault.is_some_and(|fault| scene.leaves_at(fault.at));
        if leaves && scene.fails_before_head() {
            let early = timeout(BEFORE_LEAVING, response).await;
            return Seen::nothing(early.map_or(End::Left, |early| if early.is_ok() { End::Whole } else { End::Reset }));
        }
        let Ok(response) = response.await else { return Seen::nothing(End::Reset) };
        let (parts, mut stream) = response.into_parts();
        let head = Some((parts.status.as_u16(), fields(&parts.headers)));
        let mut seen = Seen { head, ..Seen::nothing(End::Whole) };
        let enough = if leaves { scene.seen_before_leaving() } else { usize::MAX };
        while seen.body.len() < enough {
            match stream.data().await {
                Some(Ok(data)) => {
                    stream.flow_control().release_capacity(data.len()).unwrap();
                    seen.body.extend_from_slice(&data);
                }
                Some(Err(_)) => {
                    seen.end = End::Reset;
                    return seen;
                }
                None => match stream.trailers().await {
                    Ok(trailers) => {
                        seen.trailers = trailers.as_ref().map(fields).unwrap_or_default();
                        return seen;
                    }
                    Err(_) => {
                        seen.end = End::Reset;
                        return seen;
                    }
                },
            }
        }
        sleep(BEFORE_LEAVING).await;
        seen.end = End::Left;
        seen
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a body, as far as there is somebody to take it.
async fn upload(stream: &mut SendStream<Bytes>, body: &[u8], ends: bool) {
    let mut rest = body;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        let (piece, more) = rest.split_at(room.min(rest.len()));
        if stream.send_data(Bytes::copy_from_slice(piece), false).is_err() {
            return;
        }
        rest = more;
    }
    if ends {
        // Who has answered already may not want it.
        let _unwanted = stream.send_data(Bytes::new(), true);
    }
}

fn fields(map: &HeaderMap) -> Fields {
    Fields(map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}
