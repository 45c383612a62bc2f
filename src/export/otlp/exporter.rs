//! The handle: what is pushed, what became of it, and its end.

use super::batch::{Envelope, encode};
use super::config::OtlpConfig;
use super::counts::ExportCounts;
use super::metrics::MetricsOut;
use super::queue::{Limits, Queue};
use super::transport::{Service, Transport, TransportError};
use super::{convert, worker};
use crate::attribution::Judgement;
use crate::model::clock::monotonic;
use crate::model::{Run, Span, TraceId};
use opentelemetry_proto::tonic::trace::v1 as proto;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::subscriber::NoSubscriber;

/// Sends spans and metrics to a collector from a thread of its own. Clones are handles to the same exporter.
///
/// When the last handle goes, what was not sent is given up: call [`Exporter::shutdown`] first.
#[derive(Clone, Debug)]
pub struct Exporter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Arc<Queue>,
    /// Spans go somewhere.
    exports_spans: bool,
    metrics: Option<MetricsOut>,
}

/// Why an exporter cannot start.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OtlpStartError(#[from] StartError);

/// The process has a recorder of the `metrics` facade already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process has a metrics recorder already: add the exporter's to it, or install it first")]
#[non_exhaustive]
pub struct RecorderTaken;

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("cannot start the export's thread: {0}")]
    Thread(#[from] io::Error),
}

impl Exporter {
    /// Starts the thread that sends. Connects with the first request, so a collector that is away is no error.
    ///
    /// # Errors
    /// An address, a header, a certificate or a key that cannot be used, or a system that gives no thread.
    pub fn start(config: &OtlpConfig) -> Result<Self, OtlpStartError> {
        Ok(Self { inner: Arc::new(Inner::start(config)?) })
    }

    /// Takes the spans of a run, its root with the verdict. Never waits for the collector. Costs a few microseconds a span, which is
    /// encoded here, and next to nothing when the queue is full.
    pub fn run(&self, run: &Run, judgement: Option<&Judgement>) {
        self.push(run.spans.iter().map(count).sum(), || convert::run(run, judgement));
    }

    /// Takes a hop outside any run: a part of the trace `trace` where there is one around it, else a trace of its own. Never waits.
    pub fn hop(&self, span: &Span, trace: Option<TraceId>) {
        self.push(count(span), || convert::hop(span, trace));
    }

    fn push(&self, count: usize, spans: impl FnOnce() -> Vec<proto::Span>) {
        let queue = &self.inner.queue;
        if self.inner.exports_spans && !queue.refuse(count) {
            // Encoded before the queue is locked.
            let encoded: Vec<_> = spans().iter().map(encode).collect();
            queue.push(encoded.into_iter());
        }
    }

    /// What became of every span so far; all zero where spans go nowhere.
    #[must_use]
    pub fn counts(&self) -> ExportCounts {
        self.inner.queue.counts()
    }

    /// Why the last request with spans failed, without secrets; `None` = it did not.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.inner.queue.last_error()
    }

    /// Waits until the spans accepted so far were handed over or refused and the metrics of now were sent; `false` = not within
    /// `timeout`. Blocks the thread: in async code call it on a thread that may block.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let started = monotonic();
        let spans = self.inner.queue.flush(timeout);
        let left = timeout.saturating_sub(started.elapsed());
        self.inner.metrics.as_ref().is_none_or(|metrics| metrics.flush(left)) && spans
    }

    /// Ends the export: takes nothing more, sends what it holds, and gives up what could not be sent within `timeout`; the final
    /// counts. Blocks the thread as [`Exporter::flush`] does. A second call changes nothing.
    pub fn shutdown(&self, timeout: Duration) -> ExportCounts {
        self.inner.shutdown(timeout);
        self.counts()
    }

    /// Makes this exporter the process's recorder of the `metrics` facade. Does nothing where metrics go nowhere.
    ///
    /// # Errors
    /// The process has a recorder already.
    pub fn install_recorder(&self) -> Result<(), RecorderTaken> {
        self.recorder().map_or(Ok(()), |recorder| ::metrics::set_global_recorder(recorder).map_err(|_| RecorderTaken))
    }

    /// Runs `f` with this exporter as the thread's recorder of the `metrics` facade: handles made in it lead here for good.
    pub fn recording<T>(&self, f: impl FnOnce() -> T) -> T {
        match self.recorder() {
            Some(recorder) => ::metrics::with_local_recorder(&recorder, f),
            None => f(),
        }
    }

    /// The recorder that leads metrics here; `None` where they go nowhere.
    pub(crate) fn recorder(&self) -> Option<impl ::metrics::Recorder + Send + Sync + 'static + use<>> {
        self.inner.metrics.as_ref().map(MetricsOut::recorder)
    }
}

/// How many spans the export of one makes.
fn count(span: &Span) -> usize {
    let tries = span.call.as_ref().map_or(0, |call| call.attempts.len());
    1 + if tries > 1 { tries } else { 0 }
}

impl Inner {
    fn start(config: &OtlpConfig) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let traces = config.traces.as_ref().map(|signal| Transport::new(signal, Service::Traces)).transpose()?;
        let metrics = config.metrics.as_ref().map(|signal| Transport::new(signal, Service::Metrics)).transpose()?;
        let limits = Limits { capacity: config.queue, batch: config.batch, delay: config.delay };
        let queue = Arc::new(Queue::new(limits));
        let (requests, received) = mpsc::channel(1);
        let patience = config.metrics.as_ref().map_or(Duration::ZERO, |signal| signal.timeout);
        let (exports_spans, exports_metrics) = (traces.is_some(), metrics.is_some());
        let on_thread = Arc::clone(&queue);
        let send = {
            let queue = Arc::clone(&queue);
            let envelope = Envelope::new(&config.resource);
            async move {
                let spans = async {
                    if let Some(transport) = traces {
                        worker::spans(Arc::clone(&queue), transport, envelope).await;
                    }
                };
                let metrics = async {
                    if let Some(transport) = metrics {
                        worker::metrics(received, transport, patience).await;
                    }
                };
                tokio::join!(spans, metrics);
            }
        };
        std::thread::Builder::new().name("hopwatch-otlp".to_owned()).spawn(move || {
            // Nothing that the export does is told to the application's subscriber: it would be exported in turn.
            tracing::subscriber::with_default(NoSubscriber::new(), || {
                let ended = Ended(Arc::clone(&on_thread));
                runtime.block_on(async {
                    tokio::select! {
                        () = send => {}
                        () = on_thread.stopped() => {}
                    }
                });
                drop(ended);
                // A name look-up that hangs is not waited for.
                runtime.shutdown_background();
            });
        })?;
        let metrics = exports_metrics.then(|| MetricsOut::new(config, requests));
        Ok(Self { queue, exports_spans, metrics })
    }

    fn shutdown(&self, timeout: Duration) {
        let started = monotonic();
        // Spans and the last metrics leave side by side.
        self.queue.refuse_more();
        if let Some(metrics) = &self.metrics {
            metrics.shutdown(timeout);
        }
        let left = if self.exports_spans { timeout.saturating_sub(started.elapsed()) } else { Duration::ZERO };
        self.queue.shutdown(left);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown(Duration::ZERO);
    }
}

/// However the thread ends, nobody waits for it in vain, and what it held is counted.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.close();
    }
}
