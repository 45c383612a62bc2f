//! What the panels list: runs, dependencies, open calls, findings.

use super::data::Data;
use super::fall::letter;
use super::ink::{Ink, Line};
use super::table::Column;
use crate::export::report::{
    DependencyReport, FindingReport, OpenHopReport, PhaseSummary, RunReport, component, human, outcome_text,
};
use crate::model::{Outcome, Phase};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Which panel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Panel {
    #[default]
    Runs,
    Dependencies,
    Open,
    Findings,
}

/// Something that a panel lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'a> {
    Run(&'a RunReport),
    /// With its calls a second.
    Dependency(&'a DependencyReport, Option<f64>),
    /// With how long ago that was told, in ms.
    Open(&'a OpenHopReport, f64),
    Finding(&'a FindingReport),
}

/// Numbers and instants go down, texts up.
#[derive(Debug)]
enum Order<'a> {
    Number(f64),
    Instant(&'a str),
    Text(String),
}

impl Order<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => b.total_cmp(a),
            (Self::Instant(a), Self::Instant(b)) => b.cmp(a),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

const fn column(name: &'static str, right: bool, rank: u8, least: usize, most: usize) -> Column {
    Column { name, right, rank, least, most }
}

const RUNS: &[Column] = &[
    column("", false, 0, 1, 1),
    column("run", false, 0, 8, 40),
    column("outcome", false, 1, 9, 28),
    column("took", true, 2, 7, 12),
    column("of", true, 5, 5, 10),
    column("culprit", false, 0, 16, 44),
    column("share", true, 3, 5, 5),
    column("cause", false, 4, 10, 20),
    column("began", false, 6, 8, 8),
];

const DEPENDENCIES: &[Column] = &[
    column("dependency", false, 0, 12, 40),
    column("calls", true, 0, 5, 9),
    column("a second", true, 5, 8, 8),
    column("failed", false, 1, 6, 30),
    column("mostly", false, 2, 6, 11),
    column("p50", true, 3, 6, 9),
    column("p95", true, 1, 6, 9),
    column("p99", true, 4, 6, 9),
    column("phases", false, 6, 10, BAR),
];

const OPEN: &[Column] = &[
    column("dependency", false, 0, 12, 40),
    column("phase", false, 0, 6, 11),
    column("age", true, 0, 6, 12),
    column("usually", true, 1, 7, 12),
    column("run", false, 2, 8, 30),
    column("operation", false, 3, 8, 40),
];

const FINDINGS: &[Column] = &[
    column("dependency", false, 0, 10, 30),
    column("cause", false, 0, 10, 20),
    column("runs", true, 2, 4, 6),
    column("finding", false, 1, 20, 400),
];

/// Cells of a bar of phases.
const BAR: usize = 20;

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Runs, Self::Dependencies, Self::Open, Self::Findings];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Runs => "Runs",
            Self::Dependencies => "Dependencies",
            Self::Open => "Open calls",
            Self::Findings => "Findings",
        }
    }

    /// What it can be sorted by.
    pub(super) const fn sorts(self) -> &'static [&'static str] {
        match self {
            Self::Runs => &["newest", "slowest", "worst", "name"],
            Self::Dependencies => &["time", "calls", "failures", "p95", "name"],
            Self::Open => &["age", "times usual", "name"],
            Self::Findings => &["runs", "name"],
        }
    }

    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Runs => RUNS,
            Self::Dependencies => DEPENDENCIES,
            Self::Open => OPEN,
            Self::Findings => FINDINGS,
        }
    }

    /// How much there is, filtered or not.
    pub(super) fn count(self, data: &Data) -> usize {
        match self {
            Self::Runs => data.report.runs.len(),
            Self::Dependencies => data.report.dependencies.len(),
            Self::Open => data.open.hops.len(),
            Self::Findings => data.report.findings.len(),
        }
    }

    /// What it lists: what has the filter's text in it (lower case), sorted. `older_ms` is how long ago the data came.
    pub(super) fn items<'a>(self, data: &'a Data, filter: &str, sort: (usize, bool), older_ms: f64) -> Vec<Item<'a>> {
        let items: Vec<Item<'a>> = match self {
            Self::Runs => data.report.runs.iter().map(Item::Run).collect(),
            Self::Dependencies => data.report.dependencies.iter().map(|one| Item::Dependency(one, data.rate(one))).collect(),
            Self::Open => data.open.hops.iter().map(|hop| Item::Open(hop, older_ms)).collect(),
            Self::Findings => data.report.findings.iter().map(Item::Finding).collect(),
        };
        let has_it = |item: &Item<'_>| {
            filter.is_empty() || item.cells(false).iter().any(|cell| cell.text().to_lowercase().contains(filter))
        };
        let (by, reversed) = sort;
        let mut sorted: Vec<_> = items.into_iter().filter(has_it).map(|item| (item.order(by), item.key(), item)).collect();
        sorted.sort_by(|(a, a_key, _), (b, b_key, _)| {
            let order = a.compare(b).then_with(|| a_key.cmp(b_key));
            if reversed { order.reverse() } else { order }
        });
        sorted.into_iter().map(|(.., item)| item).collect()
    }
}

