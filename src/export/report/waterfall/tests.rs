use super::*;
use crate::export::report::Report;
use crate::export::report::read::read;
use serde_json::{Value, json};

/// The JSON of a hop.
fn hop(id: &str, kind: &str, dependency: &str, started_ms: f64, duration_ms: f64, phases: Value) -> Value {
    let absent = |value: &Value| value.is_null();
    let mut all = json!({
        "gate": null, "pool": null, "dns": null, "connect": null, "proxy": null, "tls": null, "send": null, "wait": null,
        "first_token": null, "stream": null, "backoff": null, "stall": null, "self": null,
    });
    for (phase, time) in phases.as_object().unwrap() {
        assert!(absent(&all[phase]), "a phase by its name");
        all[phase] = time.clone();
    }
    json!({
        "id": id, "parent_id": null, "kind": kind, "dependency": dependency, "operation": "GET /search", "origin": "observer",
        "started_ms": started_ms, "duration_ms": duration_ms, "open": false, "current_phase": null, "outcome": "ok",
        "failed_by": null, "status": 200, "error_type": null, "phases": all, "attempts": [], "model": null, "stream": null,
        "gap_ms": null, "tokens": {"input": null, "output": null}, "bytes": {"sent": 0, "received": 0},
        "client": {"pid": null, "connection": null, "read_timeout_ms": null, "retry": null}, "address": null,
        "gave_up_after_ms": null, "inferred": false, "internal": false,
    })
}

fn attempt(number: u32, started_ms: f64, duration_ms: f64, phases: Value) -> Value {
    let of = hop("", "llm", "", 0.0, 0.0, phases);
    json!({
        "number": number, "started_ms": started_ms, "duration_ms": duration_ms, "outcome": "ok", "failed_by": null, "status": 200,
        "connection": "new", "idle_ms": null, "retry_after_ms": null, "phases": of["phases"],
    })
}

/// A piece of a critical path.
fn piece(hop: Option<&str>, phase: &str, started_ms: f64, duration_ms: f64) -> Value {
    let (kind, dependency) = (hop.map(|_| "llm"), hop.map(|_| "openai"));
    json!({
        "hop_id": hop, "kind": kind, "dependency": dependency, "phase": phase, "started_ms": started_ms,
        "duration_ms": duration_ms,
    })
}

/// A report of one run with these hops and this critical path.
fn report(hops: Vec<Value>, critical_path: Vec<Value>) -> Report {
    let json = json!({
        "schema": "hopwatch.report/1", "hopwatch": "0.1.0", "generated_at": "2026-11-26T07:00:00.000Z", "source": "run",
        "runs": [{
            "id": "00f067aa0ba902b7", "name": "agent.py", "trace_id": null, "started_at": "2026-11-26T06:59:50.000Z",
            "duration_ms": 10_000.0, "deadline_ms": 9_000.0, "open": false, "outcome": "timeout", "exit_code": 1, "healthy": false,
            "blame": [{
                "kind": "retrieval", "dependency": "docs", "phase": "wait", "ms": 6_000.0, "share": 0.6, "usual_ms": 300.0,
                "calls": 1, "inferred": false, "detail": null,
            }],
            "verdict": {
                "kind": "retrieval", "dependency": "docs", "phase": "wait", "cause": "slow_dependency", "ms": 6_000.0,
                "share": 0.6, "usual_ms": 300.0, "confidence": "high", "raised_at": null, "evidence": [],
                "sentence": "docs (retrieval) took 6 s of the 9 s waiting for its response.", "remedy": "Look at docs.",
            },
            "critical_path": critical_path, "hops": hops,
        }],
        "findings": [], "dependencies": [],
        "losses": {"started": 0, "recorded": 0, "open": 0, "dropped": {}, "missed": {}}, "notes": [],
    });
    read(json.to_string().as_bytes()).unwrap()
}

/// A run of three calls, the last of which is open, and one inside of the first.
pub(crate) fn sample() -> Report {
    let docs = hop("a1", "retrieval", "docs", 1_000.0, 6_000.0, json!({"connect": 10.0, "wait": 5_990.0}));
    let mut inside = hop("a2", "tool", "lookup", 2_000.0, 500.0, json!({"wait": 500.0}));
    inside["parent_id"] = "a1".into();
    inside["outcome"] = "server_error".into();
    let mut model = hop("a3", "llm", "openai", 7_000.0, 3_000.0, json!({"wait": 2_500.0, "backoff": 500.0}));
    model["attempts"] =
        json!([attempt(1, 7_000.0, 1_000.0, json!({"wait": 1_000.0})), attempt(2, 8_500.0, 1_500.0, json!({"wait": 1_500.0}))]);
    model["open"] = true.into();
    model["outcome"] = Value::Null;
    let path = vec![
        piece(None, "self", 0.0, 1_000.0),
        piece(Some("a1"), "connect", 1_000.0, 10.0),
        piece(Some("a1"), "wait", 1_010.0, 5_990.0),
        piece(Some("a3"), "wait", 7_000.0, 1_000.0),
        piece(Some("a3"), "wait", 8_500.0, 500.0),
    ];
    report(vec![docs, inside, model], path)
}

fn times(row: &Row) -> Vec<(&'static str, f64, f64)> {
    row.segments.iter().map(|one| (one.phase.as_str(), one.stretch.start_ms, one.stretch.duration_ms)).collect()
}

