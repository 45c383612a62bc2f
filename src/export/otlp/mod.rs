//! OTLP out: spans and metrics to a collector, over gRPC or HTTP, behind our own bounded queue.
//!
//! [`Exporter`] is the whole of it: what is pushed is encoded, queued, sent in batches by a thread of its own, kept while the
//! collector is away, and counted. The observed is never slowed: a push takes a lock and writes to memory, whatever the collector
//! does. Delivery is at least once: an answer that never came is asked for again.
//!
//! The bodies are OpenTelemetry's messages (`opentelemetry-proto`) and go out through `tonic` and `hyper`. The exporters of
//! `opentelemetry-otlp` are not used: they hide how long the server asked to wait and how many spans it rejected, and without
//! both nothing can be counted exactly.
//!
//! Everything here runs in a thread whose `tracing` subscriber is none, on clients that no door wraps: the export never shows up in
//! what is exported.

mod batch;
mod config;
mod convert;
mod counts;
mod exporter;
mod ids;
mod metrics;
mod queue;
mod resource;
mod retry;
mod transport;
mod worker;

pub use config::{OtlpConfig, OtlpConfigError, OtlpProtocol, OtlpSignal};
pub use counts::{ExportCounts, ExportDrops};
pub use exporter::{Exporter, OtlpStartError, RecorderTaken};
pub use ids::random_trace_id;
