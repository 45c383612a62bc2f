//! Grafana's dashboards, Prometheus' rules and alerts, and the runbook, made of the metrics' own names.
//!
//! A metric or label that is renamed is renamed here too, since nothing here spells one. What is made is the same for the same
//! version and parameters, to the byte, so that what is committed can be compared.

mod alerts;
mod board;
mod boards;
mod causes;
mod panel;
mod parameters;
mod query;
mod rules;
mod text;

pub use parameters::Parameters;

use serde_json::Value;

/// A file that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder of the dashboards.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// All files, made with these parameters.
#[must_use]
pub fn files(parameters: &Parameters) -> Vec<File> {
    let alerts = alerts::alerts(parameters);
    let file = |path: &str, text: String| File { path: path.to_owned(), text };
    let boards = boards::all(&parameters.runbook).into_iter();
    let mut files: Vec<File> = boards.map(|board| file(&format!("{}.json", board.name), pretty(&board.json()))).collect();
    files.extend([
        file("rules.yaml", text::rules(&rules::recordings(parameters))),
        file("alerts.yaml", text::alerts(&alerts, &parameters.runbook)),
        file("RUNBOOK.md", text::runbook(&alerts)),
        file("provisioning/datasources/hopwatch.yaml", text::DATASOURCES.to_owned()),
        file("provisioning/dashboards/hopwatch.yaml", text::PROVIDERS.to_owned()),
    ]);
    files
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
