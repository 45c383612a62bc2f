//! Every metric and label that a query names is one that hopwatch exports, or Prometheus itself makes.

use std::collections::HashSet;

use hopwatch::model::names::{ALL, Instrument, Metric};
use hopwatch::model::{Cause, ConnectionState, Kind, Outcome, Phase};

use crate::boards::{boards, file, readable, targets};
use crate::promql::Read;

/// What Prometheus makes of each scrape.
const OF_SCRAPES: &[&str] = &["up", "scrape_duration_seconds", "scrape_samples_scraped"];
/// Labels that Prometheus adds, and the bound of a bucket.
const ADDED: &[&str] = &["namespace", "job", "instance", "le", "__name__"];

/// The metric behind a series: its own name, or a part of a classic histogram.
fn metric(series: &str) -> Option<&'static Metric> {
    let is = |metric: &&Metric| {
        let part = series.strip_prefix(metric.name);
        part == Some("") || metric.instrument == Instrument::Histogram && matches!(part, Some("_bucket" | "_sum" | "_count"))
    };
    ALL.iter().find(is)
}

/// What a query names and nobody exports; `recorded` are the rules' own series.
fn unknown(query: &str, recorded: &HashSet<String>) -> Vec<String> {
    let read = Read::of(query).unwrap();
    let mut unknown = Vec::new();
    let mut labels: HashSet<&str> = ADDED.iter().copied().collect();
    let mut any = false;
    for selected in read.selectors() {
        if OF_SCRAPES.contains(&selected.name) {
            continue;
        }
        if recorded.contains(selected.name) {
            any = true;
            continue;
        }
        let Some(metric) = metric(selected.name) else {
            unknown.push(format!("metric {}", selected.name));
            continue;
        };
        labels.extend(metric.labels);
        for matcher in selected.matchers {
            if !ADDED.contains(&matcher.name.as_str()) && !metric.labels.contains(&matcher.name.as_str()) {
                unknown.push(format!("label {} of {}", matcher.name, metric.name));
            }
            let values = matcher
                .value
                .split('|')
                .filter(|value| !value.is_empty() && value.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let known: Option<Vec<&str>> = match matcher.name.as_str() {
                "kind" => Some(Kind::ALL.iter().map(|word| word.as_str()).collect()),
                "phase" if metric.labels.contains(&"dependency") => Some(Phase::ALL.iter().map(|word| word.as_str()).collect()),
                "cause" => Some(Cause::ALL.iter().map(|word| word.as_str()).collect()),
                "state" => Some(ConnectionState::ALL.iter().map(|word| word.as_str()).collect()),
                "outcome" if !metric.name.contains("export") => Some(Outcome::ALL.iter().map(|word| word.as_str()).collect()),
                _ => None,
            };
            if let Some(known) = known {
                unknown.extend(values.filter(|value| !known.contains(value)).map(|value| format!("{}={value}", matcher.name)));
            }
        }
    }
    // What rules record has the labels that they were added up by.
    let unknown_labels = read.labels().filter(|label| !any && !labels.contains(label));
    unknown.extend(unknown_labels.map(|label| format!("label {label}")));
    unknown
}

#[test]
fn every_metric_and_label_of_a_panel_is_exported() {
    for board in boards() {
        for target in targets(&board) {
            assert_eq!(unknown(&readable(&target.expr), &HashSet::new()), Vec::<String>::new(), "{}", target.place);
            // What a legend shows is a label of the result.
            let shown = target.legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            let read = Read::of(&readable(&target.expr)).unwrap();
            let labels: HashSet<&str> = read.labels().collect();
            let kept = |label: &&str| labels.contains(label) || ADDED.contains(label);
            assert_eq!(shown.filter(|label| !kept(label)).collect::<Vec<_>>(), Vec::<&str>::new(), "{}", target.place);
        }
    }
}

#[test]
fn every_metric_and_label_of_a_rule_is_exported() {
    let (rules, alerts) = (file("rules.yaml"), file("alerts.yaml"));
    let recorded: HashSet<String> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned).collect();
    assert!(recorded.len() >= 8, "{recorded:?}");
    let exprs: Vec<String> = [&rules, &alerts].into_iter().flat_map(|text| expressions(text)).collect();
    assert!(exprs.len() > recorded.len() + 10);
    for expr in exprs {
        assert_eq!(unknown(&expr, &recorded), Vec::<String>::new(), "{expr}");
    }
}

/// The expressions of a file of rules.
fn expressions(text: &str) -> Vec<String> {
    let block = |rest: &str| {
        let lines = rest.lines().skip(1).take_while(|line| line.starts_with("          "));
        lines.map(str::trim).collect::<Vec<_>>().join("\n")
    };
    text.split("expr: |-").skip(1).map(block).collect()
}

#[test]
fn what_nobody_exports_is_found() {
    let none = HashSet::new();
    let found = |query| unknown(query, &none);
    assert_eq!(found("sum(rate(hopwatch_runz_total[5m]))"), ["metric hopwatch_runz_total"]);
    assert_eq!(found("rate(hopwatch_runs_total{dependency=\"x\"}[5m])"), ["label dependency of hopwatch_runs_total"]);
    assert_eq!(found("sum by (runn) (rate(hopwatch_runs_total[5m]))"), ["label runn"]);
    assert_eq!(found("rate(hopwatch_runs_total{outcome=\"late\"}[5m])"), ["outcome=late"]);
    assert_eq!(found("hopwatch_runs_total_bucket"), ["metric hopwatch_runs_total_bucket"]);
}
