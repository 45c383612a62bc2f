//! The report of a process, from inside: as a value, as text, as JSON, and as a service at an address of one's choice.
//!
//! `cargo run --example report`

use std::time::Duration;

use hopwatch::export::report::{Style, text};
use hopwatch::{Ending, Hopwatch, Kind, Outcome};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let watch = Hopwatch::builder().service("support").build()?;
    let (docs, model) = (watch.hop(Kind::Retrieval, "qdrant"), watch.hop(Kind::Llm, "openai"));
    let work = async {
        docs.time(sleep(MS(60))).await;
        model.classify(sleep(MS(20)), |()| Ending::of_status(429)).await;
    };
    watch.scope("support").deadline(Duration::from_secs(10)).run(work).await?;
    let open = docs.start();

    // As a value.
    let report = watch.report();
    assert_eq!(report.runs[0].hops[1].outcome, Some(Outcome::RateLimited));
    assert!(report.dependencies.iter().any(|dependency| dependency.dependency == "qdrant" && dependency.calls == 1));
    assert_eq!((report.losses.started, report.losses.recorded, report.losses.open), (3, 2, 1));
    assert_eq!(watch.open().hops[0].dependency, "qdrant", "what is open now");
    open.end(Ending::ok());

    // As text for people, and as JSON for machines.
    println!("{}", text(&report, Style { color: false }));
    assert!(serde_json::to_string(&report)?.starts_with(r#"{"schema":"hopwatch.report/1""#));

    // Served alone; `router.nest_service("/hopwatch", watch.service())` mounts it in axum.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = TowerToHyperService::new(watch.service());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        served.map_err(std::io::Error::other)
    });
    let mut asks = TcpStream::connect(address).await?;
    asks.write_all(b"GET /api/report HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    asks.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(r#""dependency":"qdrant""#));
    Ok(())
}
