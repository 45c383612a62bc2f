//! *Runtime*: what the caller waits for by itself: gates, pools, and an event loop that is blocked.

use super::phase_of_each_call;
use crate::export::dashboards::board::{Board, Variable, to_dependency};
use crate::export::dashboards::panel::{Colors, Panel, Unit, lines, stack};
use crate::export::dashboards::query::{Series, shown, sum};
use crate::model::Phase;
use crate::model::names::{self, Metric, label};
use crate::model::palette;

const GATE: [&str; 1] = [label::GATE];
const LEFT: &[(&str, &str)] = &[("gave up", palette::color(Phase::Gate)), ("turned away", palette::color(Phase::Pool))];

pub(super) fn board() -> Board {
    let mut panels = gates();
    panels.extend(pools_and_stalls());
    Board {
        name: "runtime",
        title: "Runtime",
        description: "Waiting that is the caller's own: for permits of a gate, for a connection of a pool, for an event loop \
                      that is blocked.",
        variables: &[Variable::Runs],
        panels,
    }
}

fn gates() -> Vec<Panel> {
    let gate = |metric: &'static Metric| sum(&GATE, &shown(metric).now());
    let (wait, hold) = (shown(&names::GATE_WAIT), shown(&names::GATE_HOLD));
    let count = |metric: &'static Metric| sum(&[], &shown(metric).rate());
    vec![
        lines("Gates, in use", "The share of a gate's permits that are out. At 1 whoever comes next waits.", Unit::Share)
            .query(format!("{} / {}", gate(&names::GATE_IN_USE), gate(&names::GATE_LIMIT)), "{{gate}}")
            .empty("No gate: the library's `gate()` makes one"),
        lines("Waiting at gates", "Callers that wait for a permit.", Unit::Count)
            .query(gate(&names::GATE_QUEUE), "{{gate}}")
            .empty("No gate: the library's `gate()` makes one"),
        lines(
            "Wait for a permit",
            "How long was waited for the permits that were given: median and 95th percentile.",
            Unit::Seconds,
        )
        .query(wait.quantile(0.5, &GATE), "{{gate}} p50")
        .query(wait.quantile(0.95, &GATE), "{{gate}} p95")
        .empty("No permit was given within the time shown"),
        lines(
            "Permits held",
            "How long permits are held: median and 95th percentile. A gate is full because it is narrow, or because this is \
             long.",
            Unit::Seconds,
        )
        .query(hold.quantile(0.5, &GATE), "{{gate}} p50")
        .query(hold.quantile(0.95, &GATE), "{{gate}} p95")
        .empty("No permit was given back within the time shown"),
        stack(
            "Callers that left a gate without a permit",
            "Callers a second that gave up waiting, or were turned away.",
            Unit::PerSecond,
            Colors::Named(LEFT),
        )
        .query(count(&names::GATE_ABANDONED), "gave up")
        .query(count(&names::GATE_SHED), "turned away")
        .empty("No gate: the library's `gate()` makes one"),
    ]
}

fn pools_and_stalls() -> Vec<Panel> {
    let pool: Series = shown(&names::HOP_PHASE).is(label::PHASE, Phase::Pool.as_str());
    let stall = shown(&names::STALL);
    let runtime = [label::RUNTIME];
    vec![
        lines(
            "Wait for a connection, mean",
            "Time of the mean call that goes into waiting for a connection or a stream slot.",
            Unit::Seconds,
        )
        .query(phase_of_each_call(Phase::Pool, &[label::DEPENDENCY]), "{{dependency}}")
        .empty("No call has waited for a connection")
        .leads(to_dependency()),
        lines("Wait for a connection, 95th percentile", "Of the calls that waited at all.", Unit::Seconds)
            .query(pool.quantile(0.95, &[label::DEPENDENCY]), "{{dependency}} p95")
            .empty("No call has waited for a connection")
            .leads(to_dependency()),
        lines("Stalls", "How long an event loop or a task was blocked at a time: median and longest.", Unit::Seconds)
            .query(stall.quantile(0.5, &runtime), "{{runtime}} p50")
            .query(stall.quantile(1.0, &runtime), "{{runtime}} longest")
            .empty("Nothing was blocked: `heartbeat()` of the library watches a runtime"),
        lines("Time blocked", "The share of the time that an event loop or a task was blocked.", Unit::Share)
            .query(stall.observed(&runtime), "{{runtime}}")
            .empty("Nothing was blocked: `heartbeat()` of the library watches a runtime"),
        stack(
            "The caller's share of a run",
            "Of the mean run's time, what is the caller's own: waiting at gates, for connections and between tries, blocked \
             (stall), and its own work (self).",
            Unit::Seconds,
            Colors::Phases,
        )
        .query(callers_share(), "{{phase}}")
        .empty("No run has ended within the time shown"),
    ]
}

fn callers_share() -> String {
    let phases = [Phase::Gate, Phase::Pool, Phase::Backoff, Phase::Stall, Phase::Own].map(Phase::as_str).join("|");
    let by = [label::PHASE];
    let blame = shown(&names::BLAME).chosen(label::RUN, label::RUN).among(label::PHASE, &phases);
    super::of_each(&sum(&by, &blame.rate()), &by, &sum(&[], &super::runs().rate()))
}
