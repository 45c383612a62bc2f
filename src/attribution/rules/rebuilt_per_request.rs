//! `rebuilt_per_request`: start-up work that repeats inside requests.
//!
//! Needs spans of kind `startup` inside of runs. Applies to work of one name that was done in several runs and in most runs of those
//! names. Silent about a start-up itself, and about what is made once, on first use.

use crate::model::human::human_duration;
use crate::model::{Cause, Confidence, Evidence, Finding, Kind, Name, Nanos, Run, Source, Span, SpanId};
use rustc_hash::{FxHashMap, FxHashSet};

/// Runs that work must repeat in: on first use, two may do it side by side.
const RUNS: u64 = 3;

/// How many names a finding tells.
const TOLD: usize = 3;

/// Work of one name inside runs.
#[derive(Default)]
struct Work {
    /// Runs that did it.
    runs: FxHashSet<usize>,
    times: u64,
    /// Without what was done inside other work that repeats.
    took: Nanos,
}

/// Start-up work that repeats in these runs.
pub(in crate::attribution) fn found(runs: &[&Run]) -> Option<Finding> {
    let mut by_name: FxHashMap<&str, Work> = FxHashMap::default();
    let mut runs_of: FxHashMap<&Name, u64> = FxHashMap::default();
    let served = runs.iter().enumerate().filter(|(_, run)| !is_startup(run));
    for (nth, run) in served {
        *runs_of.entry(&run.name).or_default() += 1;
        let outermost = Outermost::of(run);
        for span in run.spans.iter().filter(|span| super::names_a_start_up_phase(span)) {
            let work = by_name.entry(&span.operation).or_default();
            work.runs.insert(nth);
            work.times += 1;
            if outermost.is(span) {
                work.took = work.took.saturating_add(span.end_or(run.horizon()) - span.start);
            }
        }
    }
    let repeats = |work: &Work| {
        // Most runs of the names that do it at all, so that something made on first use stays silent.
        let names: FxHashSet<&Name> = work.runs.iter().map(|&nth| &runs[nth].name).collect();
        let of_names: u64 = names.iter().filter_map(|&name| runs_of.get(name)).sum();
        work.runs.len() as u64 >= RUNS && work.runs.len() as u64 * 2 > of_names
    };
    by_name.retain(|_, work| repeats(work));
    (!by_name.is_empty()).then(|| finding(&by_name))
}

fn finding(by_name: &FxHashMap<&str, Work>) -> Finding {
    let mut works: Vec<(&str, &Work)> = by_name.iter().map(|(&name, work)| (name, work)).collect();
    works.sort_by_key(|&(name, work)| (std::cmp::Reverse((work.took, work.times)), name));
    let in_runs = works.iter().flat_map(|(_, work)| &work.runs).collect::<FxHashSet<_>>().len() as u64;
    let times: u64 = works.iter().map(|(_, work)| work.times).sum();
    let took = works.iter().fold(0, |sum: Nanos, (_, work)| sum.saturating_add(work.took));
    let names: Vec<&str> = works.iter().take(TOLD).map(|&(name, _)| name).collect();
    let more = if works.len() > TOLD { " and more" } else { "" };
    let per_run = (times as f64 / in_runs.max(1) as f64 * 100.0).round() / 100.0;
    let each = human_duration(took / in_runs.max(1));
    let names = format!("{}{more}", names.join(", "));
    Finding {
        cause: Cause::RebuiltPerRequest,
        source: Source { kind: Some(Kind::Startup), dependency: None },
        runs: in_runs,
        confidence: Confidence::High,
        evidence: vec![
            Evidence::text("phases", names.clone()),
            Evidence::number("times", times as f64),
            Evidence::number("times_per_run", per_run),
            Evidence::time("startup", took),
        ],
        sentence: format!("Start-up work was done again in {in_runs} runs: {names}, {each} of each run."),
        remedy:
            "Do it once, at start-up, and share what it makes between requests (an `Arc`, a `OnceCell`, the application's state)."
                .to_owned(),
    }
}

/// Whether the run is a start-up itself.
fn is_startup(run: &Run) -> bool {
    run.spans.first().is_some_and(|root| root.kind == Some(Kind::Startup))
}

/// Start-up spans that are not inside another one.
struct Outermost {
    inside: FxHashSet<SpanId>,
}

impl Outermost {
    fn of(run: &Run) -> Self {
        let phases = run.spans.iter().filter(|span| super::names_a_start_up_phase(span));
        Self { inside: phases.map(|span| span.id).collect() }
    }

    fn is(&self, span: &Span) -> bool {
        span.parent.is_none_or(|parent| !self.inside.contains(&parent))
    }
}