#[test]
fn parts_stand_below_their_whole_and_phases_follow_each_other() {
    let report = sample();
    let waterfall = Waterfall::of(&report.runs[0]);
    assert_eq!(waterfall.end_ms, 10_000.0);
    let rows: Vec<(&str, usize, bool)> = waterfall.rows.iter().map(|row| (&*row.label, row.depth, row.open)).collect();
    assert_eq!(rows, [("agent.py", 0, false), ("retrieval/docs", 0, false), ("tool/lookup", 1, false), ("llm/openai", 0, true)]);
    assert_eq!(times(&waterfall.rows[0]), [("self", 0.0, 1_000.0)]);
    assert_eq!(times(&waterfall.rows[1]), [("connect", 1_000.0, 10.0), ("wait", 1_010.0, 5_990.0)]);
    assert_eq!(times(&waterfall.rows[3]), [("wait", 7_000.0, 1_000.0), ("backoff", 8_000.0, 500.0), ("wait", 8_500.0, 1_500.0)]);
    assert_eq!(waterfall.rows[2].failed, Some(Outcome::ServerError));
    assert_eq!(waterfall.rows[1].main_phase(), Some(Phase::Wait));
}

#[test]
fn the_critical_path_is_marked_on_the_hops_that_it_leads_through() {
    let report = sample();
    let waterfall = Waterfall::of(&report.runs[0]);
    let marks = |row: usize| -> Vec<(f64, f64)> {
        waterfall.rows[row].critical.iter().map(|stretch| (stretch.start_ms, stretch.duration_ms)).collect()
    };
    assert_eq!(marks(0), [(0.0, 1_000.0)]);
    assert_eq!(marks(1), [(1_000.0, 6_000.0)], "what touches is one");
    assert_eq!(marks(2), []);
    assert_eq!(marks(3), [(7_000.0, 1_000.0), (8_500.0, 500.0)]);
}

#[test]
fn the_segments_of_a_hop_sum_to_its_phases() {
    let mut of = hop(
        "a1",
        "llm",
        "openai",
        100.0,
        1_000.0,
        json!({"gate": 50.0, "pool": 30.0, "wait": 600.0, "stream": 200.0, "backoff": 100.0, "self": 20.0}),
    );
    of["attempts"] = json!([
        attempt(1, 180.0, 300.0, json!({"wait": 300.0})),
        attempt(2, 580.0, 500.0, json!({"wait": 300.0, "stream": 200.0})),
    ]);
    let report = report(vec![of], Vec::new());
    let row = &Waterfall::of(&report.runs[0]).rows[1];
    let phases = &report.runs[0].hops[0].phases;
    for phase in Phase::ALL {
        let sum: f64 = row.segments.iter().filter(|one| one.phase == *phase).map(|one| one.stretch.duration_ms).sum();
        assert!((sum - phases.of(*phase).unwrap_or(0.0)).abs() < 0.001, "{phase}: {sum} of {phases:?}");
    }
    let told: Vec<&str> = times(row).into_iter().map(|(phase, ..)| phase).collect();
    assert_eq!(told, ["gate", "pool", "wait", "backoff", "wait", "stream", "self"]);
    // Without gap or overlap.
    assert!(row.segments.windows(2).all(|two| (two[0].stretch.end_ms() - two[1].stretch.start_ms).abs() < 0.001));
    assert_eq!(row.segments.last().unwrap().stretch.end_ms(), row.end_ms());
}

#[test]
fn of_many_rows_those_that_tell_most_are_kept_in_their_order() {
    let report = sample();
    let mut waterfall = Waterfall::of(&report.runs[0]);
    assert_eq!(waterfall.keep(3), 1);
    let labels: Vec<&str> = waterfall.rows.iter().map(|row| &*row.label).collect();
    assert_eq!(labels, ["agent.py", "retrieval/docs", "llm/openai"]);
    assert_eq!(waterfall.keep(3), 0);
}

#[test]
fn circles_and_unknown_parents_lose_no_hop() {
    let around = |id: &str, parent: &str| {
        let mut one = hop(id, "http", id, 0.0, 1.0, json!({"wait": 1.0}));
        one["parent_id"] = parent.into();
        one
    };
    let report =
        report(vec![around("a", "b"), around("b", "a"), around("c", "c"), around("d", "gone"), around("e", "d")], vec![]);
    let waterfall = Waterfall::of(&report.runs[0]);
    let mut rows: Vec<(&str, usize)> = waterfall.rows[1..].iter().map(|row| (&*row.label, row.depth)).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("http/a", 0), ("http/b", 0), ("http/c", 0), ("http/d", 0), ("http/e", 1)]);
}

#[test]
fn numbers_that_cannot_be_are_laid_out_somehow() {
    for (start, duration, wait) in [(-5.0, -1.0, -2.0), (1e300, 1e300, 1e300), (0.0, 0.0, 5.0), (5.0, 1.0, 1e9)] {
        let mut of = hop("a", "http", "x", start, duration, json!({"wait": wait, "backoff": -1.0}));
        of["attempts"] = json!([attempt(1, 1e12, -1.0, json!({"wait": 3.0})), attempt(2, -1e12, 0.0, json!({"tls": 1e300}))]);
        let report = report(vec![of], vec![piece(Some("a"), "wait", 1e300, -1e300)]);
        let waterfall = Waterfall::of(&report.runs[0]);
        assert!(waterfall.end_ms > 0.0 && waterfall.rows.len() == 2);
    }
}
