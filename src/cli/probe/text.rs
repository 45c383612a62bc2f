//! The report of a probe as text for people.

use super::limits::TOTAL;
use super::report::{ProbeReport, Spread, TargetReport};
use crate::export::report::{Style, component, finding_text, human, line, paint};
use crate::model::Phase;
use anstyle::AnsiColor;
use std::fmt::Write;

/// The endpoints, each with its phases and what was found. Ends in a line break.
pub(super) fn text(report: &ProbeReport, style: Style) -> String {
    let mut out = String::new();
    for (index, target) in report.targets.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        target_text(&mut out, target, style);
    }
    out
}

fn target_text(out: &mut String, target: &TargetReport, style: Style) {
    let (word, color) = if target.ok { ("ok", AnsiColor::Green) } else { ("failed", AnsiColor::Red) };
    // A name that is the host's own tells nothing.
    let is_named = !target.url.contains(&target.dependency);
    let name = if is_named { component(Some(target.kind), Some(&target.dependency)) + "   " } else { String::new() };
    let answered = format!("{} of {} answered{}{}", target.answered, target.tries, statuses(target), outcomes(target));
    line(out, "probe", &format!("{}   {}   {name}{answered}", target.url, paint(word, style, color)));
    if let Some(way) = way(target) {
        line(out, "way", &way);
    }
    let _ = writeln!(out, "  {:<10} {:>10} {:>10}", "phase", "p50", "max");
    let phases = &target.phases;
    let rows = [
        (Phase::Dns, phases.dns),
        (Phase::Connect, phases.connect),
        (Phase::Proxy, phases.proxy),
        (Phase::Tls, phases.tls),
        (Phase::Send, phases.send),
        (Phase::Wait, phases.wait),
        (Phase::Stream, phases.stream),
    ];
    for (phase, spread) in rows {
        let failed = if target.failed_phase == Some(phase) { "   <- failed here" } else { "" };
        if let Some(spread) = spread {
            row(out, phase.as_str(), spread, failed);
        }
    }
    if let Some(total) = target.total {
        row(out, TOTAL, total, "");
    }
    if let Some(error) = &target.error {
        line(out, "error", error);
    }
    for exceeded in &target.exceeded {
        let text =
            format!("{} took {} at most, {} is allowed", exceeded.limit, human(exceeded.max_ms), human(exceeded.allowed_ms));
        line(out, "limit", &text);
    }
    for finding in &target.findings {
        finding_text(out, finding, style);
    }
    for note in &target.notes {
        line(out, "note", note);
    }
}

fn row(out: &mut String, name: &str, spread: Spread, mark: &str) {
    let _ = writeln!(out, "  {name:<10} {:>10} {:>10}{mark}", human(spread.p50_ms), human(spread.max_ms));
}

/// `, status 200` or `, status 200 (2) and 503 (1)`.
fn statuses(target: &TargetReport) -> String {
    let counted: Vec<String> = match target.statuses.len() {
        0 => return String::new(),
        1 => target.statuses.keys().map(u16::to_string).collect(),
        _ => target.statuses.iter().map(|(status, count)| format!("{status} ({count})")).collect(),
    };
    format!(", status {}", counted.join(" and "))
}

/// `   (ok 2, reset 1)` where not all was well.
fn outcomes(target: &TargetReport) -> String {
    if target.answered == target.tries {
        return String::new();
    }
    let counted: Vec<String> = target.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
    format!("   ({})", counted.join(", "))
}

/// Where the last connection went, by which proxy, and what TLS settled.
fn way(target: &TargetReport) -> Option<String> {
    let mut parts: Vec<String> = target.address.iter().cloned().collect();
    parts.extend(target.via_proxy.as_ref().map(|proxy| format!("through the proxy {proxy}")));
    if let Some(tls) = &target.tls {
        let alpn = tls.alpn.as_ref().map_or_else(String::new, |alpn| format!(", {alpn}"));
        parts.push(format!("TLS {}{alpn}", tls.version));
        let until = tls.expires_at.as_ref().and_then(|at| at.split('T').next());
        let issuer = tls.issuer.as_ref().map_or_else(String::new, |issuer| format!(" by {issuer}"));
        parts.extend(until.map(|day| format!("certificate{issuer} to {day}")));
    }
    (!parts.is_empty()).then(|| parts.join("   "))
}
