//! One try: a fresh connection, and what is said on it.

use super::exchange::{self, Broken, Line};
use super::progress::Progress;
use super::target::{Speech, Target};
use super::witness::Witness;
use crate::export::report::doing;
use crate::gateway::connect::{ConnectError, Connector, Protocols, TlsFacts, Tried};
use crate::model::clock::Anchor;
use crate::model::human::human_duration;
use crate::model::{FailedBy, Name, Nanos, Outcome, Phase, Timeline, error_type};
use http::{HeaderValue, Method};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What all tries have in common.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) connector: Connector,
    /// The same without proxies.
    pub(super) direct: Connector,
    /// What its TLS verifies certificates with.
    pub(super) witness: Option<Arc<Witness>>,
    pub(super) anchor: Anchor,
    /// For a whole try.
    pub(super) timeout: Duration,
    pub(super) method: Method,
    /// `Authorization`; marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

/// A try that is over.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) timeline: Timeline,
    pub(super) outcome: Outcome,
    /// Why the endpoint did not answer.
    pub(super) failure: Option<Failure>,
    /// What it answered, or the proxy before it.
    pub(super) status: Option<u16>,
    /// The address that was connected to, or tried last.
    pub(super) address: Option<SocketAddr>,
    pub(super) proxy: Option<Name>,
    pub(super) tls: Option<TlsFacts>,
    /// Other addresses that were tried in vain.
    pub(super) tried: Vec<Tried>,
    /// Who issued the certificate that was shown, also one that was turned down.
    pub(super) issuer: Option<String>,
}

/// What went wrong.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) failed_by: FailedBy,
    pub(super) error_type: Name,
    /// What happened, as part of a sentence.
    pub(super) reason: String,
    /// What happened and where, in one line.
    pub(super) text: String,
}

/// Why a try did not come to an answer.
enum Ending {
    Unconnected(Box<ConnectError>),
    Broken(Broken),
}

impl Prober {
    /// Tries once.
    ///
    /// # Cancel safety
    /// Dropped, its connection is closed.
    pub(super) async fn attempt(&self, target: &Target, progress: &Arc<Progress>) -> Try {
        let start = self.anchor.now();
        let mut this = Try {
            timeline: Timeline::new(start),
            outcome: Outcome::Ok,
            failure: None,
            status: None,
            address: None,
            proxy: self.connector(target).proxy(&target.origin),
            tls: None,
            tried: Vec::new(),
            issuer: None,
        };
        let ended = tokio::time::timeout(self.timeout, self.course(target, progress, &mut this)).await;
        let end = self.anchor.now();
        this.timeline = match &target.speech {
            Speech::Nothing => progress.set_up(start, end),
            _ => progress.timeline(start, end),
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(Ending::Unconnected(error))) => this.unconnected(*error),
            Ok(Err(Ending::Broken(broken))) => this.broken(broken, progress.phase()),
            Err(_) => this.late(progress.phase(), end.saturating_sub(start)),
        }
        this.address = this.address.or_else(|| progress.steps.address());
        this.issuer = self.witness.as_ref().and_then(|witness| witness.take_issuer());
        this
    }

    /// Drivers of databases know no proxies.
    fn connector(&self, target: &Target) -> &Connector {
        if matches!(target.speech, Speech::Postgres) { &self.direct } else { &self.connector }
    }

    async fn course(&self, target: &Target, progress: &Arc<Progress>, this: &mut Try) -> Result<(), Ending> {
        let connecting = self.connector(target).connect(&target.origin, Protocols::H1OrH2, &progress.steps);
        let connected = connecting.await.map_err(Ending::Unconnected)?;
        progress.connected();
        (this.address, this.tls, this.tried) = (Some(connected.remote), connected.tls, connected.tried);
        let line = Line { io: connected.io, protocol: connected.protocol, via: connected.via };
        this.status = exchange::run(self, target, line, progress).await.map_err(Ending::Broken)?;
        this.outcome = this.status.map_or(Outcome::Ok, |status| Outcome::of_status(status).0);
        Ok(())
    }
}

impl Try {
    /// Whether the endpoint answered, whatever it said, but that it failed itself (5xx).
    pub(super) fn is_ok(&self) -> bool {
        self.failure.is_none() && self.outcome != Outcome::ServerError
    }

    fn unconnected(&mut self, error: ConnectError) {
        let text = format!("{error:#}");
        let ConnectError { phase, outcome, failed_by, error_type, status, address, tried, reason, .. } = error;
        (self.outcome, self.status, self.address, self.tried) = (outcome, status, address, tried);
        self.failure = Some(Failure { phase, failed_by, error_type, reason, text });
    }

    fn broken(&mut self, broken: Broken, reached: Phase) {
        let Broken { outcome, phase, failed_by, error_type, status, reason, text } = broken;
        (self.outcome, self.status) = (outcome, status);
        self.failure = Some(Failure { phase: phase.unwrap_or(reached), failed_by, error_type, reason, text });
    }

    fn late(&mut self, phase: Phase, after: Nanos) {
        self.outcome = Outcome::Timeout;
        let reason = format!("no answer within {}", human_duration(after));
        let text = format!("given up after {}, still {}", human_duration(after), doing(phase));
        let error_type = error_type::TIMEOUT.into();
        self.failure = Some(Failure { phase, failed_by: FailedBy::Caller, error_type, reason, text });
    }
}
