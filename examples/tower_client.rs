//! A `tower` client: the wait for its own limit, each call to the last byte, and the trace handed on.
//!
//! `cargo run --example tower_client`

use std::time::Duration;

use axum::{Router, http::HeaderMap, routing::post};
use bytes::Bytes;
use hopwatch::instrument::tower::Upload;
use hopwatch::{Hopwatch, Kind, Outcome};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{ServiceBuilder, ServiceExt};

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn search(headers: HeaderMap) -> String {
    tokio::time::sleep(Duration::from_millis(80)).await;
    headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or("no trace").to_owned()
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/search", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/search", post(search))).await });

    let watch = Hopwatch::builder().service("support").build()?;
    let client = ServiceBuilder::new()
        .layer(watch.hop(Kind::Retrieval, "docs").http_layer().propagate())
        // Inside the hop: what is waited for here is told as `pool`.
        .concurrency_limit(1)
        .timeout(Duration::from_secs(5))
        // Inside the hop too: tells when a connection takes the request.
        .map_request(|request: http::Request<Full<Bytes>>| request.map(Upload::new))
        .service(Client::builder(TokioExecutor::new()).build_http());

    let ask = || {
        let request = http::Request::post(&url).body(Full::from("where is order 42?"));
        let client = client.clone();
        async move { Ok::<_, Error>(client.oneshot(request?).await?.collect().await.map_err(Error::from)?.to_bytes()) }
    };
    let answers = watch.run("support", Duration::from_secs(10), async { tokio::try_join!(ask(), ask()) }).await?;

    let report = watch.report();
    let run = &report.runs[0];
    for hop in &run.hops {
        println!("{}/{}: {:.1} ms, {:?}", hop.kind, hop.dependency, hop.duration_ms, hop.phases);
        assert!(hop.outcome == Some(Outcome::Ok) && hop.phases.wait.is_some_and(|wait| wait >= 80.0));
        assert_eq!(hop.bytes.sent, 18);
        let named = answers.0.windows(16).chain(answers.1.windows(16)).any(|part| part == hop.id.as_bytes());
        assert!(named, "each call names its hop as the parent of what is done for it");
    }
    assert!(run.hops.iter().any(|hop| hop.phases.pool.is_some_and(|pool| pool >= 75.0)), "one waited for the other");
    Ok(())
}
