//! The demo: every fault is named, within its time and without leaving anything behind.

use crate::support::{ended, hopwatch};
use std::fs;
use std::time::{Duration, Instant};

fn names_its_fault(fault: &str) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let start = Instant::now();
    let told = ended(hopwatch().args(["demo", "--fault", fault, "--json", json.to_str().unwrap()]));
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(told.out.starts_with("question 1  "), "{}", told.out);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let run = &report["runs"][0];
    let sum: f64 = run["blame"].as_array().unwrap().iter().map(|row| row["ms"].as_f64().unwrap()).sum();
    let whole = run["duration_ms"].as_f64().unwrap().min(run["deadline_ms"].as_f64().unwrap());
    let rows = run["blame"].as_array().unwrap().len() as f64;
    assert!((sum - whole).abs() <= 0.01 * rows, "blame sums to {sum} of {whole}");
}

macro_rules! faults {
    ($($test:ident: $fault:literal,)+) => {
        $(#[test] fn $test() { names_its_fault($fault); })+
    };
}

faults! {
    slow_retrieval_is_named: "slow-retrieval",
    slow_first_token_is_named: "slow-first-token",
    a_stalled_stream_is_named: "stalled-stream",
    a_slow_tool_is_named: "slow-tool",
    a_refused_connection_is_named: "refused",
    rate_limiting_is_named: "rate-limited",
    a_blocked_event_loop_is_named: "blocked-loop",
    a_reset_is_named: "reset",
    a_client_built_anew_is_found: "new-client-per-call",
    a_healthy_agent_blames_nobody: "none",
}
