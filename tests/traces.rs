//! The critical-path and self-time cases of other projects, read from the shared traces beside the repository.
//!
//! Where hopwatch differs, the case is listed with the rule of the design page that makes it, and must go on to differ.

#![expect(clippy::unwrap_used, reason = "a broken trace file ends the test; clippy takes helpers of tests for other code")]

use hopwatch::attribution::{Charge, decompose, self_times};
use hopwatch::model::{Role, Span};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Case, and the rule that makes it differ.
type Differences = &'static [(&'static str, &'static str)];

/// The cases of one folder, by file name; `None` where the shared traces are not there.
fn cases(folder: &str) -> Option<BTreeMap<String, Value>> {
    let shared = std::env::var_os("HOPWATCH_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("traces").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there (set HOPWATCH_SHARED)", folder.display());
        return None;
    };
    let files = entries.map(|entry| entry.unwrap().path());
    let cases = files.map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
    });
    Some(cases.collect())
}

/// Spans with the ids the file gives them, in the file's own unit of time.
struct Trace {
    spans: Vec<Span>,
    ids: Vec<String>,
}

/// Reads Jaeger's JSON.
fn jaeger(case: &Value) -> Trace {
    let trace = &case["trace"];
    let mut numbers: HashMap<String, u64> = HashMap::new();
    let mut number = |id: &str| {
        let next = numbers.len() as u64 + 1;
        *numbers.entry(id.to_owned()).or_insert(next)
    };
    let (mut spans, mut ids) = (Vec::new(), Vec::new());
    for raw in trace["spans"].as_array().unwrap() {
        let id = raw["spanID"].as_str().unwrap();
        let reference = raw["references"].as_array().and_then(|all| all.first());
        let parent = reference.map(|reference| number(reference["spanID"].as_str().unwrap()));
        let service = trace["processes"][raw["processID"].as_str().unwrap()]["serviceName"].as_str().unwrap();
        let start = raw["startTime"].as_u64().unwrap();
        let end = start + raw["duration"].as_u64().unwrap();
        let mut span =
            Span::new(number(id), parent, service.into(), raw["operationName"].as_str().unwrap().into(), start, Some(end));
        span.follows_from = reference.is_some_and(|reference| reference["refType"] == "FOLLOWS_FROM");
        let tags = raw["tags"].as_array().map_or(&[][..], Vec::as_slice);
        span.role = match tags.iter().find(|tag| tag["key"] == "span.kind").and_then(|tag| tag["value"].as_str()) {
            Some("server") => Role::Server,
            Some("client") => Role::Client,
            Some("producer") => Role::Producer,
            Some("consumer") => Role::Consumer,
            _ => Role::Internal,
        };
        spans.push(span);
        ids.push(id.to_owned());
    }
    Trace { spans, ids }
}

/// Reads the Collector's spans.
fn collector(case: &Value) -> Trace {
    let service = case["service"].as_str().unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let time = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let raw = case["spans"].as_array().unwrap();
    let ids: Vec<String> = raw.iter().map(|raw| raw["spanId"].as_str().unwrap().to_owned()).collect();
    let spans = raw.iter().zip(&ids).map(|(raw, id)| {
        let parent = number(raw["parentSpanId"].as_str().unwrap());
        let (start, end) = (time(&raw["startTimeUnixNano"]), time(&raw["endTimeUnixNano"]));
        Span::new(number(id).unwrap(), parent, service.into(), raw["name"].as_str().unwrap().into(), start, Some(end))
    });
    Trace { spans: spans.collect(), ids }
}

/// Compares every case; the ones that differ must be the listed ones.
fn compare<T: PartialEq + std::fmt::Debug>(folder: &str, differences: Differences, mut both: impl FnMut(&str, &Value) -> (T, T)) {
    let Some(cases) = cases(folder) else { return };
    let listed: BTreeSet<&str> = differences.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let (ours, expected) = both(name, case);
        if (ours == expected) == listed.contains(name.as_str()) {
            wrong.push(format!("{name}: {ours:?}, expected {expected:?}, listed: {}", listed.contains(name.as_str())));
        }
    }
    assert!(wrong.is_empty(), "{folder}:\n{}", wrong.join("\n"));
    assert!(listed.iter().all(|name| cases.contains_key(*name)), "a listed case is not there");
    println!("{folder}: {} of {} as there, {} differ by rule", cases.len() - listed.len(), cases.len(), listed.len());
}

#[test]
fn critical_paths_are_those_of_jaeger() {
    const DIFFERENCES: Differences = &[];
    compare("jaeger-ui-critical-path", DIFFERENCES, |_, case| {
        let trace = jaeger(case);
        let run = &decompose(&trace.spans, None).trees[0];
        let ours: Vec<_> =
            run.sections.iter().map(|section| (trace.ids[section.span].clone(), section.start, section.end)).collect();
        let Some(expected) = case["expected"]["critical_path_sections"].as_array() else {
            // The agent's trace has no expected path: its sections must be whole.
            let sum: u64 = run.sections.iter().map(|section| section.end - section.start).sum();
            assert_eq!(sum, run.end - run.start);
            return (vec![], vec![]);
        };
        let time = |section: &Value, key: &str| section[key].as_u64().unwrap();
        let expected = expected.iter().map(|section| {
            (section["spanID"].as_str().unwrap().to_owned(), time(section, "sectionStart"), time(section, "sectionEnd"))
        });
        (ours, expected.collect())
    });
}

