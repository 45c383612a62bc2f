//! What is open: the first question about a program that hangs.

use super::shape;
use super::terminal::{doing, human, line, plural};
use crate::model::clock::rfc3339;
use crate::model::{Kind, Name, Nanos, Phase, Span, millis, redact};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Name and version of the shape of [`OpenReport`].
pub const OPEN_SCHEMA: &str = "hopwatch.open/1";

shape! {
    /// The calls that are open.
    pub struct OpenReport {
        /// Name and version of this shape: `hopwatch.open/1`.
        pub schema: String,
        /// Version of hopwatch.
        pub hopwatch: String,
        /// As of when (RFC 3339, UTC).
        pub generated_at: String,
        /// The calls, the oldest first.
        pub hops: Vec<OpenHopReport>,
    }

    /// A call that has not ended.
    pub struct OpenHopReport {
        /// The run it is in; `null` = in none.
        pub run: Option<String>,
        /// The process that calls, where it is not the one that tells.
        pub pid: Option<u32>,
        /// What the dependency is.
        pub kind: Kind,
        /// The dependency.
        pub dependency: String,
        /// What is done, low in cardinality.
        pub operation: String,
        /// The phase it is in.
        pub phase: Phase,
        /// How long it has been in it.
        pub phase_ms: f64,
        /// How long it is open.
        pub age_ms: f64,
        /// What such a call takes normally; `null` = too few to say.
        pub usual_ms: Option<f64>,
    }
}

/// Tells the calls that are open at `now`, each with the name of its run. One that the record below tells of is left out.
#[must_use]
pub fn open(now: Nanos, spans: &[(Option<Name>, Span)], usual: impl Fn(&Span) -> Option<Nanos>) -> OpenReport {
    let mut open: Vec<&(Option<Name>, Span)> = spans.iter().filter(|(_, span)| span.is_open()).collect();
    open.retain(|(_, span)| span.call.as_ref().is_some_and(|call| !call.relayed));
    open.sort_by_key(|(_, span)| span.start);
    let hops = open.into_iter().filter_map(|(run, span)| {
        let call = span.call.as_deref()?;
        let in_phase = call.timeline.stretches().next_back().map_or(span.start, |stretch| stretch.start);
        Some(OpenHopReport {
            run: run.as_deref().map(redact::name),
            pid: call.client.pid,
            kind: span.kind.unwrap_or(Kind::Http),
            dependency: redact::name(span.dependency.as_deref().unwrap_or_default()),
            operation: redact::name(&span.operation),
            phase: call.timeline.last_phase().unwrap_or(Phase::Wait),
            phase_ms: millis(now.saturating_sub(in_phase)),
            age_ms: millis(now.saturating_sub(span.start)),
            usual_ms: usual(span).map(millis),
        })
    });
    OpenReport {
        schema: OPEN_SCHEMA.to_owned(),
        hopwatch: env!("CARGO_PKG_VERSION").to_owned(),
        generated_at: rfc3339(now),
        hops: hops.collect(),
    }
}

/// The same for people. Ends in a line break.
#[must_use]
pub fn open_text(open: &OpenReport) -> String {
    let mut out = String::new();
    if open.hops.is_empty() {
        line(&mut out, "open", "no call is open");
        return out;
    }
    line(&mut out, "open", &format!("{} open", plural(open.hops.len(), "call")));
    let names: Vec<String> = open.hops.iter().map(|hop| format!("{}/{}", hop.kind, hop.dependency)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (hop, name) in open.hops.iter().zip(&names) {
        let usual = hop.usual_ms.map_or_else(String::new, |usual| format!("   normally {}", human(usual)));
        let phase = hop.phase;
        let (age, in_phase) = (human(hop.age_ms), human(hop.phase_ms));
        let _ = writeln!(out, "  {name:width$}   {phase:<11}  {age:>8}   {} {in_phase}{usual}   {}", doing(phase), hop.operation);
    }
    out
}
