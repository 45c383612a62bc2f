//! The connector against real sockets: every failure in every step, and nothing left behind.

mod cancelled;
mod dial;
mod lookup;
mod proxied;
mod secured;
mod sockets;

#[path = "../../../../tests/it/support/authority.rs"]
mod authority;
#[path = "../../../../tests/it/support/part.rs"]
mod part;
#[path = "../../../../tests/it/support/peer.rs"]
mod peer;
#[path = "../../../../tests/it/support/peers.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod peers;
#[path = "../../../../tests/it/support/tinyproxy.rs"]
mod tinyproxy;

use super::*;
use crate::model::clock::Anchor;
use crate::model::{FailedBy, Nanos, Outcome, Timeline};
use authority::Authority;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Mutex;

/// Shorter than anyone's patience, and long enough for what is local.
const SHORT: Duration = Duration::from_millis(300);

/// A connector that trusts nobody, or this authority alone.
fn connector(authority: Option<&Authority>, change: impl FnOnce(&mut ConnectorOptions)) -> Connector {
    let mut roots = RootCertStore::empty();
    if let Some(authority) = authority {
        roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    }
    let mut options = ConnectorOptions::new(trust::client(roots).unwrap());
    change(&mut options);
    Connector::new(options)
}

fn origin(scheme: Scheme, address: SocketAddr) -> Origin {
    Origin::new(scheme, &address.ip().to_string(), address.port())
}

/// The phases of steps that took the whole time from `start` to now.
fn phases(steps: &Steps, start: Nanos, now: Nanos) -> Vec<Phase> {
    let mut timeline = Timeline::new(start);
    steps.write(&mut timeline, now);
    timeline.stretches().map(|part| part.phase).filter(|&phase| phase != Phase::Pool).collect()
}

/// Connects, and gives the steps along.
async fn connect(connector: &Connector, origin: &Origin, protocols: Protocols) -> (Connected, Vec<Phase>) {
    let (result, phases) = attempt(connector, origin, protocols).await;
    (result.unwrap_or_else(|error| panic!("{error}")), phases)
}

/// Fails to connect, in the step that the error tells.
async fn failure(connector: &Connector, origin: &Origin) -> ConnectError {
    let (result, phases) = attempt(connector, origin, Protocols::H1OrH2).await;
    let error = *result.expect_err("it connected");
    if error.outcome != Outcome::Error {
        assert_eq!(phases.last(), Some(&error.phase), "{error}");
    }
    error
}

async fn attempt(
    connector: &Connector,
    origin: &Origin,
    protocols: Protocols,
) -> (Result<Connected, Box<ConnectError>>, Vec<Phase>) {
    let anchor = Anchor::new(0);
    let (steps, start) = (Steps::new(anchor), anchor.now());
    let result = connector.connect(origin, protocols, &steps).await;
    (result, phases(&steps, start, anchor.now()))
}

#[test]
fn connectors_and_connects_go_from_thread_to_thread() {
    fn goes<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let (connector, steps) = (connector(None, |_| ()), Steps::new(Anchor::new(0)));
    is_shared(&connector);
    goes(&connector.connect(&Origin::new(Scheme::Https, "a.example", 443), Protocols::H1, &steps));
}

/// What a record would say of it.
fn told(error: &ConnectError) -> (Phase, Outcome, FailedBy, &str) {
    (error.phase, error.outcome, error.failed_by, &error.error_type)
}
