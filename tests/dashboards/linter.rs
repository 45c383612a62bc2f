//! The rules of Grafana's dashboard linter, all seventeen and none left out, each with a change that it finds.

use std::collections::HashSet;
use std::time::Duration;

use promql_parser::label::MatchOp;
use serde_json::{Value, json};

use crate::boards::{boards, panels, readable, targets, variables};
use crate::promql::{Read, Selected};

/// Units of Grafana that are used here; an unknown one is shown as a suffix.
const UNITS: &[&str] = &["s", "cps", "Bps", "percentunit", "short"];
/// What `$__rate_interval` and `$__range` are filled in with.
const RATE_INTERVAL: Duration = Duration::from_secs(300);

/// A rule: what is wrong with a dashboard.
type Rule = fn(&Value) -> Vec<String>;
/// A change to a dashboard.
type Change = fn(&mut Value);

const RULES: [(&str, Rule, Change); 17] = [
    ("template-datasource-rule", datasource_variable, |board| board["templating"]["list"][0]["name"] = json!("source")),
    ("template-job-rule", |board| chooses(board, "job", "Job"), |board| variable(board, "job")["multi"] = json!(false)),
    (
        "template-instance-rule",
        |board| chooses(board, "instance", "Instance"),
        |board| variable(board, "instance")["allValue"] = json!(".*"),
    ),
    ("template-label-promql-rule", label_values_parse, |board| {
        variable(board, "job")["query"]["query"] = json!("label_values(up{, job)");
    }),
    ("template-on-time-change-reload-rule", variables_reload, |board| variable(board, "job")["refresh"] = json!(1)),
    ("panel-datasource-rule", panels_use_the_variable, |board| board["panels"][1]["datasource"]["uid"] = json!("prometheus")),
    ("panel-title-description-rule", panels_are_described, |board| board["panels"][1]["description"] = json!("")),
    ("panel-units-rule", panels_have_units, |board| board["panels"][1]["fieldConfig"]["defaults"]["unit"] = json!("parsecs")),
    ("panel-no-targets-rule", panels_ask, |board| board["panels"][1]["targets"] = json!([])),
    ("target-promql-rule", |board| of_targets(board, |_| None), |board| first_expr(board, "sum(rate(")),
    ("target-logql-rule", no_logs, |board| board["panels"][1]["targets"][0]["datasource"]["type"] = json!("loki")),
    ("target-logql-auto-rule", no_logs, |board| board["panels"][1]["targets"][0]["datasource"]["type"] = json!("loki")),
    ("target-rate-interval-rule", rates_over_the_interval, |board| {
        first_expr(board, "rate(hopwatch_runs_total{job=~\"$job\",instance=~\"$instance\"}[1m])");
    }),
    (
        "target-job-rule",
        |board| matches_variable(board, "job"),
        |board| {
            first_expr(board, "rate(hopwatch_runs_total{instance=~\"$instance\"}[$__rate_interval])");
        },
    ),
    (
        "target-instance-rule",
        |board| matches_variable(board, "instance"),
        |board| {
            first_expr(board, "rate(hopwatch_runs_total{job=~\"$job\",instance=\"$instance\"}[$__rate_interval])");
        },
    ),
    ("target-counter-agg-rule", counters_are_rated, |board| {
        first_expr(board, "sum(hopwatch_runs_total{job=~\"$job\",instance=~\"$instance\"})");
    }),
    (
        "uneditable-dashboard",
        |board| wrong(board["editable"] == false, "it can be edited"),
        |board| board["editable"] = json!(true),
    ),
];

#[test]
fn every_dashboard_keeps_every_rule_of_the_linter() {
    let boards = boards();
    assert_eq!(boards.len(), 6);
    for (name, rule, _) in RULES {
        for board in &boards {
            assert_eq!(rule(board), Vec::<String>::new(), "{name}: {}", board["title"]);
        }
    }
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let boards = boards();
    let names: HashSet<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), 17);
    for (name, rule, change) in RULES {
        let mut board = boards[0].clone();
        change(&mut board);
        assert_ne!(rule(&board), Vec::<String>::new(), "{name} finds nothing");
    }
}

fn variable<'a>(board: &'a mut Value, name: &str) -> &'a mut Value {
    let list = board["templating"]["list"].as_array_mut().unwrap();
    list.iter_mut().find(|variable| variable["name"] == name).unwrap()
}

fn first_expr(board: &mut Value, expr: &str) {
    board["panels"][0]["targets"][0]["expr"] = json!(expr);
}

fn wrong(fine: bool, what: impl Into<String>) -> Vec<String> {
    if fine { Vec::new() } else { vec![what.into()] }
}

