//! A `reqwest` client, timed to the last byte: which phase of which call took the time, and whether the connection was reused.
//!
//! `cargo run --example reqwest_client`

use std::time::Duration;

use axum::{Router, routing::get};
use hopwatch::model::ConnectionState;
use hopwatch::{Hopwatch, Kind};

async fn search() -> &'static str {
    tokio::time::sleep(Duration::from_millis(80)).await;
    "Order 42 left on Monday."
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/search", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/search", get(search))).await });

    // reqwest asks for a TLS provider whether it is used or not.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let watch = Hopwatch::builder().service("support").build()?;
    let client = watch.reqwest(reqwest::Client::builder()).build()?;
    let docs = watch.hop(Kind::Retrieval, "docs");

    let answer = watch.run("support", Duration::from_secs(10), async {
        docs.send(client.get(&url)).await?.error_for_status()?.bytes().await?;
        let answer = docs.send(client.get(&url)).await?.text().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer)
    });
    assert_eq!(answer.await?, "Order 42 left on Monday.");

    let report = watch.report();
    for hop in &report.runs[0].hops {
        println!("{}/{}: {:.1} ms, {:?}", hop.kind, hop.dependency, hop.duration_ms, hop.phases);
        assert!(hop.phases.wait.is_some_and(|wait| wait >= 80.0));
    }
    let connections: Vec<_> = report.runs[0].hops.iter().filter_map(|hop| hop.client.connection).collect();
    assert_eq!(connections, [ConnectionState::New, ConnectionState::Reused]);
    Ok(())
}
