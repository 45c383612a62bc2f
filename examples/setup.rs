//! One call for a service that has no telemetry yet: everything comes from the environment.
//!
//! `HOPWATCH_METRICS=127.0.0.1:9464 OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example setup`

use hopwatch::{Hopwatch, Kind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn answer(watch: &Hopwatch) -> Result<&'static str, Error> {
    let (docs, model) = (watch.hop(Kind::Retrieval, "qdrant"), watch.hop(Kind::Llm, "openai"));
    watch
        .run("support", Duration::from_secs(10), async {
            docs.time(sleep(Duration::from_millis(20))).await;
            model.time(sleep(Duration::from_millis(40))).await;
            Ok("On Monday.")
        })
        .await
}

/// What Prometheus reads.
async fn scraped(address: std::net::SocketAddr) -> Result<String, Error> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    if std::env::var_os("HOPWATCH_METRICS").is_none() {
        // Started bare, it starts itself as an operator would; port 0 lets the system choose.
        let mut itself = std::process::Command::new(std::env::current_exe()?);
        assert!(itself.env("HOPWATCH_METRICS", "127.0.0.1:0").status()?.success());
        return Ok(());
    }
    // Kept to the end of `main`: dropped, it hands over what is buffered.
    let telemetry = hopwatch::setup()?;
    assert_eq!(answer(telemetry.watch()).await?, "On Monday.");
    metrics::counter!("tickets_answered_total").increment(1);

    let text = scraped(telemetry.metrics_address().ok_or("no address")?).await?;
    for line in text.lines().filter(|line| !line.starts_with('#')).filter(|line| line.contains("_total")) {
        println!("{line}");
    }
    assert!(text.contains("hopwatch_runs_total{run=\"support\",outcome=\"ok\"} 1"));
    assert!(text.contains("tickets_answered_total 1"), "the service's own metrics are served beside them");
    Ok(())
}
