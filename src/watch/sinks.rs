//! What ended hops and runs are handed to: the store, metrics, and the OTLP exporter.

use super::store::Store;
use crate::export::metrics::{Metrics, OpenCalls};
#[cfg(feature = "otlp")]
use crate::export::otlp::Exporter;
#[cfg(feature = "prometheus")]
use crate::export::prometheus::Prometheus;
#[cfg(feature = "otlp")]
use crate::instrument::context::trace_of;
use crate::instrument::recorder::{Belongs, EndedRun, Record, Recorder, run_of};
#[cfg(feature = "otlp")]
use crate::model::Run;
use crate::model::{Kind, Losses, Nanos, Span};
use std::time::Duration;

/// How often gauges are set: what is open is looked through for it.
const GAUGES: Nanos = 1_000_000_000;

/// Most records that are left to the drain's thread; with more, the thread of the service deals with them.
const LEFT_MAX: usize = 16_384;

/// What ended hops and runs are handed to. One thread at a time.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) store: Store,
    metrics: Metrics,
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
    /// The handle's own recorder, which wants to be looked after.
    #[cfg(feature = "prometheus")]
    pub(super) prometheus: Option<Prometheus>,
    spare: Vec<Record>,
    /// Records that a thread of the service took over and did not deal with.
    left: Vec<Record>,
    /// When the gauges were set.
    gauges: Nanos,
}

impl Sinks {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            store: Store::default(),
            metrics,
            #[cfg(feature = "otlp")]
            exporter: None,
            #[cfg(feature = "prometheus")]
            prometheus: None,
            spare: Vec::new(),
            left: Vec::new(),
            gauges: 0,
        }
    }

    #[cfg(feature = "otlp")]
    pub(super) fn export_to(&mut self, exporter: Exporter) {
        self.exporter = Some(exporter);
    }

    /// Takes what ended out of the recorder. `all` = gauges too, however often.
    pub(super) fn feed(&mut self, recorder: &Recorder, all: bool) {
        let now = recorder.clock().now();
        self.metrics.refresh();
        for record in std::mem::take(&mut self.left) {
            self.take(recorder, &record, Belongs::Loose, now);
        }
        let mut spare = std::mem::take(&mut self.spare);
        let ended = recorder.drain(&mut spare, &mut |record, belongs| self.take(recorder, record, belongs, now));
        self.spare = spare;
        if !ended.is_empty() {
            let losses = recorder.losses();
            ended.into_iter().for_each(|run| self.ended(recorder, run, &losses, now));
        }
        recorder.gates().iter().for_each(|gate| self.metrics.gate(gate));
        recorder.stalls().iter().for_each(|stall| self.metrics.stall(&stall.runtime, stall.took));
        if all || now.saturating_sub(self.gauges) >= GAUGES {
            self.gauges = now;
            self.set_gauges(recorder, now);
            #[cfg(feature = "prometheus")]
            if let Some(prometheus) = &self.prometheus {
                prometheus.upkeep();
            }
        }
    }

    /// Takes what ended in the logs of threads, on a thread of the service: counts what is quickly counted, and leaves the rest to the
    /// drain's own thread.
    pub(super) fn take_over(&mut self, recorder: &Recorder) {
        let now = recorder.clock().now();
        self.metrics.refresh();
        let mut spare = std::mem::take(&mut self.spare);
        recorder.drain_threads(&mut spare, &mut |record, belongs| {
            if (record.is_brief() && !self.exports()) || self.left.len() >= LEFT_MAX {
                self.take(recorder, record, belongs, now);
            } else {
                self.left.push(record.clone());
            }
        });
        self.spare = spare;
    }

    /// One ended record.
    fn take(&mut self, recorder: &Recorder, record: &Record, belongs: Belongs, now: Nanos) {
        if record.is_hop {
            self.store.count(recorder, &mut self.metrics, record, now);
        }
        self.export(recorder, record, belongs, now);
    }

    #[cfg(feature = "otlp")]
    fn exports(&self) -> bool {
        self.exporter.is_some()
    }

    #[cfg(not(feature = "otlp"))]
    fn exports(&self) -> bool {
        false
    }

    fn set_gauges(&mut self, recorder: &Recorder, now: Nanos) {
        let open = recorder.open(now);
        self.metrics.open(&OpenCalls::of(open.iter().map(|(_, span)| span), now));
        self.metrics.losses(&recorder.losses());
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            let counts = exporter.counts();
            let outcomes = [("exported", counts.exported)].into_iter().chain(counts.dropped.by_reason());
            self.metrics.exports(outcomes, counts.queued);
        }
    }

    /// Exports what leaves by itself: the rest leaves with its run.
    #[cfg(feature = "otlp")]
    fn export(&self, recorder: &Recorder, record: &Record, belongs: Belongs, now: Nanos) {
        let trace = match belongs {
            Belongs::Loose => trace_of(record.root),
            Belongs::Late(trace) => trace,
            Belongs::Run => return,
        };
        if let Some(exporter) = &self.exporter {
            exporter.hop(&recorder.span(record, now), Some(trace));
        }
    }

    #[cfg(not(feature = "otlp"))]
    fn export(&self, _: &Recorder, _: &Record, _: Belongs, _: Nanos) {}

    fn ended(&mut self, recorder: &Recorder, ended: EndedRun, losses: &Losses, now: Nanos) {
        let (run, whole) = match ended {
            EndedRun::Whole(log) => (run_of(&log, now), true),
            EndedRun::Nested(run) => (Some(*run), false),
        };
        let Some(run) = run else { return };
        let judgement = recorder.judge(&run, losses);
        self.metrics.run(&run, &judgement);
        if run.spans.first().is_some_and(is_startup) {
            let phases = run.spans[1..].iter().filter(|span| is_startup(span));
            let times = phases.map(|span| (&*span.operation, span.end_or(now).saturating_sub(span.start)));
            self.metrics.startup(judgement.outcome, run.duration(), times);
        }
        // One inside another leaves with the other.
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter.as_ref().filter(|_| whole) {
            if run.spans.iter().any(Span::is_open) {
                // What is still open leaves when it ends.
                let spans = run.spans.iter().filter(|span| !span.is_open()).cloned().collect();
                exporter.run(&Run { spans, ..run.clone() }, Some(&judgement));
            } else {
                exporter.run(&run, Some(&judgement));
            }
        }
        #[cfg(not(feature = "otlp"))]
        let _ = whole;
        self.store.keep(run, judgement);
    }

    /// Ends the export, and tells what was not sent in time.
    #[cfg(feature = "otlp")]
    pub(super) fn shutdown(&mut self, timeout: Duration) {
        if let Some(exporter) = self.exporter.take() {
            exporter.shutdown(timeout);
        }
    }

    #[cfg(not(feature = "otlp"))]
    pub(super) fn shutdown(&mut self, _: Duration) {}

    #[cfg(feature = "otlp")]
    pub(super) fn exporter(&self) -> Option<Exporter> {
        self.exporter.clone()
    }
}

fn is_startup(span: &Span) -> bool {
    span.kind == Some(Kind::Startup)
}
