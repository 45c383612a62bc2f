//! Each alert fires under its fault, and reaches an Alertmanager with the right dependency's name.

use std::time::Duration;

use hopwatch::export::dashboards::{Parameters, files};
use serde_json::Value;

use crate::alertmanager::Alertmanager;
use crate::ask::wait_for;
use crate::prometheus::Prometheus;
use crate::scene::Scene;
use crate::support::part::part;

/// Each alert, with a label of it and a part of its message.
const EXPECTED: [(&str, (&str, &str), &str); 10] = [
    ("HopwatchDependencySlow", ("dependency", "search"), "retrieval/search takes "),
    ("HopwatchTimeoutsBurnBudget", ("run", "support"), "support times out: retrieval/docs in "),
    ("HopwatchHopOpenTooLong", ("dependency", "openai"), "A call to llm/openai hangs in wait"),
    ("HopwatchPoolSaturated", ("dependency", "lookup"), "Calls to tool/lookup wait for a connection"),
    ("HopwatchGateSaturated", ("gate", "model"), "Gate model is full"),
    ("HopwatchRateLimited", ("dependency", "openai"), "openai limits the rate"),
    ("HopwatchClientsRecreated", ("dependency", "docs"), "Clients of docs are built anew for each call"),
    ("HopwatchStartupSlow", ("job", "shop"), " to start"),
    ("HopwatchDropping", ("reason", "odd_names"), "loses what it sees"),
    ("HopwatchDown", ("job", "other"), "cannot be scraped"),
];

#[test]
fn each_alert_fires_under_its_fault_and_names_the_right_dependency() {
    let (Some(prometheus), Some(alertmanager), Some(_)) = (part("prometheus"), part("prometheus-alertmanager"), part("curl"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let parameters = Parameters {
        open_age: Duration::from_secs(3),
        startup_budget: Duration::from_millis(100),
        shrink: 20,
        ..Parameters::default()
    };
    for file in files(&parameters).iter().filter(|file| ["rules.yaml", "alerts.yaml"].contains(&file.path.as_str())) {
        std::fs::write(folder.path().join(&file.path), &file.text).unwrap();
    }
    let alertmanager = Alertmanager::start(&alertmanager);
    let mut scene = Scene::start();
    let other = scene.other.take().unwrap();
    let config = format!(
        "global: {{scrape_interval: 3s, evaluation_interval: 1s}}\nrule_files: ['{0}/rules.yaml', '{0}/alerts.yaml']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{1}']}}]}}]}}\n\
         {2}- job_name: other\n  static_configs:\n  - targets: ['{3}']\n",
        folder.path().display(),
        alertmanager.server.address,
        scene.jobs(),
        other.admin,
    );
    let prometheus = Prometheus::with(&prometheus, &config, &[]);
    // Slow calls become usual too: the more quick ones there are, the longer the alert stands.
    wait_for("all are seen, and what is usual", || {
        let down = prometheus.unscraped();
        let quick = prometheus.value("sum(hopwatch_hop_calls_total{dependency='search'})");
        if down.is_empty() && quick >= 2_000.0 { Ok(()) } else { Err(format!("{down:?}, {quick} calls")) }
    });
    drop(other);
    scene.slow_down();

    // One after the other, since what must go on for a while before it is told takes its time.
    let told = EXPECTED.map(|(name, (label, value), _)| {
        wait_for(name, || {
            let alerts = alertmanager.alerts();
            let is = |alert: &&Value| alert["labels"]["alertname"] == name && alert["labels"][label] == value;
            let told: Vec<String> = alerts.iter().map(|alert| alert["labels"].to_string()).collect();
            alerts.iter().find(is).cloned().ok_or_else(|| told.join("\n"))
        })
    });
    for ((name, _, message), alert) in EXPECTED.iter().zip(&told) {
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        assert!(summary.contains(*message), "{name}: {alert:#}");
        let anchor = format!("RUNBOOK.md#{}", name.to_lowercase());
        assert!(alert["annotations"]["runbook_url"].as_str().unwrap().ends_with(&anchor), "{alert:#}");
        assert!(!alert["annotations"].to_string().contains("error expanding"), "{alert:#}");
    }
    // What is well is named by none.
    let calm = alertmanager.alerts().into_iter().filter(|alert| {
        let of = |name: &str| alert["labels"]["alertname"] == name;
        let about = |value: &str| alert["labels"]["dependency"] == value;
        of("HopwatchRateLimited") && !about("openai") || of("HopwatchHopOpenTooLong") && !about("openai")
    });
    assert_eq!(calm.collect::<Vec<_>>(), Vec::<Value>::new());
}
