//! The library's handle: doors, drain, report and exports tied together.

#[cfg(feature = "prometheus")]
mod admin;
mod builder;
mod doors;
mod drain;
mod error;
#[cfg(feature = "service")]
mod service;
mod setup;
mod sinks;
mod store;
#[cfg(test)]
mod tests;

pub use crate::instrument::stall::heartbeat::NoRuntime;
pub use builder::{BuildError, Builder};
pub use error::RunError;
#[cfg(feature = "service")]
pub use service::{ReportBody, ReportFuture, ReportService};
pub use setup::{Telemetry, setup};

use crate::attribution::findings;
#[cfg(feature = "prometheus")]
use crate::export::prometheus::Prometheus;
use crate::export::report::{self, OpenReport, Report};
#[cfg(feature = "prometheus")]
use crate::export::serve::Server;
use crate::instrument::ending::Ending;
use crate::instrument::hop::Hop;
use crate::instrument::propagate::Remote;
use crate::instrument::recorder::{Drain, Recorder};
use crate::instrument::run::{RunStart, Scoped};
use crate::model::{Kind, Losses, Run};
use drain::Drainer;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A handle on hopwatch: makes hops, runs, gates and start-ups, and reports them.
///
/// Cheap to clone. Several may live in one process; each keeps what its own doors saw. Dropping the last clone hands what is buffered
/// to the exports and ends its background thread.
#[derive(Clone, Debug)]
pub struct Hopwatch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    recorder: Arc<Recorder>,
    drainer: Arc<Drainer>,
    #[cfg(feature = "prometheus")]
    prometheus: Option<Prometheus>,
    #[cfg(feature = "prometheus")]
    server: std::sync::OnceLock<Server>,
    /// How long the exports may take to end.
    shutdown: Duration,
}

impl Inner {
    /// Hands what ended to the exports and ends them.
    fn end(&self) {
        self.drainer.drained().shutdown(self.shutdown);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
        self.drainer.wake();
    }
}

impl Hopwatch {
    /// Settings, then [`Builder::build`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A dependency, to time calls to it. Make it once and keep it; cloning is cheap.
    #[must_use]
    pub fn hop(&self, kind: Kind, dependency: &str) -> Hop {
        Hop::new(Arc::clone(&self.inner.recorder), kind, dependency, dependency)
    }

    /// Watches the connects of a `reqwest` client: `dns`, `connect` and `tls` are told apart on every call of a hop, and which call opened
    /// which connection. Finish the builder as usual, and send requests through [`Hop::send`] to time them to the last byte.
    ///
    /// Sets the client's resolver to one that asks the system as the default does; a resolver or a TLS configuration of your own goes
    /// through [`instrument::reqwest`](crate::instrument::reqwest).
    #[cfg(feature = "reqwest")]
    pub fn reqwest(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        crate::instrument::reqwest::watch(builder)
    }

    /// A layer for HTTP and gRPC servers that makes a run of each request; see [`RunLayer`](crate::instrument::tower::RunLayer).
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn run_layer(&self) -> crate::instrument::tower::RunLayer {
        crate::instrument::tower::RunLayer::new(Arc::clone(&self.inner.recorder))
    }

