use super::*;
use crate::attribution::Judgement;
use crate::model::{BlameRow, Call, Component, Evidence, Losses, RaisedAt, Role, Run, Span, SpanId, Timeline, Verdict};

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000_000;

fn hop(id: u64, kind: Kind, dependency: &str, from_ms: u64, to_ms: u64, outcome: Outcome) -> Span {
    let start = START + from_ms * MS;
    let mut timeline = Timeline::new(start);
    timeline.push(Phase::Wait, START + to_ms * MS);
    let call = Call {
        gave_up_after: (outcome == Outcome::Timeout).then_some((to_ms - from_ms) * MS),
        ..Call::new(Origin::Observer, timeline).ended(outcome, None, Some(200))
    };
    Span {
        role: Role::Client,
        kind: Some(kind),
        dependency: Some(dependency.into()),
        call: Some(Box::new(call)),
        ..Span::new(id, Some(1), "agent.py".into(), "GET /search".into(), start, Some(START + to_ms * MS))
    }
}

fn row(kind: Option<Kind>, dependency: Option<&str>, phase: Phase, ms: u64) -> BlameRow {
    BlameRow {
        component: Component { kind, dependency: dependency.map(Into::into), phase },
        time: ms * MS,
        share: ms as f64 / 10_000.0,
        usual: None,
        calls: 1,
        inferred: false,
        detail: None,
    }
}

fn late_run() -> (Run, Judgement) {
    let end = START + 10_050 * MS;
    let root = Span::new(1, None, "agent.py".into(), "agent.py".into(), START, Some(end));
    let run = Run {
        name: "agent.py".into(),
        start: START,
        end: Some(end),
        seen_until: end,
        deadline: Some(10_000 * MS),
        spans: vec![
            root,
            hop(2, Kind::Retrieval, "docs", 500, 8_400, Outcome::Ok),
            hop(3, Kind::Llm, "openai", 8_400, 10_000, Outcome::Timeout),
        ],
        ..Run::default()
    };
    let verdict = Verdict {
        component: Component { kind: Some(Kind::Retrieval), dependency: Some("docs".into()), phase: Phase::Wait },
        cause: Some(Cause::SlowDependency),
        time: 7_900 * MS,
        share: 0.79,
        usual: Some(300 * MS),
        confidence: Confidence::High,
        raised_at: Some(RaisedAt {
            kind: Kind::Llm,
            dependency: "openai".into(),
            outcome: Outcome::Timeout,
            error_type: Some("ReadTimeout".into()),
            gave_up_after: Some(1_600 * MS),
        }),
        evidence: vec![Evidence::number("calls_seen", 14.0), Evidence::number("times_usual", 26.3)],
        sentence: "docs (retrieval) took 7.9 s".into(),
        remedy: None,
    };
    let judgement = Judgement {
        outcome: Outcome::Timeout,
        healthy: false,
        blame: vec![
            row(Some(Kind::Retrieval), Some("docs"), Phase::Wait, 7_900),
            row(Some(Kind::Llm), Some("openai"), Phase::FirstToken, 1_600),
            row(None, None, Phase::Own, 500),
        ],
        verdict: Some(verdict),
    };
    (run, judgement)
}

#[test]
fn the_text_names_culprit_and_the_place_of_the_error() {
    let (run, judgement) = late_run();
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    let expected = "\
run  agent.py   timed out   10.1 s of 10 s
  retrieval/docs   wait            7.9 s   79 %   ████████████████
  llm/openai       first_token     1.6 s   16 %   ███   <- the error was raised here (the client gave up after 1.6 s): ReadTimeout
  (own time)       self            0.5 s    5 %   █
culprit  retrieval/docs, waiting for its response: 7.9 s of 10 s, normally 0.3 s (26x, 14 calls)
cause    slow_dependency
";
    assert_eq!(text(&report, Style::default()), expected);
}

#[test]
fn how_the_call_ended_is_told_where_no_cause_tells_it() {
    let (run, mut judgement) = late_run();
    let mut told = |evidence| {
        let verdict = judgement.verdict.as_mut().unwrap();
        (verdict.cause, verdict.usual, verdict.evidence) = (None, None, vec![evidence]);
        let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
        text(&report, Style::default()).lines().find(|line| line.starts_with("culprit")).unwrap().to_owned()
    };
    assert!(told(Evidence::number("status", 503.0)).ends_with("7.9 s of 10 s, answered 503"));
    assert!(told(Evidence::number("status", 200.0)).ends_with("7.9 s of 10 s"));
    assert!(told(Evidence::time("gave_up_after", 500 * MS)).ends_with("7.9 s of 10 s, the client gave up after 0.5 s"));
}

