//! A missed deadline in one line, for an error.

use super::verdict::Judgement;
use crate::model::human::human_duration;
use crate::model::{BlameRow, Component, Kind, Phase, Run, Verdict};

/// What an expired run says of itself: `10 s exceeded: 7.9 s in retrieval/qdrant (wait), normally 0.3 s`.
///
/// The time is the culprit's on the run's critical path; what is normal is told where past or other calls tell it. The caller itself
/// reads `7.9 s in the caller itself (stall: event loop blocked in sleep)`, start-up `7.9 s in start-up (index)`. Without a culprit,
/// as when the time went into a process of the run itself, only the deadline is told. One line without a full stop, no more in it than
/// names and durations.
#[must_use]
pub fn exceeded(run: &Run, judgement: &Judgement) -> String {
    let deadline = human_duration(run.deadline.unwrap_or_else(|| run.duration()));
    match &judgement.verdict {
        Some(verdict) => format!("{deadline} exceeded: {}", culprit(verdict, judgement)),
        None => format!("{deadline} exceeded"),
    }
}

fn culprit(verdict: &Verdict, judgement: &Judgement) -> String {
    let row = judgement.blame.iter().find(|row| row.component == verdict.component);
    let calls = row.map_or(0, |row| row.calls);
    let (over, each) = if calls > 1 { (format!(" over {calls} calls"), " each") } else { (String::new(), "") };
    // What is usually not there at all has no usual time worth telling.
    let usual = verdict.usual.filter(|&usual| usual > 0);
    let usual = usual.map_or(String::new(), |usual| format!(", normally {}{each}", human_duration(usual)));
    format!("{} in {}{over}{usual}", human_duration(verdict.time), who(&verdict.component, row))
}

fn who(component: &Component, row: Option<&BlameRow>) -> String {
    let Component { kind, dependency, phase } = component;
    let detail = row.and_then(|row| row.detail.as_deref());
    match (kind, dependency.as_deref()) {
        (Some(Kind::Startup), _) => match detail {
            Some(detail) => format!("start-up ({detail})"),
            None => "start-up".to_owned(),
        },
        (Some(kind), Some(dependency)) => format!("{kind}/{dependency} ({phase})"),
        (None, Some(dependency)) => format!("{dependency} ({phase})"),
        (Some(kind), None) => format!("{kind} ({phase})"),
        (None, None) => match detail {
            Some(detail) => format!("the caller itself ({phase}: {detail})"),
            None if *phase == Phase::Own => "the caller itself".to_owned(),
            None => format!("the caller itself ({phase})"),
        },
    }
}
