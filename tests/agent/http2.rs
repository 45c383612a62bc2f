//! A route by HTTP/2 with prior knowledge, as gRPC servers want it.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{curl, curled};
use crate::sidecar::{Sidecar, route};
use crate::support::part::part;

/// A server of HTTP/2 alone, without TLS; it says what it was asked, and lives as long as the test's process.
fn upstream() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(echo)));
            }
        });
    });
    address
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let authority = request.uri().authority().unwrap().to_string();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(format!("{method} {authority} {path} {}", body.len()).into())))
}

#[test]
fn a_route_speaks_http2_with_its_upstream_whatever_its_client_speaks() {
    if part("curl").is_none() {
        return;
    }
    let address = upstream();
    let plain = route("/plain", &format!("http://{address}"), "http", "plain");
    let sidecar = Sidecar::start(&(route("/rpc", &format!("http://{address}/base"), "tool", "rpc") + "http2 = true\n" + &plain));
    for option in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curled(&[option, "--data", "12345", &sidecar.url("/rpc/call?x=1")]);
        assert_eq!(answer, format!("POST {address} /base/call 5"), "{option}");
    }
    // Without being told it speaks what its client does, and this server does not.
    let output = curl(&["--http1.1", "--output", "/dev/null", "--write-out", "%{http_code}", &sidecar.url("/plain")]).output();
    assert_ne!(output.unwrap().stdout, b"200");
    sidecar.counted(2);
    let report = sidecar.report();
    let rpc = report["dependencies"].as_array().unwrap().iter().find(|one| one["dependency"] == "rpc").unwrap();
    assert_eq!((&rpc["calls"], &rpc["connections"]["new"], &rpc["connections"]["reused"]), (&2.into(), &1.into(), &1.into()));
}