    /// Runs work as one run with a deadline. When it passes, the work is dropped and the error names the culprit; what is done at the
    /// deadline is done in time. Its hops belong to the run wherever the future is polled.
    ///
    /// The result is that of the work; its error type must be able to hold a [`RunError`] (a boxed error can). For other outputs see
    /// [`scope`](Self::scope).
    ///
    /// # Errors
    /// Those of the work, and [`RunError`] when the deadline passed or where no tokio runtime is there to keep it.
    ///
    /// # Cancel safety
    /// Dropping it drops the work and records the run as `cancelled`.
    pub async fn run<T, E>(&self, name: &str, deadline: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: From<RunError> + 'static,
    {
        let start = RunStart { deadline: Some(deadline), ..RunStart::new(name) };
        match Scoped::new(&self.inner.recorder, start, work, error::of_result).await {
            Ok(output) => output,
            Err(unfinished) => Err(RunError::new(unfinished, || self.losses()).into()),
        }
    }

    /// A run with more settings, or of work whose output is no `Result`.
    pub fn scope(&self, name: &str) -> Scope {
        Scope { watch: self.clone(), start: RunStart::new(name) }
    }

    /// The report: the last 256 runs with their verdicts, those under way, findings, every dependency, and what was lost. For people, see
    /// [`report::text`].
    ///
    /// For somebody who looks, not for a hot path: it goes through all that is kept, and blocks its thread for it. Nothing that is
    /// timed waits for it.
    #[must_use]
    pub fn report(&self) -> Report {
        let sinks = self.inner.drainer.drained();
        let recorder = &self.inner.recorder;
        let now = recorder.clock().now();
        let losses = recorder.losses();
        let judged = |run: Run| (recorder.judge(&run, &losses), run);
        let live: Vec<_> = recorder.live_runs(now).into_iter().map(judged).collect();
        let runs: Vec<_> = sinks.store.runs.iter().chain(&live).map(|(judgement, run)| (run, judgement)).collect();
        let only: Vec<&Run> = runs.iter().map(|(run, _)| *run).collect();
        let counted = sinks.store.dependencies().into_iter().map(|known| known.stats.report(known.kind, &known.name)).collect();
        report::report_with("library", now, &runs, &findings(&only), counted, &losses, Vec::new())
    }

    /// Hands what ended to metrics and exports now, which happens by itself every 100 ms. Blocks its thread for the drain, not for the network.
    pub fn flush(&self) {
        drop(self.inner.drainer.drained());
    }

    /// The OTLP exporter, to look at its counts; `None` unless it was built with [`otlp`](Builder::otlp).
    #[cfg(feature = "otlp")]
    #[must_use]
    pub fn exporter(&self) -> Option<crate::export::otlp::Exporter> {
        self.inner.drainer.drained().exporter()
    }

    /// The calls that are open now, the oldest first.
    #[must_use]
    pub fn open(&self) -> OpenReport {
        let recorder = &self.inner.recorder;
        let now = recorder.clock().now();
        let open = recorder.open(now);
        let history = recorder.history();
        report::open(now, &open, |span| history.usual(span))
    }

    /// What was counted: `started = recorded + open + dropped`, at any instant. Takes each log's lock for a moment.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.inner.recorder.losses()
    }
}

/// Settings of one run. Made by [`Hopwatch::scope`].
#[derive(Clone, Debug)]
#[must_use = "a scope does nothing until it runs something"]
pub struct Scope {
    watch: Hopwatch,
    start: RunStart,
}

impl Scope {
    /// How long it may take [default: as long as it takes].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.start.deadline = Some(deadline);
        self
    }

    /// Who called, when that is another process: `caller(request.headers())`. The run belongs to its trace, and what it wants passed on
    /// (`tracestate`, `baggage`) goes with the calls of the run that carry trace context. Means nothing to a run inside another, which
    /// is of the other's trace.
    pub fn caller(mut self, caller: impl Into<Remote>) -> Self {
        self.start.caller.called_by(caller.into());
        self
    }

    /// Adds to the baggage that calls of the run pass on; see [`Remote::set_baggage`] for what it takes.
    pub fn baggage(mut self, key: &str, value: &str) -> Self {
        self.start.caller.set_baggage(key, value);
        self
    }

    /// Runs work of any output, which is `ok` unless it is cut, dropped or panics.
    ///
    /// # Errors
    /// [`RunError`] when the deadline passed, or where no tokio runtime is there to keep it. Never without a deadline.
    ///
    /// # Cancel safety
    /// As [`Hopwatch::run`].
    pub async fn run<F: Future>(self, work: F) -> Result<F::Output, RunError> {
        self.classify(work, |_| Ending::ok()).await
    }

    /// Runs work whose ending you tell.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`Hopwatch::run`].
    pub async fn classify<F: Future>(self, work: F, classify: impl FnOnce(&F::Output) -> Ending) -> Result<F::Output, RunError> {
        let scoped = Scoped::new(&self.watch.inner.recorder, self.start, work, classify);
        scoped.await.map_err(|unfinished| RunError::new(unfinished, || self.watch.losses()))
    }
}
