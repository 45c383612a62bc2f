//! The files that are text: rules, alerts, provisioning and the runbook.

use super::alerts::Alert;
use super::causes::explained;
use super::rules::Recording;
use crate::model::Cause;
use serde_json::Value;
use std::fmt::Write;

/// What generated files begin with.
const HEAD: &str = "# Made by `hopwatch dashboards`: change that, not this.\n";

/// Data sources for Grafana. Its uid is what dashboards would be opened with.
pub(super) const DATASOURCES: &str = "\
apiVersion: 1
datasources:
  - name: Prometheus
    type: prometheus
    uid: prometheus
    access: proxy
    url: http://prometheus:9090
    isDefault: true
    editable: false
    jsonData:
      httpMethod: POST
      timeInterval: 15s
";

/// Where Grafana finds the dashboards.
pub(super) const PROVIDERS: &str = "\
apiVersion: 1
providers:
  - name: hopwatch
    folder: hopwatch
    type: file
    disableDeletion: true
    allowUiUpdates: false
    options:
      path: /var/lib/grafana/dashboards
";

/// `rules.yaml`.
pub(super) fn rules(recordings: &[Recording]) -> String {
    let mut out = format!("{HEAD}groups:\n  - name: hopwatch\n    rules:\n");
    for Recording { record, expr } in recordings {
        let _infallible = writeln!(out, "      - record: {record}\n        expr: |-\n{}", indented(expr, 10));
    }
    out
}

/// `alerts.yaml`.
pub(super) fn alerts(alerts: &[Alert], runbook: &str) -> String {
    let mut out = format!("{HEAD}groups:\n  - name: hopwatch-alerts\n    rules:\n");
    for alert in alerts {
        let labels = alert.labels.iter().map(|(name, value)| format!("          {name}: {}\n", quoted(value)));
        let _infallible = writeln!(
            out,
            "      - alert: {name}\n        expr: |-\n{expr}\n        for: {hold}\n        labels:\n          severity: {severity}\n{labels}\
             \x20       annotations:\n          summary: {summary}\n          description: {description}\n          dashboard: {dashboard}\n\
             \x20         runbook_url: {runbook}",
            name = alert.name,
            expr = indented(&alert.expr, 10),
            hold = alert.hold,
            severity = alert.severity,
            labels = labels.collect::<String>(),
            summary = quoted(&alert.summary),
            description = quoted(&alert.description),
            dashboard = quoted(&alert.dashboard),
            runbook = quoted(&format!("{runbook}#{}", anchor(alert.name))),
        );
    }
    out
}

/// `RUNBOOK.md`: a heading for each alert, then one for each cause.
pub(super) fn runbook(alerts: &[Alert]) -> String {
    let mut out = "\
<!-- Made by `hopwatch dashboards`: change that, not this. -->
# Runbook

A heading for each alert of `alerts.yaml`: what it means, where to look, what to do. Below are the causes that verdicts state.
Names in *italics* are panels of the dashboard before them.

"
    .to_owned();
    let mut told = "";
    for Alert { name, runbook, .. } in alerts {
        if *name != told {
            let _infallible = write!(
                out,
                "## {name}\n\n**Meaning.** {}\n\n**Look here.** {}\n\n**Do this.** {}\n\n",
                runbook.meaning, runbook.look, runbook.act
            );
        }
        told = name;
    }
    out.push_str("# Causes\n\n");
    for &cause in Cause::ALL {
        let of = explained(cause);
        let _infallible = write!(
            out,
            "## {cause}\n\n**Meaning.** {}\n\n**Look here.** {}\n\n**Do this.** {}\n\n",
            of.meaning, of.look, of.remedy
        );
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// The fragment that leads to a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase()
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}", "")).collect::<Vec<_>>().join("\n")
}

/// A text as a scalar of YAML: JSON's strings are such.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
