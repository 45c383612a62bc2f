//! Each alert fires under its fault, and reaches an Alertmanager with the right dependency's name.

use std::collections::BTreeMap;
use std::time::Duration;

use hopwatch::export::dashboards::{Parameters, files};
use serde_json::Value;

use crate::alertmanager::Alertmanager;
use crate::ask::wait_for;
use crate::prometheus::{Prometheus, targets};
use crate::scene::Scene;
use crate::support::part::part;

/// Each alert, with a label of it and a part of its message.
const EXPECTED: [(&str, (&str, &str), &str); 10] = [
    ("HopwatchTimeoutsBurnBudget", ("run", "support"), "support times out: retrieval/docs in wait"),
    ("HopwatchDependencySlow", ("dependency", "search"), "retrieval/search takes "),
    ("HopwatchHopOpenTooLong", ("dependency", "openai"), "A call to llm/openai hangs in wait"),
    ("HopwatchPoolSaturated", ("dependency", "lookup"), "Calls to tool/lookup wait for a connection"),
    ("HopwatchGateSaturated", ("gate", "model"), "Gate model is full"),
    ("HopwatchRateLimited", ("dependency", "openai"), "openai limits the rate"),
    ("HopwatchClientsRecreated", ("dependency", "docs"), "Clients of docs are built anew for each call"),
    ("HopwatchStartupSlow", ("job", "shop"), " to start"),
    ("HopwatchDropping", ("reason", "buffer_full"), "loses what it sees"),
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
        shrink: 60,
        ..Parameters::default()
    };
    for file in files(&parameters).iter().filter(|file| ["rules.yaml", "alerts.yaml"].contains(&file.path.as_str())) {
        std::fs::write(folder.path().join(&file.path), &file.text).unwrap();
    }
    let alertmanager = Alertmanager::start(&alertmanager);
    let mut scene = Scene::start();
    let other = scene.other.take().unwrap();
    let jobs = [
        ("hopwatch", scene.agent.admin.as_str()),
        ("shop", scene.services[0].as_str()),
        ("tenants", scene.services[1].as_str()),
        ("other", other.admin.as_str()),
    ];
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{0}/rules.yaml', '{0}/alerts.yaml']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{1}']}}]}}]}}\n{2}",
        folder.path().display(),
        alertmanager.address,
        targets(&jobs)
    );
    let prometheus = Prometheus::with(&prometheus, &config, &[]);
    wait_for("all are seen, and what is usual", || {
        let up = prometheus.value("count(present_over_time(hopwatch_build_info[1m]))");
        let quick = prometheus.value("sum(hopwatch_hop_calls_total{dependency='search'})");
        if up == 4.0 && quick >= 300.0 { Ok(()) } else { Err(format!("{up} up, {quick} calls")) }
    });
    drop(other);
    scene.slow_down();

    let told: BTreeMap<String, Value> = wait_for("each alert is told", || {
        let mut told = BTreeMap::new();
        let alerts = alertmanager.alerts();
        for (name, (label, value), _) in EXPECTED {
            let is = |alert: &&Value| alert["labels"]["alertname"] == name && alert["labels"][label] == value;
            if let Some(alert) = alerts.iter().find(is) {
                told.insert(name.to_owned(), alert.clone());
            }
        }
        let missing: Vec<&str> = EXPECTED.iter().map(|(name, ..)| *name).filter(|name| !told.contains_key(*name)).collect();
        if missing.is_empty() { Ok(told) } else { Err(format!("not {missing:?}")) }
    });
    for (name, _, message) in EXPECTED {
        let alert = &told[name];
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        assert!(summary.contains(message), "{name}: {alert:#}");
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
