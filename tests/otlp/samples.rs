//! Spans to export, each told from the others by its id.

use std::ops::Range;
use std::time::Duration;

use hopwatch::export::otlp::{ExportCounts, Exporter, OtlpConfig, OtlpProtocol};
use hopwatch::model::clock::monotonic;
use hopwatch::model::{Call, Kind, Origin, Outcome, Phase, Role, Span, Timeline};

pub(crate) use crate::ask::PATIENCE;
pub(crate) use crate::collector::BOTH;

/// A hop of 3 ms with this id.
pub(crate) fn hop(id: u64) -> Span {
    let start = 1_790_000_000_000_000_000 + id * 1_000_000;
    let mut timeline = Timeline::new(start);
    timeline.push(Phase::Wait, start + 3_000_000);
    Span {
        role: Role::Client,
        kind: Some(Kind::Retrieval),
        dependency: Some("docs".into()),
        call: Some(Box::new(Call::new(Origin::Library, timeline).ended(Outcome::Ok, None, Some(200)))),
        ..Span::new(id, None, "shop".into(), "GET /search".into(), start, Some(start + 3_000_000))
    }
}

pub(crate) fn push(exporter: &Exporter, ids: Range<u64>) {
    ids.for_each(|id| exporter.hop(&hop(id), None));
}

/// Spans alone, to this base address; nothing waits to fill a batch.
pub(crate) fn config(endpoint: &str, protocol: OtlpProtocol) -> OtlpConfig {
    let mut config = OtlpConfig::new(endpoint, protocol);
    config.metrics = None;
    config.delay = Duration::from_millis(1);
    config
}

/// The counts, whose sum must hold whenever they are read.
#[track_caller]
pub(crate) fn counts(exporter: &Exporter) -> ExportCounts {
    let counts = exporter.counts();
    assert_eq!(counts.accepted, counts.exported + counts.queued + counts.dropped.total(), "{counts:?}");
    counts
}

/// Exported, queued, and dropped by reason: queue full, rejected, shut down.
#[track_caller]
pub(crate) fn is(counts: ExportCounts, exported: u64, queued: u64, dropped: [u64; 3]) {
    let found = (counts.exported, counts.queued, counts.dropped.by_reason().map(|(_, count)| count));
    assert_eq!(found, (exported, queued, dropped), "{counts:?}");
    assert_eq!(counts.accepted, exported + queued + dropped.iter().sum::<u64>(), "{counts:?}");
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = monotonic();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
