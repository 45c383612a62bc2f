//! gRPC, both sides: the calls of a `tonic` client are hops, the requests of a `tonic` server runs, and both are of one trace.
//!
//! `cargo run --example tonic`

use std::time::Duration;

use hopwatch::instrument::tower::Upload;
use hopwatch::{Context, Hopwatch, Kind, Outcome};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Code, Request, body::Body};
use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceBuilder;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let served = Hopwatch::builder().service("docs").build()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("docs", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    // Names are few: those of the methods that there are, not whatever path somebody sends.
    let runs = served.run_layer().name_by(|parts| parts.uri.path().ends_with("/Check").then_some("Health/Check"));
    let server = Server::builder().layer(runs).add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let watch = Hopwatch::builder().service("support").build()?;
    let channel = ServiceBuilder::new()
        .layer(watch.hop(Kind::Retrieval, "docs").http_layer().by_source().propagate())
        // Tells the wait for a connection or a stream slot (`pool`) from the wait for the answer.
        .map_request(|request: http::Request<Body>| request.map(|body| Body::new(Upload::new(body))))
        .service(Channel::from_shared(url)?.connect_lazy());
    let mut client = HealthClient::new(channel);
    let work = async {
        let mut check = Request::new(HealthCheckRequest { service: "docs".into() });
        check.set_timeout(Context::current().remaining().ok_or("no deadline")?);
        client.check(check).await?;
        let unknown = client.check(HealthCheckRequest { service: "nobody".into() }).await;
        assert_eq!(unknown.err().map(|status| status.code()), Some(Code::NotFound));
        Ok::<_, Error>(())
    };
    watch.run("support", Duration::from_secs(10), work).await?;

    let (called, served) = (watch.report(), served.report());
    for hop in &called.runs[0].hops {
        println!("{}/{}: {:?} {:?}, {:?}", hop.kind, hop.dependency, hop.outcome, hop.error_type, hop.phases);
    }
    let outcomes: Vec<_> = called.runs[0].hops.iter().filter_map(|hop| hop.outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::ClientError]);
    assert!(served.runs.iter().all(|run| run.name == "Health/Check" && run.trace_id == called.runs[0].trace_id));
    assert!(served.runs[0].deadline_ms.is_some_and(|deadline| deadline <= 10_000.0), "as `grpc-timeout` told it");
    Ok(())
}
