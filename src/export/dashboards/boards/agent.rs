//! *Agent*: hopwatch's own health: does it see all, and does what it sees leave?

use crate::export::dashboards::board::Board;
use crate::export::dashboards::panel::{Colors, Panel, Unit, lines, number, stack};
use crate::export::dashboards::query::{chosen_targets, shown, sum};
use crate::model::Outcome;
use crate::model::names::{self, Metric, label};
use crate::model::palette::{self, FAILURE};

const HOPS: &[(&str, &str)] = &[("begun", "#56B4E9"), ("recorded", "#0072B2")];

pub(super) fn board() -> Board {
    let mut panels = numbers();
    panels.extend(over_time());
    Board {
        name: "agent",
        title: "Agent",
        description: "hopwatch itself: whether it sees everything, whether what it sees leaves, and what it costs to scrape.",
        variables: &[],
        panels,
    }
}

/// A metric that Prometheus itself makes of each scrape.
fn of_scrapes(name: &str) -> String {
    format!("{name}{{{}}}", chosen_targets())
}

fn numbers() -> Vec<Panel> {
    let plain = || Colors::One(palette::outcome(Outcome::Ok));
    let lost = [&names::HOPS_DROPPED, &names::MISSED].map(|metric| sum(&[], &shown(metric).over("$__range").increase()));
    vec![
        number("Instances", "Instances that were scraped, agents and services alike.", Unit::Count, plain())
            .query(format!("count({})", shown(&names::BUILD_INFO).now()), "instances")
            .empty("Prometheus has nothing from hopwatch: check the scrape job and its targets"),
        number("Open hops", "Calls that are open.", Unit::Count, plain())
            .query(sum(&[], &shown(&names::HOP_IN_FLIGHT).now()), "open")
            .empty("No call was ever open"),
        number("Scrape", "How long the slowest scrape took.", Unit::Seconds, plain())
            .query(format!("max({})", of_scrapes("scrape_duration_seconds")), "slowest")
            .empty("Prometheus has nothing from hopwatch: check the scrape job and its targets"),
        number(
            "Lost",
            "Hops dropped and observations missed within the time shown. Red from the first on: verdicts may be less sure.",
            Unit::Count,
            Colors::FailureFrom(0.5),
        )
        .query(format!("({} or vector(0)) + ({} or vector(0))", lost[0], lost[1]), "lost")
        .empty("Prometheus has nothing from hopwatch: check the scrape job and its targets"),
    ]
}

fn over_time() -> Vec<Panel> {
    let total = |metric: &'static Metric| sum(&[], &shown(metric).rate());
    let by = |metric: &'static Metric, label: &'static str| sum(&[label], &shown(metric).rate());
    vec![
        lines(
            "Hops, begun and recorded",
            "Hops a second. Those that began are recorded once they end, or are dropped and counted below.",
            Unit::PerSecond,
        )
        .colors(Colors::Named(HOPS))
        .query(total(&names::HOPS_STARTED), "begun")
        .query(total(&names::HOPS_RECORDED), "recorded")
        .empty("No hop was seen"),
        lines("Dropped hops, by reason", "Hops a second that were not recorded. Anything here is a loss.", Unit::PerSecond)
            .colors(Colors::One(FAILURE))
            .query(by(&names::HOPS_DROPPED, label::REASON), "{{reason}}")
            .empty("Nothing was dropped"),
        lines("Missed observations, by buffer", "Observations a second that a full buffer did not take.", Unit::PerSecond)
            .colors(Colors::One(FAILURE))
            .query(by(&names::MISSED, label::REASON), "{{reason}}")
            .empty("Nothing was missed"),
        lines(
            "Series beyond the cap, by metric",
            "Values a second that were counted as `other`, since a metric has too many series: names that are made up for each \
             request.",
            Unit::PerSecond,
        )
        .query(by(&names::SERIES_OVERFLOW, label::METRIC), "{{metric}}")
        .empty("Every name has a series of its own"),
        stack(
            "Spans to the collector",
            "Spans a second, by whether they were exported, or why they were dropped.",
            Unit::PerSecond,
            Colors::Named(&[("exported", "#0072B2")]),
        )
        .query(by(&names::EXPORT_SPANS, label::OUTCOME), "{{outcome}}")
        .empty("No collector is set: OTEL_EXPORTER_OTLP_ENDPOINT does"),
        lines("Spans that wait for the collector", "Of each instance.", Unit::Count)
            .query(sum(&["instance"], &shown(&names::EXPORT_QUEUE).now()), "{{instance}}")
            .empty("No collector is set: OTEL_EXPORTER_OTLP_ENDPOINT does"),
        lines("Versions", "Instances by the version of hopwatch they run.", Unit::Count)
            .query(format!("count by ({}) ({})", label::VERSION, shown(&names::BUILD_INFO).now()), "{{version}}")
            .empty("Prometheus has nothing from hopwatch: check the scrape job and its targets"),
        lines("Samples of a scrape", "Series of each instance: what it costs Prometheus.", Unit::Count)
            .query(of_scrapes("scrape_samples_scraped"), "{{instance}}")
            .empty("Prometheus has nothing from hopwatch: check the scrape job and its targets"),
    ]
}
