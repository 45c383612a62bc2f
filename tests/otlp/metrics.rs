//! Metrics of the facade at real receivers.

use std::collections::BTreeMap;

use hopwatch::export::otlp::{Exporter, OtlpConfig};
use metrics::{Unit, counter, describe_histogram, gauge, histogram};
use serde_json::Value;

use crate::collector::real::Receiver;
use crate::collector::seen::{attributes, list};
use crate::samples::{BOTH, PATIENCE, counts, is, push};

/// The metrics of the last request by their names.
fn last(requests: &[Value]) -> BTreeMap<String, Value> {
    let Some(last) = requests.last() else { return BTreeMap::new() };
    let resources = list(&last["resourceMetrics"]);
    let scopes = resources.iter().flat_map(|resource| list(&resource["scopeMetrics"]));
    let metrics = scopes.flat_map(|scope| list(&scope["metrics"]));
    metrics.map(|metric| (metric["name"].as_str().unwrap().to_owned(), metric.clone())).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn real_receivers_get_counters_gauges_and_histograms_over_both_transports() {
    for receiver in Receiver::all() {
        for protocol in BOTH {
            let mut config = OtlpConfig::new(&receiver.endpoint(protocol), protocol).with_resource("service.name", "shop");
            config.metric_interval = PATIENCE * 10;
            let exporter = Exporter::start(&config).unwrap();
            let name = format!("shop_orders_{}", protocol as u8);
            let calls =
                exporter.recording(|| histogram!("gen_ai_client_operation_duration_seconds", "gen_ai_operation_name" => "chat"));
            calls.record(0.3);
            let (orders, waiting, took) = exporter.recording(|| {
                describe_histogram!("shop_order_seconds", Unit::Seconds, "What an order takes");
                let labels = [("kind", "book")];
                (counter!(name.clone(), &labels), gauge!("shop_waiting"), histogram!("shop_order_seconds", &labels))
            });
            orders.increment(3);
            orders.increment(4);
            waiting.set(2.5);
            [0.25, 0.5, 20.0].into_iter().for_each(|seconds| took.record(seconds));
            assert!(exporter.flush(PATIENCE), "{}", receiver.name);
            let requests = receiver.requests("metrics", |requests| last(requests).contains_key(&name));
            let metrics = last(&requests);
            let sum = &metrics[&name]["sum"];
            assert_eq!((&sum["isMonotonic"], &sum["aggregationTemporality"]), (&Value::Bool(true), &Value::from(2)), "{sum}");
            let point = &list(&sum["dataPoints"])[0];
            assert_eq!(number(&point["asInt"]), 7.0, "{point}");
            assert_eq!(attributes(&point["attributes"])["kind"], "book");
            assert_eq!(number(&list(&metrics["shop_waiting"]["gauge"]["dataPoints"])[0]["asDouble"]), 2.5);
            let histogram = &metrics["shop_order_seconds"];
            assert_eq!((&histogram["unit"], &histogram["description"]), (&"s".into(), &"What an order takes".into()));
            let point = &list(&histogram["histogram"]["dataPoints"])[0];
            assert_eq!((number(&point["count"]), number(&point["sum"])), (3.0, 20.75));
            let point = &list(&metrics["gen_ai.client.operation.duration"]["histogram"]["dataPoints"])[0];
            let bounds: Vec<f64> = list(&point["explicitBounds"]).iter().map(number).collect();
            assert_eq!(bounds, hopwatch::model::names::GEN_AI_SECONDS, "the buckets of the conventions");
            assert_eq!(attributes(&point["attributes"])["gen_ai.operation.name"], "chat");
            // Spans go the same way meanwhile.
            push(&exporter, 1..4);
            is(exporter.shutdown(PATIENCE), 3, 0, [0, 0, 0]);
        }
    }
}

#[test]
fn the_last_metrics_leave_at_the_end() {
    let Some(receiver) = Receiver::collector() else { return };
    for protocol in BOTH {
        let mut config = OtlpConfig::new(&receiver.endpoint(protocol), protocol);
        config.metric_interval = PATIENCE * 10;
        let exporter = Exporter::start(&config).unwrap();
        let name = format!("shop_last_{}", protocol as u8);
        exporter.recording(|| counter!(name.clone())).increment(1);
        exporter.shutdown(PATIENCE);
        receiver.requests("metrics", |requests| last(requests).contains_key(&name));
    }
}

#[test]
fn a_collector_is_trusted_by_its_authority_and_trusts_by_a_certificate() {
    let Some(receiver) = Receiver::collector_with_tls() else { return };
    let tls = receiver.tls.as_ref().unwrap();
    for protocol in BOTH {
        let mut config = OtlpConfig::new(&receiver.endpoint(protocol), protocol);
        for signal in [&mut config.traces, &mut config.metrics].into_iter().flatten() {
            signal.certificate = Some(tls.authority.clone());
            signal.client_certificate = Some(tls.client.clone());
            signal.client_key = Some(tls.client_key.clone());
        }
        let exporter = Exporter::start(&config).unwrap();
        exporter.recording(|| counter!("shop_tls")).increment(1);
        push(&exporter, 1..11);
        assert!(exporter.flush(PATIENCE), "{:?}", exporter.last_error());
        is(counts(&exporter), 10, 0, [0, 0, 0]);

        let mut nameless = config.clone();
        nameless.metrics = None;
        let signal = nameless.traces.as_mut().unwrap();
        (signal.client_certificate, signal.client_key) = (None, None);
        let exporter = Exporter::start(&nameless).unwrap();
        push(&exporter, 1..11);
        assert!(!exporter.flush(std::time::Duration::from_millis(500)), "without a certificate it is turned away");
        is(exporter.shutdown(std::time::Duration::ZERO), 0, 0, [0, 0, 10]);
    }
}