#[test]
fn a_start_up_to_blame_names_what_it_loaded() {
    let (run, mut judgement) = late_run();
    let verdict = judgement.verdict.as_mut().unwrap();
    verdict.component = Component { kind: Some(Kind::Startup), dependency: None, phase: Phase::Own };
    verdict.cause = None;
    verdict.evidence = vec![Evidence::text("imports", "openai 0.45 s, numpy 0.16 s")];
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    assert!(text(&report, Style::default()).ends_with("\nloading  openai 0.45 s, numpy 0.16 s (estimated)\n"));
}

#[test]
fn colour_changes_no_word() {
    let (run, judgement) = late_run();
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    let colored = text(&report, Style { color: true });
    assert!(colored.contains('\u{1b}'));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, text(&report, Style::default()));
}

#[test]
fn hostile_names_stay_on_their_line() {
    let (mut run, judgement) = late_run();
    run.name = "a\n\u{1b}[2Jb".into();
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    let text = text(&report, Style::default());
    assert!(!text.contains('\u{1b}'));
    assert_eq!(text.lines().next(), Some("run  a\u{fffd}\u{fffd}[2Jb   timed out   10.1 s of 10 s"));
}

#[test]
fn open_hops_tell_age_and_phase() {
    let mut span = hop(2, Kind::Llm, "openai", 0, 400, Outcome::Ok);
    span.end = None;
    let text = open_hops("agent.py", &[span], START + 500 * MS);
    assert_eq!(
        text,
        "open     agent.py: 1 call open\n  llm/openai   wait            0.5 s   waiting for its response 0.5 s   GET /search\n"
    );
    assert_eq!(open_hops("agent.py", &[], START), "open     agent.py: no call is open\n");
}

#[test]
fn span_ids_and_parents_are_written_as_hexadecimal() {
    let (mut run, judgement) = late_run();
    run.spans[2].parent = Some(SpanId(2));
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    assert_eq!(report.runs[0].hops[0].parent_id, None);
    assert_eq!(report.runs[0].hops[1].parent_id.as_deref(), Some("0000000000000002"));
    assert_eq!(report.runs[0].hops[1].started_ms, 8_400.0);
}

#[cfg(all(feature = "schema", feature = "cli"))]
#[test]
fn the_report_validates_against_its_schema() {
    let (run, judgement) = late_run();
    let report = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), Vec::new());
    let schema = serde_json::to_value(schema()).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(value["schema"], "hopwatch.report/1");
    assert_eq!(value["runs"][0]["hops"][0]["phases"]["stall"], 0.0);
    assert_eq!(value["runs"][0]["hops"][0]["phases"]["dns"], serde_json::Value::Null);
}

#[test]
fn a_run_keeps_its_id_for_as_long_as_it_is_told_of() {
    let (run, judgement) = late_run();
    let id = |run: &Run| report("run", START, &[(run, &judgement)], &[], &Losses::default(), vec![]).runs.swap_remove(0).id;
    let going_on = Run { end: None, seen_until: START + MS, spans: run.spans[..1].to_vec(), ..run.clone() };
    assert_eq!(id(&run), id(&going_on));
    assert_eq!(id(&run).len(), 16);
    // Its spans' ids are counted in each process alike.
    assert_ne!(id(&run), id(&Run { start: START + 1, ..run.clone() }));
    assert_ne!(id(&run), id(&Run { name: "other.py".into(), ..run.clone() }));
}

#[test]
fn the_critical_path_names_the_hops_in_order_and_ends_at_the_deadline() {
    let (run, judgement) = late_run();
    let told = report("run", START, &[(&run, &judgement)], &[], &Losses::default(), vec![]).runs.swap_remove(0);
    assert!(!told.open);
    let pieces: Vec<_> =
        told.critical_path.iter().map(|piece| (piece.hop_id.as_deref(), piece.phase, piece.duration_ms)).collect();
    let [docs, openai] = [&told.hops[0].id, &told.hops[1].id].map(|id| Some(id.as_str()));
    assert_eq!(pieces, [(None, Phase::Own, 500.0), (docs, Phase::Wait, 7_900.0), (openai, Phase::Wait, 1_600.0)]);
    assert_eq!(told.critical_path[1].dependency.as_deref(), Some("docs"));
    assert_eq!(told.critical_path.iter().map(|piece| piece.started_ms).collect::<Vec<_>>(), [0.0, 500.0, 8_400.0]);
}
