//! An axum server: each request is a run named by its route, in its caller's trace, and the report is mounted beside it.
//!
//! `cargo run --example axum_server`

use std::time::Duration;

use axum::{Router, extract::MatchedPath, routing::get};
use hopwatch::{Context, Hop, Hopwatch, Kind, Outcome};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Asks the store, for as long as the run may still take.
async fn answer(docs: Hop) -> &'static str {
    let left = Context::current().remaining().unwrap_or(Duration::from_secs(1));
    match tokio::time::timeout(left, docs.time(tokio::time::sleep(Duration::from_millis(40)))).await {
        Ok(()) => "Order 42 left on Monday.",
        Err(_) => "Ask again later.",
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let watch = Hopwatch::builder().service("support").build()?;
    let docs = watch.hop(Kind::Retrieval, "docs");
    let runs = watch
        .run_layer()
        .name_by(|parts| Some(format!("{} {}", parts.method, parts.extensions.get::<MatchedPath>()?.as_str())))
        .deadline(Duration::from_secs(10))
        .deadline_by(|headers| Some(Duration::from_millis(headers.get("x-wait-ms")?.to_str().ok()?.parse().ok()?)));
    let router = Router::new()
        .route("/answer/{order}", get(move || answer(docs.clone())))
        .layer(runs)
        .nest_service("/hopwatch", watch.service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let ask = |path: &str, wait: &str| {
        let request = http::Request::get(format!("{url}{path}"))
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .header("x-wait-ms", wait);
        let answer = request.body(Empty::new()).map(|request| client.request(request));
        async move { Ok::<_, Error>(String::from_utf8(answer?.await?.collect().await?.to_bytes().into())?) }
    };
    assert_eq!(ask("/answer/42", "1000").await?, "Order 42 left on Monday.");
    assert_eq!(ask("/answer/43", "15").await?, "Ask again later.");

    let report = watch.report();
    let told: Vec<_> = report.runs.iter().map(|run| (run.name.as_str(), run.outcome)).collect();
    assert_eq!(told, [("GET /answer/{order}", Outcome::Ok), ("GET /answer/{order}", Outcome::Timeout)]);
    assert_eq!(report.runs[0].trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    println!("{}", ask("/hopwatch", "0").await?);
    Ok(())
}