impl<'a> Item<'a> {
    /// What it is known by from one time to the next.
    pub(super) fn key(&self) -> Cow<'a, str> {
        match self {
            Self::Run(run) => Cow::Borrowed(&run.id),
            Self::Open(hop, _) => {
                let run = hop.run.as_deref().unwrap_or_default();
                Cow::Owned(format!("{} {run} {} {:?}", self.name(), hop.operation, hop.pid))
            }
            Self::Finding(finding) => Cow::Owned(format!("{} {}", self.name(), finding.cause)),
            Self::Dependency(..) => Cow::Owned(self.name()),
        }
    }

    /// What it is called: a run by its name, others by their dependency's.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Run(run) => run.name.clone(),
            Self::Dependency(one, _) => component(Some(one.kind), Some(&one.dependency)),
            Self::Open(hop, _) => component(Some(hop.kind), Some(&hop.dependency)),
            Self::Finding(finding) => component(finding.kind, finding.dependency.as_deref()),
        }
    }

    /// What it is sorted by, as [`Panel::sorts`] counts.
    fn order(&self, by: usize) -> Order<'a> {
        match (self, by) {
            (Self::Run(run), 0) => Order::Instant(&run.started_at),
            (Self::Run(run), 1) => Order::Number(run.duration_ms),
            (Self::Run(run), 2) => Order::Number(badness(run)),
            (Self::Dependency(one, _), 0) => Order::Number(one.phases.values().map(|phase| phase.sum_ms).sum()),
            (Self::Dependency(one, _), 1) => Order::Number(one.calls as f64),
            (Self::Dependency(one, _), 2) => Order::Number(failures(one).map(|(_, count)| count as f64).sum()),
            (Self::Dependency(one, _), 3) => Order::Number(mostly(one).map_or(0.0, |(_, phase)| phase.p95_ms)),
            (Self::Open(hop, older_ms), 0) => Order::Number(hop.age_ms + older_ms),
            (Self::Open(hop, older_ms), 1) => Order::Number(times_usual(hop, *older_ms)),
            (Self::Finding(finding), 0) => Order::Number(finding.runs as f64),
            _ => Order::Text(self.name().to_lowercase()),
        }
    }

    /// Its cells, as many as its panel has columns.
    pub(super) fn cells(&self, color: bool) -> Vec<Line> {
        match self {
            Self::Run(one) => run(one),
            Self::Dependency(one, rate) => dependency(one, &self.name(), *rate, color),
            Self::Open(hop, older_ms) => open(hop, &self.name(), *older_ms),
            Self::Finding(one) => finding(one, &self.name()),
        }
    }
}

fn plain(text: &str) -> Line {
    Line::of(Ink::Plain, text)
}

/// How a run did, in a sign and its meaning's colour.
pub(super) fn sign(run: &RunReport) -> Line {
    match run.outcome {
        _ if run.open => Line::of(Ink::Strong, "~"),
        Outcome::Ok if run.healthy => Line::of(Ink::Good, "+"),
        Outcome::Ok => Line::of(Ink::Strong, "!"),
        _ => Line::of(Ink::Bad, "x"),
    }
}

/// Higher is worse.
const fn badness(run: &RunReport) -> f64 {
    match run.outcome {
        Outcome::Ok if run.healthy => 0.0,
        Outcome::Ok => 1.0,
        _ => 2.0,
    }
}

