//! The report as text for people.

use super::{BlameReport, FindingReport, HopReport, RaisedAtReport, Report, RunReport, VerdictReport};
use crate::model::human::human_duration;
use crate::model::{Kind, Nanos, Outcome, Phase, Span, Value, redact};
use anstyle::{AnsiColor, Effects};
use std::fmt::Write as _;

/// How text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether colours may be used. Meaning never hangs on them.
    pub color: bool,
}

/// Rows below this share are told as one line.
const SMALL_SHARE: f64 = 0.01;
/// Length of a bar that stands for the whole run.
const BAR: f64 = 20.0;

/// The report's runs, verdicts, findings and notes. Ends in a line break.
#[must_use]
pub fn text(report: &Report, style: Style) -> String {
    let mut out = String::new();
    for run in &report.runs {
        run_text(&mut out, run, style);
    }
    for finding in &report.findings {
        finding_text(&mut out, finding, style);
    }
    if !report.losses.missed.is_empty() || !report.losses.dropped.is_empty() {
        let lost: Vec<String> =
            report.losses.dropped.iter().chain(&report.losses.missed).map(|(what, n)| format!("{n} {what}")).collect();
        line(&mut out, "lost", &format!("{}: the report may be incomplete", lost.join(", ")));
    }
    for note in &report.notes {
        line(&mut out, "note", note);
    }
    out
}

