//! Names that mean harm do none in Prometheus' text, to Prometheus, or in what an alert says.

use std::time::Duration;

use hopwatch::{Ending, Hopwatch, Kind, Outcome};

use crate::ask::wait_for;
use crate::prometheus::{Prometheus, check_metrics, targets};
use crate::support::part::part;

/// What is told, and what it is shown as.
fn names() -> Vec<(String, String)> {
    let endless = "x".repeat(10_000);
    let cut = format!("{}…", "x".repeat(120));
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\u{202e}b\u{2066}c\u{200f}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
        ("two\nlines\r\n# HELP x y", "two\u{fffd}lines\u{fffd}\u{fffd}# HELP x y"),
        ("\"quoted\"} 1", "\"quoted\"} 1"),
        ("back\\slash\\n", "back\\slash\\n"),
        ("{{ $value }} {{ query \"up\" }}", "{{ $value }} {{ query \"up\" }}"),
        (&endless, &cut),
    ]
    .map(|(told, shown)| (told.to_owned(), shown.to_owned()))
    .to_vec()
}

#[test]
fn hostile_names_are_scraped_as_names_and_nothing_else() {
    let (Some(program), Some(promtool)) = (part("prometheus"), part("promtool")) else { return };
    let watch = Hopwatch::builder().service("shop").prometheus(([127, 0, 0, 1], 0)).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gates: Vec<_> = names().iter().map(|(told, _)| watch.gate(told, 1)).collect();
    runtime.block_on(async {
        for ((told, _), gate) in names().iter().zip(&gates) {
            let hop = watch.hop(Kind::Tool, told);
            let late = async {
                drop(gate.acquire().await);
                hop.start().end(Ending::of(Outcome::Error));
                hop.time(tokio::time::sleep(Duration::from_secs(60))).await;
            };
            watch.scope(told).deadline(Duration::from_millis(30)).run(late).await.unwrap_err();
        }
    });
    check_metrics(&promtool, &watch.metrics().unwrap());
    let config =
        format!("global: {{scrape_interval: 1s}}\n{}", targets(&[("shop", &watch.metrics_address().unwrap().to_string())]));
    let prometheus = Prometheus::with(&program, &config, &[]);
    wait_for("Prometheus has all", || {
        let runs = prometheus.value("count(hopwatch_runs_total)");
        if runs >= names().len() as f64 { Ok(()) } else { Err(format!("{runs} runs")) }
    });
    assert_eq!(prometheus.value("up"), 1.0);
    for (metric, label) in [
        ("hopwatch_hop_calls_total", "dependency"),
        ("hopwatch_runs_total", "run"),
        ("hopwatch_gate_limit", "gate"),
        ("hopwatch_verdicts_total", "run"),
    ] {
        let mut found: Vec<String> = prometheus
            .query(&format!("count by ({label}) ({metric})"))
            .iter()
            .map(|(labels, _)| labels[label].as_str().unwrap().to_owned())
            .collect();
        found.sort_unstable();
        let mut shown: Vec<String> = names().into_iter().map(|(_, shown)| shown).collect();
        shown.sort_unstable();
        assert_eq!(found, shown, "{metric}");
    }
    // No line of theirs has become a series of its own.
    assert_eq!(prometheus.query("{job='shop',__name__!~'hopwatch_.*|gen_ai_.*|http_.*|up|scrape_.*'}"), []);
}
