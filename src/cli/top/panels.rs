//! What the panels list: runs, dependencies, open calls, findings.

use super::data::Data;
use super::ink::{Ink, Line};
use super::table::Column;
use crate::export::report::{DependencyReport, FindingReport, OpenHopReport, RunReport, component, human, outcome_text};
use crate::model::{Outcome, Phase};

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
#[derive(Debug)]
pub(super) struct Item {
    /// What it is known by from one time to the next.
    pub(super) key: String,
    pub(super) cells: Vec<Line>,
    /// What it is sorted by, in the order of [`Panel::sorts`].
    order: Vec<Order>,
}

/// Numbers and instants go down, texts up.
#[derive(Debug)]
enum Order {
    Number(f64),
    Instant(String),
    Text(String),
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
    pub(super) fn items(self, data: &Data, filter: &str, sort: (usize, bool), older_ms: f64, color: bool) -> Vec<Item> {
        let mut items: Vec<Item> = match self {
            Self::Runs => data.report.runs.iter().map(run).collect(),
            Self::Dependencies => data.report.dependencies.iter().map(|one| dependency(one, data.rate(one), color)).collect(),
            Self::Open => data.open.hops.iter().map(|hop| open(hop, older_ms)).collect(),
            Self::Findings => data.report.findings.iter().map(finding).collect(),
        };
        if !filter.is_empty() {
            items.retain(|item| item.cells.iter().any(|cell| cell.text().to_lowercase().contains(filter)));
        }
        let (by, reversed) = sort;
        items.sort_by(|a, b| {
            let order = match (a.order.get(by), b.order.get(by)) {
                (Some(Order::Number(a)), Some(Order::Number(b))) => b.total_cmp(a),
                (Some(Order::Instant(a)), Some(Order::Instant(b))) => b.cmp(a),
                (Some(Order::Text(a)), Some(Order::Text(b))) => a.cmp(b),
                _ => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| a.key.cmp(&b.key));
            if reversed { order.reverse() } else { order }
        });
        items
    }
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

fn run(run: &RunReport) -> Item {
    let plain = |text: &str| Line::of(Ink::Plain, text);
    let ink = match run.outcome {
        Outcome::Ok if run.healthy || run.open => Ink::Plain,
        Outcome::Ok => Ink::Strong,
        _ => Ink::Bad,
    };
    let (culprit, share, cause) = run.verdict.as_ref().map_or_else(Default::default, |verdict| {
        let name = component(verdict.kind, verdict.dependency.as_deref());
        let cause = verdict.cause.map_or_else(String::new, |cause| cause.to_string());
        let culprit = Line::of(Ink::Strong, &name).with(Ink::Plain, &format!(" {}", verdict.phase));
        (culprit, plain(&format!("{:.0} %", verdict.share * 100.0)), plain(&cause))
    });
    let cells = vec![
        sign(run),
        plain(&run.name),
        Line::of(ink, &outcome_text(run)),
        plain(&human(run.duration_ms)),
        plain(&run.deadline_ms.map_or_else(String::new, human)),
        culprit,
        share,
        cause,
        Line::of(Ink::Faint, clock(&run.started_at)),
    ];
    let rank = match run.outcome {
        Outcome::Ok if run.healthy => 0.0,
        Outcome::Ok => 1.0,
        _ => 2.0,
    };
    let order = vec![
        Order::Instant(run.started_at.clone()),
        Order::Number(run.duration_ms),
        Order::Number(rank),
        Order::Text(run.name.to_lowercase()),
    ];
    Item { key: run.id.clone(), cells, order }
}

fn dependency(one: &DependencyReport, rate: Option<f64>, color: bool) -> Item {
    let plain = |text: &str| Line::of(Ink::Plain, text);
    let name = component(Some(one.kind), Some(&one.dependency));
    let failed: Vec<(&Outcome, &u64)> = one.outcomes.iter().filter(|(outcome, _)| **outcome != Outcome::Ok).collect();
    let failures: u64 = failed.iter().map(|(_, count)| **count).sum();
    let told: Vec<String> = failed.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let whole: f64 = one.phases.values().map(|phase| phase.sum_ms).sum();
    let mostly = one.phases.iter().max_by(|a, b| a.1.sum_ms.total_cmp(&b.1.sum_ms));
    let time = |of: fn(&crate::export::report::PhaseSummary) -> f64| mostly.map_or(0.0, |(_, phase)| of(phase));
    let shown = |of| if mostly.is_some() { plain(&human(time(of))) } else { Line::default() };
    let cells = vec![
        Line::of(Ink::Strong, &name),
        plain(&one.calls.to_string()),
        plain(&rate.map_or_else(String::new, |rate| format!("{rate:.1}"))),
        Line::of(if failures > 0 { Ink::Bad } else { Ink::Plain }, &told.join(", ")),
        plain(mostly.map_or("", |(phase, _)| phase.as_str())),
        shown(|phase| phase.p50_ms),
        shown(|phase| phase.p95_ms),
        shown(|phase| phase.p99_ms),
        bar(one.phases.iter().map(|(phase, times)| (*phase, times.sum_ms)), whole, color),
    ];
    let order = vec![
        Order::Number(whole),
        Order::Number(one.calls as f64),
        Order::Number(failures as f64),
        Order::Number(time(|phase| phase.p95_ms)),
        Order::Text(name.to_lowercase()),
    ];
    Item { key: name, cells, order }
}

/// The phases by their share of the time.
fn bar(phases: impl Iterator<Item = (Phase, f64)>, whole: f64, color: bool) -> Line {
    let mut line = Line::default();
    let (mut until, mut drawn) = (0.0, 0);
    for (phase, time) in phases.filter(|&(_, time)| time > 0.0 && whole > 0.0) {
        until += time;
        let end = ((until / whole * BAR as f64).round() as usize).min(BAR);
        let sample = if color { "█".to_owned() } else { super::fall::letter(phase).to_string() };
        line.push(Ink::Phase(phase), &sample.repeat(end.saturating_sub(drawn)));
        drawn = end.max(drawn);
    }
    line
}

fn open(hop: &OpenHopReport, older_ms: f64) -> Item {
    let plain = |text: &str| Line::of(Ink::Plain, text);
    let name = component(Some(hop.kind), Some(&hop.dependency));
    let age = hop.age_ms + older_ms;
    let times = hop.usual_ms.filter(|&usual| usual > 0.0).map_or(0.0, |usual| age / usual);
    // Ten times its usual time is beyond what a slow moment makes of it.
    let ink = if times >= 10.0 { Ink::Strong } else { Ink::Plain };
    let cells = vec![
        Line::of(Ink::Strong, &name),
        Line::of(Ink::Phase(hop.phase), hop.phase.as_str()),
        Line::of(ink, &human(age)),
        plain(&hop.usual_ms.map_or_else(|| "-".to_owned(), human)),
        plain(hop.run.as_deref().unwrap_or_default()),
        Line::of(Ink::Faint, &hop.operation),
    ];
    let order = vec![Order::Number(age), Order::Number(times), Order::Text(name.to_lowercase())];
    let run = hop.run.as_deref().unwrap_or_default();
    Item { key: format!("{name} {run} {} {:?}", hop.operation, hop.pid), cells, order }
}

fn finding(one: &FindingReport) -> Item {
    let name = component(one.kind, one.dependency.as_deref());
    let cells = vec![
        Line::of(Ink::Strong, &name),
        Line::of(Ink::Plain, one.cause.as_str()),
        Line::of(Ink::Plain, &one.runs.to_string()),
        Line::of(Ink::Plain, &one.sentence).with(Ink::Faint, &format!(" {}", one.remedy)),
    ];
    let order = vec![Order::Number(one.runs as f64), Order::Text(name.to_lowercase())];
    Item { key: format!("{name} {}", one.cause), cells, order }
}

/// The time of day of an instant of a report.
pub(super) fn clock(instant: &str) -> &str {
    instant.get(11..19).unwrap_or_default()
}