fn datasource_variable(board: &Value) -> Vec<String> {
    let sources: Vec<&Value> = variables(board).iter().filter(|variable| variable["type"] == "datasource").collect();
    let fine =
        |source: &&Value| source["name"] == "datasource" && source["label"] == "Data source" && source["query"] == "prometheus";
    wrong(sources.len() == 1 && sources.iter().all(fine), format!("{sources:?}"))
}

fn chooses(board: &Value, name: &str, label: &str) -> Vec<String> {
    let Some(found) = variables(board).iter().find(|variable| variable["name"] == name) else {
        return vec![format!("no variable {name}")];
    };
    let fine = found["type"] == "query"
        && found["label"] == label
        && found["datasource"]["uid"] == "${datasource}"
        && found["multi"] == true
        && found["allValue"] == ".+";
    wrong(fine, found.to_string())
}

fn queries(board: &Value) -> impl Iterator<Item = &Value> {
    variables(board).iter().filter(|variable| variable["type"] == "query")
}

/// The selector of `label_values(SELECTOR, label)`.
fn label_values(query: &str) -> Option<&str> {
    query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ").map(|(selector, _)| selector)
}

fn label_values_parse(board: &Value) -> Vec<String> {
    let unread = |variable: &Value| {
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let Some(selector) = label_values(query) else { return Some(format!("no label_values: {query}")) };
        Read::of(&readable(selector)).err()
    };
    queries(board).filter_map(unread).collect()
}

fn variables_reload(board: &Value) -> Vec<String> {
    queries(board).filter(|variable| variable["refresh"] != 2).map(ToString::to_string).collect()
}

fn of_panels(board: &Value, is_wrong: impl Fn(&Value) -> bool) -> Vec<String> {
    panels(board).iter().filter(|panel| is_wrong(panel)).map(|panel| panel["title"].to_string()).collect()
}

fn panels_use_the_variable(board: &Value) -> Vec<String> {
    let is_other = |of: &Value| of["datasource"]["uid"] != "${datasource}" || of["datasource"]["type"] != "prometheus";
    of_panels(board, |panel| is_other(panel) || panel["targets"].as_array().unwrap().iter().any(is_other))
}

fn panels_are_described(board: &Value) -> Vec<String> {
    let is_empty = |text: &Value| text.as_str().is_none_or(|text| text.trim().is_empty());
    of_panels(board, |panel| is_empty(&panel["title"]) || is_empty(&panel["description"]))
}

fn panels_have_units(board: &Value) -> Vec<String> {
    of_panels(board, |panel| {
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        !UNITS.contains(&unit)
    })
}

fn panels_ask(board: &Value) -> Vec<String> {
    of_panels(board, |panel| panel["targets"].as_array().is_none_or(Vec::is_empty))
}

/// Queries that cannot be read, or of which a selector is wrong.
fn of_targets(board: &Value, is_wrong: impl Fn(&Selected<'_>) -> Option<String>) -> Vec<String> {
    let of_target = |expr: &str| match Read::of(&readable(expr)) {
        Ok(read) => read.selectors().filter_map(|selected| is_wrong(&selected)).collect(),
        Err(error) => vec![error],
    };
    targets(board).iter().flat_map(|target| of_target(&target.expr)).collect()
}

/// There are none, so that the rules about them are kept.
fn no_logs(board: &Value) -> Vec<String> {
    let is_logs = |target: &Value| target["datasource"]["type"] != "prometheus";
    of_panels(board, |panel| panel["targets"].as_array().unwrap().iter().any(is_logs))
}

fn rates_over_the_interval(board: &Value) -> Vec<String> {
    of_targets(board, |selected| match selected.range {
        Some((range, "rate" | "irate")) if range != RATE_INTERVAL => Some(format!("{} over {range:?}", selected.name)),
        _ => None,
    })
}

fn matches_variable(board: &Value, name: &str) -> Vec<String> {
    let filled = |expr: &str| expr.replace("$__rate_interval", "5m").replace("$__range", "1h");
    let unchosen = |selected: Selected<'_>| {
        let chooses = |op: &MatchOp| matches!(op, MatchOp::Re(_));
        let variable = format!("${name}");
        let fine =
            selected.matchers.iter().any(|matcher| matcher.name == name && matcher.value == variable && chooses(&matcher.op));
        (!fine).then(|| format!("{} does not match {name}=~\"{variable}\"", selected.name))
    };
    let of_target = |expr: &str| match Read::of(&filled(expr)) {
        Ok(read) => read.selectors().filter_map(unchosen).collect(),
        Err(error) => vec![error],
    };
    targets(board).iter().flat_map(|target| of_target(&target.expr)).collect()
}

fn counters_are_rated(board: &Value) -> Vec<String> {
    of_targets(board, |selected| {
        let rated = matches!(selected.range, Some((_, "rate" | "irate" | "increase")));
        (selected.name.ends_with("_total") && !rated).then(|| format!("{} is not rated", selected.name))
    })
}
