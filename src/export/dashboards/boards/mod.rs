//! The dashboards, one a file.

mod agent;
mod dependency;
mod llm;
mod runtime;
mod startup;
mod timeouts;

use super::board::Board;
use super::query::{Series, shown, sum};
use crate::model::names::{self, label};
use crate::model::{Outcome, Phase};

/// The range that is shown.
const RANGE: &str = "$__range";

/// All of them, the one to start from first. `runbook` = where the runbook is, without its heading.
pub(super) fn all(runbook: &str) -> Vec<Board> {
    vec![timeouts::board(runbook), dependency::board(), llm::board(), startup::board(), runtime::board(), agent::board()]
}

/// Runs of the chosen names that ended.
fn runs() -> Series {
    shown(&names::RUNS).chosen(label::RUN, label::RUN)
}

/// Their blame, as seconds of each run.
fn blame_of_each_run(by: &[&str]) -> String {
    let blame = shown(&names::BLAME).chosen(label::RUN, label::RUN);
    of_each(&sum(by, &blame.rate()), by, &sum(&[], &runs().rate()))
}

/// Something, for each of what is counted.
fn of_each(what: &str, by: &[&str], each: &str) -> String {
    if by.is_empty() { format!("{what} / {each}") } else { format!("{what} / on () group_left () {each}") }
}

/// Calls of the chosen dependencies that ended.
fn calls() -> Series {
    shown(&names::HOP_CALLS).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

/// A share: those of a counter's series, among all of them; 0 where there are none of those.
fn share(some: &str, all: &str) -> String {
    format!("({some} or {all} * 0) / {all}")
}

/// Outcomes that are somebody's failure, as a pattern.
fn failures() -> String {
    let fine = [Outcome::Ok, Outcome::Cancelled];
    let failed = Outcome::ALL.iter().filter(|outcome| !fine.contains(outcome));
    failed.map(|outcome| outcome.as_str()).collect::<Vec<_>>().join("|")
}

/// Time in a phase, for each call.
fn phase_of_each_call(phase: Phase, by: &[&str]) -> String {
    let spent = shown(&names::HOP_PHASE).is(label::PHASE, phase.as_str());
    format!("{} / {}", spent.observed(by), shown(&names::HOP_DURATION).observations(by))
}
