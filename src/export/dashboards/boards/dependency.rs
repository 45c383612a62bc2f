//! *Dependency*: one of them, from the outside in.

use super::{calls, failures, of_each, share};
use crate::export::dashboards::board::{Board, Variable};
use crate::export::dashboards::panel::{Colors, Panel, Unit, View, lines, number, stack};
use crate::export::dashboards::query::{Series, max, shown, sum};
use crate::model::names::{self, Metric, label};
use crate::model::palette;
use crate::model::{ConnectionState, Outcome, Phase};

/// Tries by their number.
const TRIES: &[(&str, &str)] = &[("1", "#0072B2"), ("2", "#56B4E9"), ("3", "#E69F00"), ("4+", "#CC79A7")];
/// Connections by whether they are new, as elsewhere: opening one is `connect`.
pub(super) const STATES: &[(&str, &str)] =
    &[(ConnectionState::New.as_str(), palette::color(Phase::Connect)), (ConnectionState::Reused.as_str(), "#0072B2")];
const BYTES: &[(&str, &str)] = &[("sent", palette::color(Phase::Send)), ("received", palette::color(Phase::Stream))];
/// Classes of input sizes, from light to dark.
const INPUTS: &[(&str, &str)] =
    &[("256", "#C6DBEF"), ("1k", "#9ECAE1"), ("4k", "#6BAED6"), ("16k", "#3182BD"), ("64k", "#08519C"), ("more", "#08306B")];

pub(super) fn board() -> Board {
    let mut panels = numbers();
    panels.extend(times());
    panels.extend(calls_and_connections());
    panels.extend(sizes());
    Board {
        name: "dependency",
        title: "Dependency",
        description: "One dependency: where its calls spend their time, how they end, and what it is like under load.",
        variables: &[Variable::Dependency],
        panels,
    }
}

fn of(metric: &'static Metric) -> Series {
    shown(metric).chosen(label::DEPENDENCY, label::DEPENDENCY)
}

fn numbers() -> Vec<Panel> {
    let plain = || Colors::One(palette::outcome(Outcome::Ok));
    let failed = sum(&[], &calls().among(label::OUTCOME, &failures()).rate());
    vec![
        number("Calls", "Calls that ended, a second.", Unit::PerSecond, plain())
            .query(sum(&[], &calls().rate()), "calls")
            .empty("No call: choose another dependency or time"),
        number(
            "Share that fails",
            "Calls that failed, among those that ended. Red from one in a hundred.",
            Unit::Share,
            Colors::FailureFrom(0.01),
        )
        .query(share(&failed, &sum(&[], &calls().rate())), "failed")
        .empty("No call has ended"),
        number("95th percentile", "Nineteen of twenty calls are faster than this, all tries together.", Unit::Seconds, plain())
            .query(of(&names::HOP_DURATION).quantile(0.95, &[]), "p95")
            .empty("No call has ended"),
        number(
            "Oldest open call",
            "How long the oldest call that is open has been so; its phase is below.",
            Unit::Seconds,
            plain(),
        )
        .query(max(&[], &of(&names::HOP_OPEN_AGE).now()), "age")
        .empty("No call has been open"),
    ]
}

fn times() -> Vec<Panel> {
    let duration = of(&names::HOP_DURATION);
    let each = duration.observations(&[]);
    let percentile = |quantile| duration.quantile(quantile, &[]);
    vec![
        stack(
            "Time of a call, by phase",
            "What the mean call's time goes into; the areas add up to its duration. `wait` and `first_token` are the \
             dependency's own, `dns`, `connect` and `tls` the way there, `gate`, `pool` and `stall` the caller's.",
            Unit::Seconds,
            Colors::Phases,
        )
        .query(of_each(&of(&names::HOP_PHASE).observed(&[label::PHASE]), &[label::PHASE], &each), "{{phase}}")
        .empty("No call has ended within the time shown"),
        lines("Percentiles", "How long calls take, all tries together.", Unit::Seconds)
            .colors(Colors::Named(&[("p50", "#0072B2"), ("p95", "#E69F00"), ("p99", "#CC79A7")]))
            .query(percentile(0.5), "p50")
            .query(percentile(0.95), "p95")
            .query(percentile(0.99), "p99")
            .empty("No call has ended within the time shown"),
        lines(
            "Durations",
            "Calls by how long they took: two bands are two kinds of calls, and a mean lies about both.",
            Unit::Seconds,
        )
        .view(View::Heatmap)
        .query(duration.buckets(), "{{le}}")
        .empty("No call has ended within the time shown"),
        lines(
            "In flight against latency",
            "Calls that are open (right axis, dashed) and the 95th percentile (left). Where latency climbs with what is in \
             flight, the dependency is loaded beyond its knee: cap the concurrency, for instance with a gate.",
            Unit::Seconds,
        )
        .colors(Colors::Named(&[("p95", "#E69F00"), ("in flight", "#0072B2")]))
        .query(percentile(0.95), "p95")
        .aside(sum(&[], &of(&names::HOP_IN_FLIGHT).now()), "in flight", Unit::Count)
        .empty("No call within the time shown"),
    ]
}

fn calls_and_connections() -> Vec<Panel> {
    vec![
        stack("Outcomes", "Calls that ended, a second, by how. Shades of red are failures.", Unit::PerSecond, Colors::Outcomes)
            .query(sum(&[label::OUTCOME], &calls().rate()), "{{outcome}}")
            .empty("No call has ended within the time shown"),
        stack(
            "Tries by number",
            "Tries a second, by whether they are a call's first, second, third or later one. What is above the first is \
             retries: they multiply the load of a dependency that fails already.",
            Unit::PerSecond,
            Colors::Named(TRIES),
        )
        .query(sum(&[label::ATTEMPT], &of(&names::ATTEMPTS).rate()), "{{attempt}}")
        .empty("No call has ended within the time shown"),
        stack(
            "Connections, new and reused",
            "Tries a second, by whether they opened a connection. In a healthy service most are reused; a new one for each call \
             costs its set-up each time.",
            Unit::PerSecond,
            Colors::Named(STATES),
        )
        .query(sum(&[label::STATE], &of(&names::CONNECTIONS).rate()), "{{state}}")
        .empty("No try is known to have a connection of its own"),
        lines(
            "Age of open calls, by phase",
            "How long the oldest open call has been open, by the phase it is in now. A line that climbs at the pace of the \
             clock is a call that hangs: `/api/open` of the agent names it.",
            Unit::Seconds,
        )
        .colors(Colors::Phases)
        .query(max(&[label::PHASE], &of(&names::HOP_OPEN_AGE).now()), "{{phase}}")
        .empty("No call has been open when it was looked"),
    ]
}

fn sizes() -> Vec<Panel> {
    vec![
        lines(
            "First token, by size of the input",
            "Median time from the request being sent to the first token, by the input's size in tokens (at most so many). Where \
             large inputs lie far above small ones, the prompt is what takes time.",
            Unit::Seconds,
        )
        .colors(Colors::Named(INPUTS))
        .query(of(&names::FIRST_TOKEN).quantile(0.5, &[label::INPUT]), "{{input}}")
        .empty("No streamed answer that told its tokens: this is for models"),
        stack("Bytes", "Bytes moved by calls that ended, a second.", Unit::BytesPerSecond, Colors::Named(BYTES))
            .query(sum(&[label::DIRECTION], &of(&names::HOP_BODY_BYTES).rate()), "{{direction}}")
            .empty("No bytes are known: a wrapped future has none"),
    ]
}
