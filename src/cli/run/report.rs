//! From what was seen to the report: the one place where `run` meets assembler, attribution and rendering.

use super::export::Export;
use super::message::{self, Lookers};
use super::onlookers::Onlookers;
use super::options::Plan;
use super::source::Source;
use crate::agent::assemble::{RunFacts, process_run};
use crate::attribution;
use crate::cli::Failure;
use crate::export::report::{self, Report};
use crate::model::{Exit, Nanos, Span};
use std::io::{self, Write};

/// What is known of the command beside its calls.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) exit: Exit,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code for hopwatch.
    pub(crate) code: u8,
    /// The user ended it.
    pub(crate) by_user: bool,
    /// What there is to tell.
    pub(crate) report: Report,
    /// Its spans, on their way to a collector.
    pub(crate) export: Option<Export>,
}

/// Judges a run that is over.
pub(super) fn finish(source: Source, onlookers: Onlookers, facts: Facts<'_>, code: u8) -> Finished {
    let Facts { plan, start, end, exit } = facts;
    let (lookers, intercept) = (source.lookers(plan), source.intercept());
    let observed = source.finish(end);
    let left_alone = intercept.map(|intercept| intercept.left_alone());
    let notes = message::notes(observed.as_ref(), Lookers { left_alone: left_alone.as_deref(), ..lookers });
    let looked = observed.is_some();
    let observed = observed.unwrap_or_default();
    let losses = observed.losses.clone();
    let deadline = plan.deadline.map(crate::model::clock::nanos);
    let facts = RunFacts { name: plan.name.as_str().into(), start, end: Some(end), seen_until: end, deadline, exit: Some(exit) };
    let mut run = process_run(observed, facts);
    let mut judgement = attribution::judge(&run, &losses);
    if !looked {
        // The time is nobody's: it could not be told apart.
        judgement.verdict = None;
    }
    let findings = attribution::findings(&[&run]);
    let export = plan.otlp.as_ref().and_then(|config| Export::start(config, &mut run, &judgement));
    onlookers.finish(&run, &losses, export.is_some());
    let report = report::report(plan.source, end, &[(&run, &judgement)], &findings, &losses, notes);
    Finished { code, by_user: exit.by_user, report, export }
}

/// What is open right now, as text.
pub(super) fn open(name: &str, spans: &[Span], now: Nanos) -> String {
    report::open_hops(name, spans, now)
}

/// Writes the report as JSON text.
pub(in crate::cli) fn json(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    to.write_all(b"\n")
}

/// The JSON Schema of the report, as text.
pub(in crate::cli) fn schema() -> Result<String, Failure> {
    crate::cli::json(&report::schema())
}