/// What is open at `now`: the first question about a program that hangs. What the record below tells of is left out. Ends in a line
/// break.
#[must_use]
pub fn open_hops(name: &str, spans: &[Span], now: Nanos) -> String {
    let is_told = |span: &&Span| span.is_open() && span.call.as_ref().is_some_and(|call| !call.relayed);
    let mut open: Vec<&Span> = spans.iter().filter(is_told).collect();
    open.sort_by_key(|span| span.start);
    let mut out = String::new();
    if open.is_empty() {
        line(&mut out, "open", &format!("{}: no call is open", redact::name(name)));
        return out;
    }
    let names: Vec<String> = open.iter().map(|span| component(span.kind, span.dependency.as_deref())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    line(&mut out, "open", &format!("{}: {} open", redact::name(name), plural(open.len(), "call")));
    for (span, name) in open.iter().zip(&names) {
        let Some(call) = span.call.as_deref() else { continue };
        let phase = call.timeline.last_phase().unwrap_or(Phase::Wait);
        let phase_start = call.timeline.stretches().next_back().map_or(span.start, |stretch| stretch.start);
        let age = human_duration(now.saturating_sub(span.start));
        let in_phase = human_duration(now.saturating_sub(phase_start));
        let _ = writeln!(
            out,
            "  {name:width$}   {phase:<11}  {age:>8}   {} {in_phase}   {}",
            doing(phase),
            redact::name(&span.operation)
        );
    }
    out
}

fn run_text(out: &mut String, run: &RunReport, style: Style) {
    let took = took_text(run);
    let outcome = outcome_text(run);
    let color = if run.healthy { AnsiColor::Green } else { AnsiColor::Red };
    let _ = writeln!(out, "run  {}   {}   {took}", run.name, paint(&outcome, style, color));

    let (large, small): (Vec<&BlameReport>, Vec<&BlameReport>) = run.blame.iter().partition(|row| row.share >= SMALL_SHARE);
    let names: Vec<String> = large.iter().map(|row| row_name(row)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let raised = run.verdict.as_ref().and_then(|verdict| verdict.raised_at.as_ref());
    let mut raised_open = raised.is_some();
    for (row, name) in large.iter().zip(&names) {
        let bar = "█".repeat(((row.share * BAR).round() as usize).max(1));
        let marked = raised_open && raised.is_some_and(|raised| is_of(row, raised));
        raised_open &= !marked;
        let mark = match raised {
            Some(raised) if marked => raised_text(run, raised),
            _ => row.detail.as_ref().map_or_else(String::new, |detail| format!("   {detail}")),
        };
        let estimated = if row.inferred { " (estimated)" } else { "" };
        let _ = writeln!(
            out,
            "  {name:width$}   {:<11}  {:>8}  {:>3.0} %   {}{mark}{estimated}",
            row.phase.as_str(),
            long(row.ms),
            row.share * 100.0,
            paint(&bar, style, bar_color(run, row)),
        );
    }
    if !small.is_empty() {
        let rest: f64 = small.iter().map(|row| row.ms).sum();
        let _ = writeln!(out, "  ({} under 1 %: {})", plural(small.len(), "other"), long(rest));
    }
    match (&run.verdict, raised) {
        (Some(verdict), raised) => {
            if let Some(raised) = raised.filter(|_| raised_open) {
                line(
                    out,
                    "raised",
                    &format!("{}{}", component(Some(raised.kind), Some(&raised.dependency)), raised_text(run, raised)),
                );
            }
            verdict_text(out, run, verdict, style);
        }
        (None, _) if run.healthy => line(out, "healthy", "nothing stood out"),
        (None, _) => line(out, "culprit", "none among the dependencies: the program failed by itself"),
    }
}

fn verdict_text(out: &mut String, run: &RunReport, verdict: &VerdictReport, style: Style) {
    let whole = run.deadline_ms.map_or(run.duration_ms, |deadline| deadline.min(run.duration_ms));
    let name = if verdict.kind.is_none() {
        "the program itself".to_owned()
    } else {
        component(verdict.kind, verdict.dependency.as_deref())
    };
    let mut sentence =
        format!("{}, {}: {} of {}", paint(&name, style, AnsiColor::Red), doing(verdict.phase), human(verdict.ms), human(whole));
    let number = |name: &str| match &verdict.evidence.iter().find(|evidence| evidence.name == name)?.value {
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    };
    // Without the ratio the call is not to blame for its length, and its usual time would only distract.
    if let (Some(usual), Some(times)) = (verdict.usual_ms, number("times_usual")) {
        let row = run.blame.iter().find(|row| is_culprits(verdict, row));
        let each = if row.is_some_and(|row| row.calls > 1) { " a call" } else { "" };
        let calls = number("calls_seen").map_or_else(String::new, |calls| format!(", {}", plural(calls as usize, "call")));
        let _ = write!(sentence, ", normally {}{each} ({times:.0}x{calls})", human(usual));
    }
    if verdict.cause.is_none() {
        // How the call ended, where no cause tells it.
        if let Some(status) = number("status").filter(|&status| status >= 400.0) {
            let _ = write!(sentence, ", answered {status}");
        } else if let Some(after) = number("gave_up_after") {
            let _ = write!(sentence, ", the client gave up after {}", human(after));
        }
    }
    line(out, "culprit", &sentence);
    let imports = verdict.evidence.iter().find(|evidence| evidence.name == "imports");
    if let Some(Value::Text(imports)) = imports.map(|evidence| &evidence.value) {
        line(out, "loading", &format!("{} (estimated)", redact::name(imports)));
    }
    if let Some(cause) = verdict.cause {
        line(out, "cause", &format!("{cause}{}", evidence_text(verdict)));
    }
    if let Some(remedy) = &verdict.remedy {
        line(out, "try", remedy);
    }
}

fn evidence_text(verdict: &VerdictReport) -> String {
    let parts: Vec<String> = verdict
        .evidence
        .iter()
        .filter(|evidence| evidence.name != "calls_seen" && evidence.name != "times_usual")
        .map(|evidence| {
            let value = match (&evidence.value, evidence.unit.as_deref()) {
                (Value::Number(ms), Some("ms")) => human(*ms),
                (Value::Number(number), _) => format!("{number}"),
                (Value::Text(text), _) => redact::name(text),
            };
            format!("{} {value}", evidence.name.replace('_', " "))
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

/// A finding and what to change.
pub(crate) fn finding_text(out: &mut String, finding: &FindingReport, style: Style) {
    let name = component(finding.kind, finding.dependency.as_deref());
    line(out, "finding", &format!("{}: {}", paint(&name, style, AnsiColor::Yellow), finding.sentence));
    line(out, "try", &finding.remedy);
}

/// How long a run took, of how much.
pub(crate) fn took_text(run: &RunReport) -> String {
    match run.deadline_ms {
        Some(deadline) => format!("{} of {}", long(run.duration_ms), human(deadline)),
        None => long(run.duration_ms),
    }
}

/// How a run ended, in a word or some.
pub(crate) fn outcome_text(run: &RunReport) -> String {
    let text = match run.outcome {
        Outcome::Ok if run.open => "goes on",
        Outcome::Ok if run.healthy => "ok",
        Outcome::Ok => "ended well, but not healthy",
        Outcome::Timeout => "timed out",
        Outcome::Cancelled => "cancelled",
        Outcome::Error => "failed",
        other => return format!("failed ({other})"),
    };
    text.to_owned()
}

fn raised_text(run: &RunReport, raised: &RaisedAtReport) -> String {
    let gave_up = run
        .hops
        .iter()
        .rev()
        .find(|hop| hop.kind == raised.kind && hop.dependency == raised.dependency && hop.outcome == Some(raised.outcome))
        .and_then(|hop: &HopReport| hop.gave_up_after_ms);
    let error = raised.error_type.as_ref().map_or_else(String::new, |class| format!(": {class}"));
    match gave_up {
        Some(after) => format!("   <- the error was raised here (the client gave up after {}){error}", human(after)),
        None => format!("   <- the error was raised here{error}"),
    }
}

fn is_of(row: &BlameReport, raised: &RaisedAtReport) -> bool {
    row.kind == Some(raised.kind) && row.dependency.as_deref() == Some(&raised.dependency)
}

fn bar_color(run: &RunReport, row: &BlameReport) -> AnsiColor {
    let culprit = run.verdict.as_ref().is_some_and(|verdict| is_culprits(verdict, row));
    if culprit { AnsiColor::Red } else { AnsiColor::Blue }
}

fn is_culprits(verdict: &VerdictReport, row: &BlameReport) -> bool {
    verdict.kind == row.kind && verdict.dependency == row.dependency && verdict.phase == row.phase
}

fn row_name(row: &BlameReport) -> String {
    match (row.kind, &row.dependency) {
        (None, None) => "(own time)".to_owned(),
        (Some(Kind::Startup), None) => "(start-up)".to_owned(),
        (kind, dependency) => component(kind, dependency.as_deref()),
    }
}

/// A dependency with its kind.
pub(crate) fn component(kind: Option<Kind>, dependency: Option<&str>) -> String {
    match (kind, dependency.map(redact::name)) {
        (Some(kind), Some(dependency)) => format!("{kind}/{dependency}"),
        (Some(kind), None) => kind.to_string(),
        (None, Some(dependency)) => dependency,
        (None, None) => "(own time)".to_owned(),
    }
}

/// What a hop does in a phase, as part of a sentence.
pub(crate) const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Gate => "waiting at its gate",
        Phase::Pool => "waiting for a free connection",
        Phase::Dns => "looking its name up",
        Phase::Connect => "connecting to it",
        Phase::Proxy => "setting the proxy tunnel up",
        Phase::Tls => "in its TLS handshake",
        Phase::Send => "sending the request",
        Phase::Wait => "waiting for its response",
        Phase::FirstToken => "waiting for its first token",
        Phase::Stream => "receiving its answer",
        Phase::Backoff => "between two attempts",
        Phase::Stall => "blocked",
        Phase::Own => "in its own work",
    }
}

/// A time as people read it.
pub(crate) fn human(ms: f64) -> String {
    human_duration((ms * 1e6).max(0.0) as Nanos)
}

/// Like [`human`], but seconds always with a decimal, so that columns line up.
fn long(ms: f64) -> String {
    if (95.0..60_000.0).contains(&ms) { format!("{:.1} s", ms / 1000.0) } else { human(ms) }
}

/// So many of something.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A line with its label.
pub(crate) fn line(out: &mut String, label: &str, text: &str) {
    let _ = writeln!(out, "{label:<8} {text}");
}

/// Text in colour, where that may be used.
pub(crate) fn paint(text: &str, style: Style, color: AnsiColor) -> String {
    if !style.color {
        return text.to_owned();
    }
    let style = anstyle::Style::new().fg_color(Some(color.into())).effects(Effects::BOLD);
    format!("{style}{text}{style:#}")
}
