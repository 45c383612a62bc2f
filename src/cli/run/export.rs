//! The run's spans for a collector, where `OTEL_EXPORTER_OTLP_ENDPOINT` or a sibling names one in hopwatch's own environment.
//!
//! Nothing starts before the command ended: its signals, its time and its exit code are its own. The command keeps its `OTEL_*` as
//! they are.

use crate::attribution::Judgement;
use crate::cli::tell;
use crate::export::otlp::{Exporter, OtlpConfig, random_trace_id};
use crate::model::Run;
use std::time::Duration;

/// How long a collector may take once the command ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that is away or turns spans down: nobody waits for what will hardly come.
const PATIENCE_WITH_FAILURE: Duration = Duration::from_secs(2);

/// Where to export to, from the environment. What cannot be read there is told and no reason not to run the command, which it may have
/// been meant for.
pub(super) fn from_env(run: &str) -> Option<OtlpConfig> {
    match OtlpConfig::from_env_with_endpoint() {
        Ok(config) => config.filter(|config| config.traces.is_some()).map(|config| config.or_service_name(run)),
        Err(error) => {
            tell(&format!("hopwatch: the run will not be exported: {error}\n"));
            None
        }
    }
}

/// Spans on their way.
#[derive(Debug)]
pub(crate) struct Export(Exporter);

impl Export {
    /// Begins to send a run that is over, which gets a trace if it carries none.
    pub(super) fn start(config: &OtlpConfig, run: &mut Run, judgement: &Judgement) -> Option<Self> {
        run.trace_id.get_or_insert_with(random_trace_id);
        let tries = run.spans.iter().filter_map(|span| span.call.as_ref()).map(|call| call.attempts.len());
        let mut config = config.clone();
        // All of it is there already: the queue is as large as the run.
        config.queue = run.spans.len() + tries.sum::<usize>();
        config.metrics = None;
        match Exporter::start(&config) {
            Ok(exporter) => {
                exporter.run(run, Some(judgement));
                Some(Self(exporter))
            }
            Err(error) => {
                tell(&format!("hopwatch: the run was not exported: {error}\n"));
                None
            }
        }
    }

    /// Waits for the collector, and says what it did not take.
    pub(super) fn finish(self) {
        let done = self.0.flush(PATIENCE_WITH_FAILURE);
        let slow = !done && self.0.last_error().is_none();
        let counts = self.0.shutdown(if slow { PATIENCE - PATIENCE_WITH_FAILURE } else { Duration::ZERO });
        let lost = counts.dropped.total();
        if lost > 0 {
            let why = self.0.last_error().map_or_else(String::new, |why| format!(": {why}"));
            tell(&format!("hopwatch: {lost} of {} spans were not exported{why}\n", counts.accepted));
        }
    }
}