#[test]
fn exclusive_times_are_those_of_crisp() {
    const OVERLAP: &str =
        "rule 6: siblings in series that overlap a little are clamped, so that the parts sum to the root; CRISP keeps them whole";
    const DIFFERENCES: Differences = &[
        ("7", "rule 7: a server span that is not inside its client's, and no longer, is centred; CRISP cuts what hangs over"),
        ("10", OVERLAP),
        ("19", OVERLAP),
        ("20", OVERLAP),
        ("21", OVERLAP),
    ];
    compare("crisp-critical-path", DIFFERENCES, |_, case| {
        let trace = jaeger(case);
        let mut ours: BTreeMap<String, u64> = BTreeMap::new();
        for section in &decompose(&trace.spans, None).trees[0].sections {
            let span = &trace.spans[section.span];
            *ours.entry(format!("[{}] {}", span.service, span.operation)).or_default() += section.end - section.start;
        }
        let expected = case["expected"]["exclusive_us_by_op"].as_object().unwrap();
        // An operation that took nothing is left out here.
        let expected = expected.iter().map(|(name, time)| (name.clone(), time.as_u64().unwrap())).filter(|&(_, time)| time > 0);
        (ours, expected.collect())
    });
}

#[test]
fn self_times_are_those_of_jaeger() {
    /// Which row of Jaeger's table each case reads: a service, or one of its operations.
    fn row(name: &str) -> (&'static str, Option<&'static str>) {
        match name {
            "spanLongerAsParent" => ("api-gateway", Some("GET /owners/8/pets/10")),
            "spanAmongEachOtherGroupedAndSpans" | "spansAmongEachOther" | "spansAmongEachOtherGrouped" => {
                ("customers-service", Some("GET /owners"))
            }
            _ => ("service-one", None),
        }
    }
    /// Microseconds as hundredths of a millisecond, half up.
    const fn hundredths(micros: u64) -> u64 {
        (micros + 5) / 10
    }
    const DIFFERENCES: Differences = &[];
    compare("jaeger-ui-self-time", DIFFERENCES, |name, case| {
        let trace = jaeger(case);
        let times = self_times(&trace.spans);
        let sum = |of: &dyn Fn(&Span) -> bool| {
            hundredths(trace.spans.iter().zip(&times).filter(|(span, _)| of(span)).map(|(_, time)| time).sum())
        };
        let expected = |value: &Value| (value.as_f64().unwrap() * 100.0).round() as u64;
        let Some(single) = case["expected"].get("self_time_total_ms_2digits") else {
            let rows = |key: &str| {
                case["expected"][key].as_array().unwrap().iter().map(|row| expected(&row["self_ms"])).collect::<Vec<_>>()
            };
            let services = ["api-gateway", "customers-service"].map(|name| sum(&|span| &*span.service == name));
            let operations =
                ["GET /api/customer/owners/8/pets/10", "GET /owners/8/pets/10", "HikariProxyPreparedStatement.executeQuery"];
            let operations = operations.map(|name| sum(&|span| &*span.operation == name));
            return ([&services[..], &operations[..]].concat(), [rows("by_service_rows"), rows("by_operation_rows")].concat());
        };
        let (service, operation) = row(name);
        let ours = sum(&|span| &*span.service == service && operation.is_none_or(|operation| &*span.operation == operation));
        (vec![ours], vec![expected(single)])
    });
}

#[test]
fn self_times_are_those_of_the_collector() {
    const DIFFERENCES: Differences = &[
        (
            "duplicate_span_ids_omit_trace",
            "attribution, section 5: of duplicate ids the first is kept and the rest counted; the Collector omits the trace",
        ),
        (
            "partial_trace_omits",
            "attribution, section 5: an orphan inside the root hangs off it and is counted; the Collector omits the trace",
        ),
    ];
    compare("otelcol-self-time", DIFFERENCES, |_, case| {
        let trace = collector(case);
        let ours: BTreeMap<String, u64> = trace.ids.iter().cloned().zip(self_times(&trace.spans)).collect();
        let expected = case["expected"]["self_time_ns"].as_object().unwrap();
        (ours, expected.iter().map(|(id, time)| (id.clone(), time.as_u64().unwrap())).collect())
    });
}

#[test]
fn time_of_a_call_that_no_server_span_covers_is_charged_to_the_callee() {
    let Some(cases) = cases("jaeger-ui-critical-path") else { return };
    let trace = jaeger(&cases["genaiTestTrace"]);
    for section in &decompose(&trace.spans, None).trees[0].sections {
        let span = &trace.spans[section.span];
        let callee = section.charge == Charge::Callee;
        assert!(callee || span.role != Role::Client, "{}", span.operation);
        assert!(!callee || span.role != Role::Server, "{}", span.operation);
    }
}