fn run(run: &RunReport) -> Vec<Line> {
    let ink = match run.outcome {
        Outcome::Ok if run.healthy || run.open => Ink::Plain,
        Outcome::Ok => Ink::Strong,
        _ => Ink::Bad,
    };
    let (culprit, share, cause) = run.verdict.as_ref().map_or_else(Default::default, |verdict| {
        let name = component(verdict.kind, verdict.dependency.as_deref());
        let cause = verdict.cause.map_or("", |cause| cause.as_str());
        let culprit = Line::of(Ink::Strong, &name).with(Ink::Plain, &format!(" {}", verdict.phase));
        (culprit, plain(&format!("{:.0} %", verdict.share * 100.0)), plain(cause))
    });
    vec![
        sign(run),
        plain(&run.name),
        Line::of(ink, &outcome_text(run)),
        plain(&human(run.duration_ms)),
        plain(&run.deadline_ms.map_or_else(String::new, human)),
        culprit,
        share,
        cause,
        Line::of(Ink::Faint, clock(&run.started_at)),
    ]
}

/// The phase that most of its time went to.
fn mostly(one: &DependencyReport) -> Option<(Phase, &PhaseSummary)> {
    one.phases.iter().max_by(|a, b| a.1.sum_ms.total_cmp(&b.1.sum_ms)).map(|(phase, times)| (*phase, times))
}

fn failures(one: &DependencyReport) -> impl Iterator<Item = (Outcome, u64)> {
    one.outcomes.iter().map(|(outcome, count)| (*outcome, *count)).filter(|(outcome, _)| *outcome != Outcome::Ok)
}

fn dependency(one: &DependencyReport, name: &str, rate: Option<f64>, color: bool) -> Vec<Line> {
    let failed: Vec<String> = failures(one).map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let mostly = mostly(one);
    let time = |of: fn(&PhaseSummary) -> f64| plain(&mostly.map_or_else(String::new, |(_, phase)| human(of(phase))));
    vec![
        Line::of(Ink::Strong, name),
        plain(&one.calls.to_string()),
        plain(&rate.map_or_else(String::new, |rate| format!("{rate:.1}"))),
        Line::of(Ink::Bad, &failed.join(", ")),
        plain(mostly.map_or("", |(phase, _)| phase.as_str())),
        time(|phase| phase.p50_ms),
        time(|phase| phase.p95_ms),
        time(|phase| phase.p99_ms),
        bar(one, color),
    ]
}

/// The phases by their share of the time.
fn bar(one: &DependencyReport, color: bool) -> Line {
    let whole: f64 = one.phases.values().map(|phase| phase.sum_ms).sum();
    let mut line = Line::default();
    let (mut until, mut drawn) = (0.0, 0);
    for (&phase, times) in one.phases.iter().filter(|(_, times)| times.sum_ms > 0.0) {
        until += times.sum_ms;
        let end = ((until / whole * BAR as f64).round() as usize).min(BAR);
        let sample = if color { '█' } else { letter(phase) };
        line.push(Ink::Phase(phase), &sample.to_string().repeat(end.saturating_sub(drawn)));
        drawn = end.max(drawn);
    }
    line
}

/// How many times its usual time it is open; 0 = nothing is usual.
fn times_usual(hop: &OpenHopReport, older_ms: f64) -> f64 {
    hop.usual_ms.filter(|&usual| usual > 0.0).map_or(0.0, |usual| (hop.age_ms + older_ms) / usual)
}

fn open(hop: &OpenHopReport, name: &str, older_ms: f64) -> Vec<Line> {
    // Ten times its usual time is beyond what a slow moment makes of it.
    let ink = if times_usual(hop, older_ms) >= 10.0 { Ink::Strong } else { Ink::Plain };
    vec![
        Line::of(Ink::Strong, name),
        Line::of(Ink::Phase(hop.phase), hop.phase.as_str()),
        Line::of(ink, &human(hop.age_ms + older_ms)),
        plain(&hop.usual_ms.map_or_else(|| "-".to_owned(), human)),
        plain(hop.run.as_deref().unwrap_or_default()),
        Line::of(Ink::Faint, &hop.operation),
    ]
}

fn finding(one: &FindingReport, name: &str) -> Vec<Line> {
    vec![
        Line::of(Ink::Strong, name),
        plain(one.cause.as_str()),
        plain(&one.runs.to_string()),
        plain(&one.sentence).with(Ink::Faint, &format!(" {}", one.remedy)),
    ]
}

/// The time of day of an instant of a report.
pub(super) fn clock(instant: &str) -> &str {
    instant.get(11..19).unwrap_or_default()
}
