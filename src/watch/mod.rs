//! The library's handle: doors, drain, report and exports tied together.

mod doors;
mod drain;
mod error;
mod store;
#[cfg(test)]
mod tests;

pub use crate::instrument::stall::heartbeat::NoRuntime;
pub use error::RunError;

use crate::attribution::findings;
use crate::export::report::{self, Report};
use crate::instrument::ending::Ending;
use crate::instrument::failure;
use crate::instrument::hop::Hop;
use crate::instrument::propagate::Remote;
use crate::instrument::recorder::{DrainRef, Recorder};
use crate::instrument::run::{RunStart, Scoped};
use crate::instrument::stall::heartbeat;
use crate::model::{Kind, Losses, Run};
use drain::Drainer;
use std::future::Future;
use std::sync::{Arc, Weak};
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
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.drainer.stop();
    }
}

/// Settings of a [`Hopwatch`]; the defaults work.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    service: Option<String>,
    stall_threshold: Option<Duration>,
}

/// A handle could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start hopwatch's background thread")]
pub struct BuildError(#[source] std::io::Error);

impl Builder {
    /// Name of the service in spans [default: `OTEL_SERVICE_NAME`, else the program's name].
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// How long a poll may take, or a [heartbeat](Hopwatch::heartbeat) be late, before the event loop counts as blocked [default: 20 ms,
    /// least: 10 ms].
    pub fn stall_threshold(mut self, threshold: Duration) -> Self {
        self.stall_threshold = Some(threshold);
        self
    }

    /// Makes the handle and starts its background thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn build(self) -> Result<Hopwatch, BuildError> {
        let service = self.service.or_else(|| std::env::var("OTEL_SERVICE_NAME").ok()).filter(|name| !name.is_empty());
        let recorder = Arc::new(Recorder::new(&service.unwrap_or_else(program)));
        if let Some(threshold) = self.stall_threshold {
            recorder.shared.set_stall_threshold(threshold);
        }
        let drainer = Drainer::start(Arc::clone(&recorder)).map_err(BuildError)?;
        let weak: Weak<Drainer> = Arc::downgrade(&drainer);
        let _ = recorder.shared.drain.set(DrainRef(weak));
        Ok(Hopwatch { inner: Arc::new(Inner { recorder, drainer }) })
    }
}

/// The program's own name.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem).and_then(std::ffi::OsStr::to_str);
    name.unwrap_or("unknown").to_owned()
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
        match Scoped::new(&self.inner.recorder, start, work, failure::of_result).await {
            Ok(output) => output,
            Err(unfinished) => Err(RunError::new(unfinished, || self.losses()).into()),
        }
    }

    /// A run with more settings, or of work whose output is no `Result`.
    pub fn scope(&self, name: &str) -> Scope {
        Scope { watch: self.clone(), start: RunStart::new(name) }
    }

    /// The report: the last 256 runs with their verdicts, those under way, findings, every dependency, and what was lost.
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
        let mut report = report::report("library", now, &runs, &findings(&only), &losses, Vec::new());
        report.dependencies =
            sinks.store.dependencies().into_iter().map(|known| known.stats.report(known.kind, &known.name)).collect();
        report
    }

    /// Starts a heartbeat on the current tokio runtime: a task that wakes every 10 ms and is late when something blocked the runtime,
    /// in code of ours or not. `runtime` names it in the metric. The runs on that runtime then know when they were held up.
    ///
    /// A runtime has one heartbeat; asking again changes nothing. It ends with the runtime or the last clone of this handle. Without it,
    /// only what hops and runs themselves block is seen. A multi-threaded runtime misses no beat while one of its workers is free.
    ///
    /// # Errors
    /// [`NoRuntime`] outside of a runtime.
    pub fn heartbeat(&self, runtime: &str) -> Result<(), NoRuntime> {
        heartbeat::start(&self.inner.recorder, runtime)
    }

    /// Hands what ended to the exports now. Waits for the drain, not for the network.
    pub fn flush(&self) {
        drop(self.inner.drainer.drained());
    }

    /// What was counted: `started = recorded + open + dropped`, at any instant.
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
