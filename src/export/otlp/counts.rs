//! What became of every span.

/// Spans by what became of them. At any instant `accepted = exported + queued + dropped.total()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportCounts {
    /// Handed to the exporter.
    pub accepted: u64,
    /// Taken by the collector.
    pub exported: u64,
    /// Waiting, those on their way and those kept for a retry included.
    pub queued: u64,
    /// Lost, by reason.
    pub dropped: ExportDrops,
}

/// Spans lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportDrops {
    /// The queue was full.
    pub queue_full: u64,
    /// The collector refused them for good: an error that no retry can help, or a partial success.
    pub rejected: u64,
    /// The exporter was shut down before they could be handed over, or had been when they came.
    pub shutdown: u64,
}

impl ExportDrops {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queue_full + self.rejected + self.shutdown
    }

    /// Each with its reason, as a label names it.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 3] {
        [("queue_full", self.queue_full), ("rejected", self.rejected), ("shutdown", self.shutdown)]
    }
}
