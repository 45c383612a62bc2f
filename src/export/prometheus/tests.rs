use super::*;
use crate::attribution::Judgement;
use crate::export::metrics::{Metrics, OpenCalls, Target};
use crate::model::names::{ALL, Instrument};
use crate::model::{
    BlameRow, Call, Cause, Component, Confidence, ConnectionState, GateSample, Kind, Losses, Origin, Outcome, Phase, Role, Run,
    Span, Timeline, Verdict,
};
use std::io::Write;
use std::process::{Command, Stdio};

/// A name with all that could break a line of text.
const HOSTILE: &str = "do\"cs\n\\{le=\"1\"} 5 # <script>\u{202e}";

fn own() -> (Metrics, Prometheus) {
    let prometheus = Prometheus::new().unwrap();
    let mut metrics = Metrics::new(Target::Own(vec![prometheus.recorder()]));
    metrics.refresh();
    (metrics, prometheus)
}

fn call() -> Span {
    let mut timeline = Timeline::new(0);
    for (at, &phase) in Phase::ALL.iter().enumerate() {
        timeline.push(phase, 1_000_000 * (at as u64 + 1));
    }
    let end = timeline.end();
    let mut call = Call::new(Origin::Library, timeline).ended(Outcome::Ok, None, Some(200));
    (call.attempts[0].connection, call.attempts[0].retry_after) = (Some(ConnectionState::New), Some(1));
    (call.client.connection, call.gap) = (Some(ConnectionState::New), Some(1));
    (call.stream, call.model, call.address) = (Some(true), Some(HOSTILE.into()), Some("[::1]:443".into()));
    (call.tokens.input, call.tokens.output) = (Some(2_000), Some(50));
    (call.bytes.sent, call.bytes.received) = (700, 7_000);
    Span {
        role: Role::Client,
        kind: Some(Kind::Llm),
        dependency: Some(HOSTILE.into()),
        call: Some(Box::new(call)),
        ..Span::new(1, None, "test".into(), "POST /v1/chat/completions".into(), 0, Some(end))
    }
}

/// Everything that there is to tell, once, by names that mean harm.
fn all(metrics: &mut Metrics) {
    metrics.hop(&call());
    let component = Component { kind: Some(Kind::Llm), dependency: Some(HOSTILE.into()), phase: Phase::Wait };
    let time = 2_500_000_000;
    let row = BlameRow { component: component.clone(), time, share: 1.0, usual: None, calls: 1, inferred: false, detail: None };
    let verdict = Verdict {
        component,
        cause: Some(Cause::SlowDependency),
        time,
        share: 1.0,
        usual: None,
        confidence: Confidence::High,
        raised_at: None,
        evidence: Vec::new(),
        sentence: HOSTILE.to_owned(),
        remedy: None,
    };
    let judgement = Judgement { outcome: Outcome::Timeout, healthy: false, blame: vec![row], verdict: Some(verdict) };
    let run = Run { name: HOSTILE.into(), end: Some(time), seen_until: time, deadline: Some(time), ..Run::default() };
    metrics.run(&run, &judgement);
    let open = Span { end: None, ..call() };
    metrics.open(&OpenCalls::of([&open], time));
    let gate = GateSample { name: HOSTILE.into(), limit: 4, waits: vec![0, 5], holds: vec![7], ..GateSample::default() };
    metrics.gate(&gate);
    metrics.startup(Outcome::Ok, time, [(HOSTILE, time)]);
    metrics.stall(HOSTILE, time);
    let dropped = [("hops_full".into(), 1)].into();
    let missed = [("ring".into(), 1)].into();
    metrics.losses(&Losses { started: 3, recorded: 1, open: 1, dropped, missed });
    metrics.exports([("exported", 1)], 2);
    // One dependency too many.
    for nth in 0..2_000 {
        metrics.dependency(Kind::Tool, &format!("tenant-{nth}").into());
    }
}

#[test]
fn every_metric_of_the_table_is_rendered_as_what_it_is() {
    let (mut metrics, prometheus) = own();
    all(&mut metrics);
    let text = prometheus.render();
    for metric in ALL {
        let kind = match metric.instrument {
            Instrument::Counter => "counter",
            Instrument::Gauge => "gauge",
            Instrument::Histogram => "histogram",
        };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{} is no {kind}", metric.name);
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
        let highest =
            metric.buckets.last().map(|bound| format!("{}_bucket", metric.name).to_owned() + &format!("|le=\"{bound}\""));
        if let Some((name, bound)) = highest.as_deref().and_then(|highest| highest.split_once('|')) {
            let has = |line: &str| line.starts_with(name) && line.contains(bound);
            assert!(text.lines().any(has), "{name} has no {bound}");
        }
    }
    assert!(!text.contains("quantile"), "a summary: {text}");
}

#[test]
fn a_histogram_that_nobody_knows_is_no_summary_either() {
    let prometheus = Prometheus::new().unwrap();
    metrics::with_local_recorder(&*prometheus.recorder(), || metrics::histogram!("their_own_seconds").record(0.2));
    let text = prometheus.render();
    assert!(
        text.contains("# TYPE their_own_seconds histogram") && text.contains("their_own_seconds_bucket{le=\"600\"} 1"),
        "{text}"
    );
}

#[test]
fn hostile_names_stay_within_their_quotes() {
    let (mut metrics, prometheus) = own();
    all(&mut metrics);
    let text = prometheus.render();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let named = series.split_once('{').map_or(series, |(name, _)| name);
        assert!(named.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        assert!(!line.contains('\u{202e}') && !line.contains(" 5 # ") || line.contains(r#"do\"cs"#), "{line}");
    }
}

#[test]
fn promtool_has_nothing_to_say_on_any_metric() {
    let (mut metrics, prometheus) = own();
    all(&mut metrics);
    let text = prometheus.render();
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(promtool) => promtool,
        Err(error) => {
            let required = std::env::var("HOPWATCH_REQUIRE_PARTS").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
            assert!(!required, "promtool: {error}");
            // Past the harness, which would keep back what a passing test prints.
            drop(writeln!(std::io::stderr(), "skipped: promtool: {error}"));
            return;
        }
    };
    // It answers only when it has read everything.
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
