//! A service that times its calls with the library: what Prometheus scraped from its handle is what its report says.

use std::time::Duration;

use hopwatch::{Ending, Hopwatch, Kind, Outcome};
use serde_json::Value;

use crate::ask::wait_for;
use crate::prometheus::{Prometheus, Scraped, check_metrics};
use crate::support::part::part;

const ROUNDS: usize = 5;

#[test]
fn what_prometheus_scraped_from_a_handle_is_what_its_report_says() {
    let (Some(prometheus), Some(promtool)) = (part("prometheus"), part("promtool")) else { return };
    let watch = Hopwatch::builder().service("shop").prometheus(([127, 0, 0, 1], 0)).build().unwrap();
    let prometheus = Prometheus::scraping(&prometheus, &watch.metrics_address().unwrap().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (docs, model) = (watch.hop(Kind::Retrieval, "docs"), watch.hop(Kind::Llm, "openai"));
    let gate = watch.gate("model", 1);
    runtime.block_on(async {
        for round in 0..ROUNDS {
            let work = async {
                docs.time(tokio::time::sleep(Duration::from_millis(5))).await;
                let gated = model.gated(&gate);
                let answer = || gated.classify(tokio::time::sleep(Duration::from_millis(5)), |()| Ending::of_status(200));
                tokio::join!(answer(), answer());
                if round == 0 {
                    model.start().end(Ending::of(Outcome::RateLimited));
                }
            };
            watch.scope("support").run(work).await.unwrap();
        }
    });
    let open = docs.start();

    wait_for("Prometheus has every call that ended", || {
        let calls = prometheus.value("sum(hopwatch_hop_calls_total)");
        if calls >= (3 * ROUNDS + 1) as f64 { Ok(()) } else { Err(format!("{calls} calls")) }
    });
    assert_eq!(prometheus.value("hopwatch_runs_total{run='support',outcome='ok'}"), ROUNDS as f64);
    assert_eq!(prometheus.value("hopwatch_run_duration_seconds_count{run='support'}"), ROUNDS as f64);
    assert_eq!(prometheus.value("hopwatch_gate_wait_seconds_count{gate='model'}"), (2 * ROUNDS) as f64);
    assert_eq!(prometheus.value("hopwatch_hop_in_flight{dependency='docs'}"), 1.0);
    let identity = "hopwatch_hops_started_total - hopwatch_hops_recorded_total - sum(hopwatch_hop_in_flight)";
    assert_eq!(prometheus.value(&format!("sum({identity})")), 0.0);
    check_metrics(&promtool, &watch.metrics().unwrap());
    let scraped = Scraped::of(&prometheus);
    let report: Value = serde_json::to_value(watch.report()).unwrap();
    scraped.equals(&report, None);
    drop(open);
}
