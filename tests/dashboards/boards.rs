//! What is made, as tests look at it.

use hopwatch::export::dashboards::{File, Parameters, files};
use serde_json::Value;

/// A query of a panel.
pub(crate) struct Target {
    /// The dashboard and the panel.
    pub(crate) place: String,
    pub(crate) expr: String,
    pub(crate) legend: String,
    pub(crate) format: String,
    pub(crate) instant: bool,
}

/// What is made by default.
pub(crate) fn made() -> Vec<File> {
    files(&Parameters::default())
}

/// One of the files.
#[track_caller]
pub(crate) fn file(path: &str) -> String {
    made().into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path} is made")).text
}

/// The dashboards.
pub(crate) fn boards() -> Vec<Value> {
    let boards = made().into_iter().filter(|file| file.path.ends_with(".json"));
    boards.map(|file| serde_json::from_str(&file.text).unwrap()).collect()
}

pub(crate) fn panels(board: &Value) -> &[Value] {
    board["panels"].as_array().unwrap()
}

pub(crate) fn variables(board: &Value) -> &[Value] {
    board["templating"]["list"].as_array().unwrap()
}

/// The queries of all panels of a dashboard.
pub(crate) fn targets(board: &Value) -> Vec<Target> {
    let of_panel = |panel: &Value| {
        let place = format!("{} › {}", board["title"].as_str().unwrap(), panel["title"].as_str().unwrap_or("(no title)"));
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let text = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
        let target = move |target: &Value| Target {
            place: place.clone(),
            expr: text(target, "expr"),
            legend: text(target, "legendFormat"),
            format: text(target, "format"),
            instant: target["instant"] == true,
        };
        targets.iter().map(target).collect::<Vec<_>>()
    };
    panels(board).iter().flat_map(of_panel).collect()
}

/// A query as Grafana sends it: its own variables filled in, then those of the dashboard.
pub(crate) fn filled(expr: &str, interval: &str, range: &str, variables: &[(&str, &str)]) -> String {
    let mut text = expr.replace("$__rate_interval", interval).replace("$__range", range);
    for (name, value) in variables {
        text = text.replace(&format!("${name}"), value);
    }
    assert!(!text.replace("\"$1\"", "").contains('$'), "a variable that nobody fills in: {text}");
    text
}

/// Filled in with what chooses everything, to be read and not evaluated.
pub(crate) fn readable(expr: &str) -> String {
    let all = [("namespace", ".*"), ("job", ".+"), ("instance", ".+"), ("run", ".+"), ("dependency", ".+"), ("model", ".*")];
    filled(expr, "5m", "1h", &all)
}
