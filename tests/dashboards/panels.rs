//! Every panel's query returns data of the right shape from a real Prometheus that scrapes a real agent under faults.

use serde_json::Value;

use crate::ask::wait_for;
use crate::boards::{Target, boards, filled, panels, targets};
use crate::prometheus::Prometheus;
use crate::scene::Scene;
use crate::support::part::part;

/// The window of rates: several scrapes.
const INTERVAL: &str = "30s";
/// The time shown.
const RANGE: &str = "1m";

/// How Grafana fills in variables of which nothing was chosen, and one dependency.
const VARIABLES: [(&str, &str); 6] =
    [("namespace", ".*"), ("job", ".+"), ("instance", ".+"), ("run", ".+"), ("dependency", DEPENDENCY), ("model", ".*")];
/// Of dashboards of one dependency, the one with everything.
const DEPENDENCY: &str = "openai";

#[test]
fn every_panel_has_data_of_its_shape_under_the_faults_it_is_made_for() {
    let (Some(prometheus), Some(_)) = (part("prometheus"), part("curl")) else { return };
    let scene = Scene::start();
    let config = format!("global: {{scrape_interval: 2s}}\n{}", scene.jobs());
    let prometheus = Prometheus::with(&prometheus, &config, &[]);
    let boards = boards();
    let all: Vec<(&Value, Target)> =
        boards.iter().flat_map(|board| targets(board).into_iter().map(move |target| (board, target))).collect();
    assert!(all.len() > 80, "{}", all.len());
    wait_for("all is scraped", || {
        let (down, long) = (prometheus.unscraped(), prometheus.value("sum(hopwatch_series_overflow_total)"));
        if down.is_empty() && long > 0.0 { Ok(()) } else { Err(format!("{down:?}")) }
    });
    wait_for("every panel has data", || {
        let empty: Vec<String> = all.iter().filter_map(|(board, target)| wrong(&prometheus, board, target).err()).collect();
        if empty.is_empty() { Ok(()) } else { Err(empty.join("\n")) }
    });
    assert_eq!(variables_have_values(&prometheus, &boards), Vec::<String>::new());
}

/// What is wrong with what a panel's query returns.
fn wrong(prometheus: &Prometheus, board: &Value, target: &Target) -> Result<(), String> {
    let variables = VARIABLES.map(|(name, value)| {
        let chooses_one = board["uid"] == "hopwatch-dependency";
        (name, if name == "dependency" && !chooses_one { ".+" } else { value })
    });
    let query = filled(&target.expr, INTERVAL, RANGE, &variables);
    let fail = |what: &str| Err(format!("{}: {what}: {query}", target.place));
    let series = if target.instant { prometheus.query(&query) } else { prometheus.range(&query) };
    let finite: Vec<&(Value, f64)> = series.iter().filter(|(_, value)| value.is_finite()).collect();
    if finite.is_empty() {
        return fail(if series.is_empty() { "no series" } else { "no number" });
    }
    let labels = target.legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    // A verdict may have no cause.
    for label in labels.filter(|label| *label != "cause") {
        if finite.iter().all(|(labels, _)| labels[label].is_null()) {
            return fail(&format!("no label {label}"));
        }
    }
    let panel = panels(board).iter().find(|panel| target.place.ends_with(&format!("› {}", panel["title"].as_str().unwrap())));
    let panel = panel.unwrap();
    match panel["type"].as_str().unwrap() {
        "stat" if finite.len() != 1 => fail("more than one number"),
        "heatmap" if target.format != "heatmap" || finite.iter().filter(|(labels, _)| labels["le"].is_string()).count() < 3 => {
            fail("no buckets")
        }
        "table" if target.format != "table" => fail("no table"),
        _ if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" && finite.iter().any(|(_, value)| *value > 1.000_1) => {
            fail("a share above 1")
        }
        _ => Ok(()),
    }
}

/// The variables of dashboards that have nothing to choose.
fn variables_have_values(prometheus: &Prometheus, boards: &[Value]) -> Vec<String> {
    let queries = boards.iter().flat_map(|board| board["templating"]["list"].as_array().unwrap());
    let has_none = |variable: &Value| {
        let query = variable["query"]["query"].as_str()?;
        let (selector, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")?;
        let found = prometheus.query(&filled(selector, INTERVAL, RANGE, &VARIABLES));
        let has = found.iter().any(|(labels, _)| labels[label].is_string());
        (!has).then(|| query.to_owned())
    };
    queries.filter_map(has_none).collect()
}
