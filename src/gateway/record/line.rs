//! A connection that is led through: its bytes pass as they are.

use super::turn::Passed;
use crate::gateway::connect::Steps;
use crate::gateway::downstream::Downstream;
use crate::gateway::route::Destination;
use crate::model::naming::Named;
use crate::model::{Name, Naming, Nanos, Phase};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A connection that is led through, as far as its exchanges have it in common.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) destination: Arc<Destination>,
    /// When its client asked for it.
    pub(crate) start: Nanos,
    /// How the upstream is, or was, connected to.
    pub(crate) steps: Arc<Steps>,
    ends: OnceLock<Ends>,
    server_name: OnceLock<Name>,
    tls: AtomicBool,
    opened: AtomicBool,
    /// Since when nothing has been under way; 0 = something is.
    rests_since: AtomicU64,
    /// The process of a database's server that serves it; 0 = not known.
    backend: AtomicU32,
    /// When its client asked by another connection that what is done for it be stopped; 0 = it did not.
    stopped: AtomicU64,
}

/// The connection to its upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) number: NonZeroU64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Line {
    pub(crate) fn new(downstream: Arc<Downstream>, destination: Arc<Destination>, start: Nanos, steps: Arc<Steps>) -> Self {
        Self {
            downstream,
            destination,
            start,
            steps,
            ends: OnceLock::new(),
            server_name: OnceLock::new(),
            tls: AtomicBool::new(false),
            opened: AtomicBool::new(false),
            rests_since: AtomicU64::new(0),
            backend: AtomicU32::new(0),
            stopped: AtomicU64::new(0),
        }
    }

    /// The upstream is connected.
    pub(crate) fn connected(&self, ends: Ends) {
        let _first = self.ends.set(ends);
    }

    /// The connection to its upstream; `None` = there is none.
    pub(crate) fn ends(&self) -> Option<Ends> {
        self.ends.get().copied()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.ends.get().is_some()
    }

    /// TLS is spoken through it, of which only record heads are seen unless it is opened.
    pub(crate) fn is_tls(&self, server_name: Option<Name>) {
        self.tls.store(true, Ordering::Relaxed);
        if let Some(name) = server_name {
            let _first = self.server_name.set(name);
        }
    }

    /// TLS is ended here.
    pub(crate) fn opens(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }

    /// Whether only record heads are seen.
    pub(crate) fn is_opaque(&self) -> bool {
        self.tls.load(Ordering::Relaxed) && !self.opened.load(Ordering::Relaxed)
    }

    /// An exchange is under way.
    pub(crate) fn works(&self) {
        self.rests_since.store(0, Ordering::Relaxed);
    }

    /// Nothing is under way any more, as far as is known.
    pub(crate) fn rests(&self, at: Nanos) {
        self.rests_since.store(at, Ordering::Relaxed);
    }

    /// Since when nothing has been under way; `None` = something is.
    pub(crate) fn rests_since(&self) -> Option<Nanos> {
        Some(self.rests_since.load(Ordering::Relaxed)).filter(|&since| since > 0)
    }

    /// When the step of its set-up began that it is in, or was in last.
    pub(crate) fn step_began(&self, state: &Passed) -> Nanos {
        let beyond = state.setup.as_ref().and_then(|steps| steps.last()).map(|step| step.start);
        let connecting = || Some(self.steps.times(self.steps.phase()?)?.0);
        beyond.or_else(connecting).unwrap_or(self.start)
    }

    /// What connecting took, and what followed before it could be used.
    pub(crate) fn cost(&self, state: &Passed) -> Nanos {
        let connect = self.steps.times(Phase::Connect).and_then(|(start, end)| Some(end?.saturating_sub(start)));
        let beyond = state.setup.iter().flatten().filter_map(|step| Some(step.end?.saturating_sub(step.start)));
        connect.into_iter().chain(beyond).sum()
    }

    /// This process of a database's server serves it.
    pub(crate) fn served_by(&self, backend: u32) {
        self.backend.store(backend, Ordering::Relaxed);
    }

    pub(crate) fn backend(&self) -> Option<u32> {
        Some(self.backend.load(Ordering::Relaxed)).filter(|&backend| backend > 0)
    }

    /// Its client asked that what is done for it be stopped.
    pub(crate) fn stop(&self, at: Nanos) {
        self.stopped.store(at, Ordering::Relaxed);
    }

    /// When that was, if it was since `from`.
    pub(crate) fn stopped_since(&self, from: Nanos) -> Option<Nanos> {
        Some(self.stopped.load(Ordering::Relaxed)).filter(|&at| at >= from && at > 0)
    }

    /// What it leads to, by the names that it shows: the one that TLS asks for, that of a request, that of the place. An explicit one wins.
    pub(super) fn name(&self, naming: &Naming, host: Option<&str>, path: Option<&str>) -> Named {
        let tls = self.tls.load(Ordering::Relaxed);
        let shown = self.server_name.get().map(|name| &**name).into_iter().chain(host);
        let mut first = None;
        for host in shown {
            let named = self.destination.shown_as(naming, host, tls, path);
            if named.explicit {
                return named;
            }
            first.get_or_insert(named);
        }
        let named = self.destination.shown_as(naming, &self.destination.origin.host, tls, path);
        match first {
            Some(first) if !named.explicit => first,
            _ => named,
        }
    }
}
