//! A dashboard: its variables, its links and its panels.

use super::panel::{Lead, Panel, datasource, placed};
use super::query::{TARGET, chosen_targets};
use crate::model::names::{self, Metric, label};
use serde_json::{Value, json};

/// What dashboards of hopwatch are tagged with, so that they find each other.
const TAG: &str = "hopwatch";
/// The version of Grafana's dashboard JSON that this is (Grafana 11).
const SCHEMA: u32 = 39;

/// Whom a dashboard is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// Any number of runs.
    Runs,
    /// Any number of dependencies.
    Dependencies,
    /// One dependency.
    Dependency,
    /// Any number of models.
    Models,
}

/// A dashboard.
#[derive(Debug)]
pub(super) struct Board {
    /// The file's name without its extension; the uid is `hopwatch-` and this.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) variables: &'static [Variable],
    pub(super) panels: Vec<Panel>,
}

impl Board {
    /// The JSON that Grafana reads. The same for the same version of hopwatch, to the byte.
    pub(super) fn json(&self) -> Value {
        let mut variables = vec![source(), namespace(), job(), instance()];
        variables.extend(self.variables.iter().map(|variable| variable.json()));
        json!({
            "uid": uid(self.name),
            "title": format!("hopwatch / {}", self.title),
            "description": self.description,
            "tags": [TAG],
            "editable": false,
            "graphTooltip": 1,
            "timezone": "utc",
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "schemaVersion": SCHEMA,
            "templating": {"list": variables},
            "annotations": {"list": []},
            "links": [{
                "type": "dashboards",
                "title": "hopwatch",
                "tooltip": "The other dashboards, with the time and the variables of this one",
                "icon": "external link",
                "tags": [TAG],
                "asDropdown": true,
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
                "url": "",
            }],
            "panels": placed(&self.panels),
        })
    }
}

/// To the dashboard of the dependency that a series is about.
pub(super) fn to_dependency() -> Lead {
    Lead { title: "This dependency", url: url("dependency", "&var-dependency=${__field.labels.dependency}"), column: None }
}

/// To the dashboard of the runs of a series' name.
pub(super) fn to_run() -> Lead {
    Lead { title: "Runs of this name", url: url("timeouts", "&var-run=${__field.labels.run}"), column: None }
}

fn url(name: &str, more: &str) -> String {
    let variables =
        ["datasource"].into_iter().chain(TARGET).map(|name| format!("${{{name}:queryparam}}")).collect::<Vec<_>>().join("&");
    format!("/d/{}?${{__url_time_range}}&{variables}{more}", uid(name))
}

pub(super) fn uid(name: &str) -> String {
    format!("{TAG}-{name}")
}

impl Variable {
    fn json(self) -> Value {
        match self {
            Self::Runs => several(label::RUN, "Run", &of_chosen(&names::RUNS, label::RUN), ".+"),
            Self::Dependencies => {
                several(label::DEPENDENCY, "Dependency", &of_chosen(&names::HOP_CALLS, label::DEPENDENCY), ".+")
            }
            Self::Dependency => {
                query(label::DEPENDENCY, "Dependency", &of_chosen(&names::HOP_CALLS, label::DEPENDENCY), json!({"multi": false}))
            }
            // A call that names no model has no label.
            Self::Models => several("model", "Model", &of_chosen(&names::TIME_PER_OUTPUT_TOKEN, label::GEN_AI_MODEL), ".*"),
        }
    }
}

/// The values of a label among the series that the variables before choose, in either form of a histogram.
fn of_chosen(metric: &Metric, label: &str) -> String {
    let chosen = chosen_targets();
    if metric.buckets.is_empty() {
        return format!("label_values({}{{{chosen}}}, {label})", metric.name);
    }
    format!("label_values({{__name__=~\"{}(_count)?\",{chosen}}}, {label})", metric.name)
}

fn source() -> Value {
    json!({
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "regex": "",
    })
}

/// Empty where scrapes say nothing of namespaces, so that what has none is chosen too.
fn namespace() -> Value {
    several("namespace", "Namespace", &format!("label_values({}, namespace)", names::BUILD_INFO.name), ".*")
}

fn job() -> Value {
    let of = format!("label_values({}{{namespace=~\"$namespace\"}}, job)", names::BUILD_INFO.name);
    several("job", "Job", &of, ".+")
}

fn instance() -> Value {
    let of = format!("label_values({}{{namespace=~\"$namespace\",job=~\"$job\"}}, instance)", names::BUILD_INFO.name);
    several("instance", "Instance", &of, ".+")
}

fn several(name: &str, label: &str, of: &str, all: &str) -> Value {
    let current = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    query(name, label, of, json!({"multi": true, "includeAll": true, "allValue": all, "current": current}))
}

fn query(name: &str, label: &str, of: &str, more: Value) -> Value {
    let mut variable = json!({
        "type": "query",
        "name": name,
        "label": label,
        "datasource": datasource(),
        "query": {"query": of, "refId": name},
        // On each change of the time range: what was there then is what can be chosen.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "regex": "",
        "includeAll": false,
    });
    if let (Some(variable), Value::Object(more)) = (variable.as_object_mut(), more) {
        variable.extend(more);
    }
    variable
}
