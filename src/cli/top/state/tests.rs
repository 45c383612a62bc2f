use super::*;
use crate::export::report::waterfall::tests::sample;
use crate::export::report::{DependencyStats, FindingReport, OpenHopReport, OpenReport, Report, RunReport};
use crate::model::clock::monotonic;
use crate::model::{Cause, Confidence, Kind, Outcome, Phase};

/// What an agent tells: three runs, two dependencies, two open calls, a finding.
pub(in crate::cli::top) fn told() -> Told {
    let mut report = sample();
    let timed_out = report.runs[0].clone();
    let healthy = RunReport {
        id: "1111111111111111".into(),
        name: "batch.py".into(),
        started_at: "2026-11-26T07:00:00.000Z".into(),
        outcome: Outcome::Ok,
        healthy: true,
        verdict: None,
        duration_ms: 20_000.0,
        ..timed_out.clone()
    };
    let odd = RunReport { id: "2222222222222222".into(), name: "a_tool.py".into(), healthy: false, ..healthy.clone() };
    report.runs = vec![timed_out, healthy, odd];
    let stats = |outcomes: &[Outcome], phase, ms: u64| {
        let mut stats = DependencyStats::default();
        outcomes.iter().for_each(|&outcome| stats.count_brief(outcome, phase, ms * 1_000_000));
        stats
    };
    report.dependencies = vec![
        stats(&[Outcome::Ok, Outcome::Ok, Outcome::Timeout], Phase::Wait, 300).report(Kind::Retrieval, "docs"),
        stats(&[Outcome::Ok], Phase::FirstToken, 1_000).report(Kind::Llm, "openai"),
    ];
    report.findings = vec![FindingReport {
        cause: Cause::ClientRecreated,
        kind: Some(Kind::Llm),
        dependency: Some("openai".into()),
        runs: 3,
        confidence: Confidence::High,
        evidence: Vec::new(),
        sentence: "Each call to openai opens a connection.".into(),
        remedy: "Keep one client.".into(),
    }];
    let hop = |dependency: &str, age_ms| OpenHopReport {
        run: Some("agent.py".into()),
        pid: None,
        kind: Kind::Llm,
        dependency: dependency.into(),
        operation: "POST /chat".into(),
        phase: Phase::Wait,
        phase_ms: age_ms,
        age_ms,
        usual_ms: Some(400.0),
    };
    let open = OpenReport {
        schema: "hopwatch.open/1".into(),
        hopwatch: "0.1.0".into(),
        generated_at: report.generated_at.clone(),
        hops: vec![hop("openai", 7_000.0), hop("azure", 100.0)],
    };
    Told { report, open, detail: None }
}

pub(in crate::cli::top) fn top() -> Top {
    let mut top = Top::new("127.0.0.1:9470".into(), false);
    top.take(News::Told(Box::new(told())), monotonic());
    top
}

fn keys(top: &mut Top, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        wish = top.key(KeyEvent::new(code, KeyModifiers::NONE), monotonic());
    }
    wish
}

fn listed(top: &Top, panel: Panel) -> Vec<String> {
    top.items(panel, monotonic()).iter().map(Item::name).collect()
}

#[test]
fn runs_are_sorted_by_what_one_asks_for() {
    let mut top = top();
    assert_eq!(listed(&top, Panel::Runs), ["batch.py", "a_tool.py", "agent.py"], "newest");
    keys(&mut top, "s");
    assert_eq!(listed(&top, Panel::Runs), ["batch.py", "a_tool.py", "agent.py"], "slowest");
    keys(&mut top, "s");
    assert_eq!(listed(&top, Panel::Runs), ["agent.py", "a_tool.py", "batch.py"], "worst");
    keys(&mut top, "s");
    assert_eq!(listed(&top, Panel::Runs), ["a_tool.py", "agent.py", "batch.py"], "name");
    keys(&mut top, "r");
    assert_eq!(listed(&top, Panel::Runs), ["batch.py", "agent.py", "a_tool.py"], "name, reversed");
    assert_eq!(listed(&top, Panel::Dependencies), ["llm/openai", "retrieval/docs"], "time");
    keys(&mut top, "\ts");
    assert_eq!(listed(&top, Panel::Dependencies), ["retrieval/docs", "llm/openai"], "calls");
    assert_eq!(listed(&top, Panel::Open), ["llm/openai", "llm/azure"], "age");
}

#[test]
fn a_filter_shows_what_has_its_text_and_goes_by_escape() {
    let mut top = top();
    keys(&mut top, "/DOCSq\u{8}");
    assert!(top.typing && top.filter == "DOCS", "keys are text while one types");
    assert_eq!(listed(&top, Panel::Runs), ["agent.py"]);
    keys(&mut top, "\n");
    assert!(!top.typing);
    assert_eq!(listed(&top, Panel::Runs), ["agent.py"]);
    keys(&mut top, "\u{1b}");
    assert_eq!(listed(&top, Panel::Runs).len(), 3);
}

#[test]
fn what_is_chosen_stays_so_when_others_come_before_it() {
    let mut top = top();
    keys(&mut top, "jj");
    let chosen = |top: &Top| {
        let items = top.items(Panel::Runs, monotonic());
        top.chosen(Panel::Runs, &items).map(|place| items[place].name())
    };
    assert_eq!(chosen(&top).as_deref(), Some("agent.py"));
    let mut more = told();
    let like = more.report.runs[1].clone();
    more.report.runs.extend((0..5).map(|number| RunReport {
        id: format!("new{number}"),
        name: format!("new{number}"),
        started_at: "2026-11-26T08:00:00.000Z".into(),
        ..like.clone()
    }));
    top.take(News::Told(Box::new(more)), monotonic());
    assert_eq!(chosen(&top).as_deref(), Some("agent.py"));
    let Report { runs, .. } = &mut top.data.as_mut().unwrap().report;
    runs.clear();
    assert_eq!(chosen(&top), None);
    assert_eq!(keys(&mut top, "j\nGg"), Wish::Nothing);
}

#[test]
fn a_run_is_looked_into_and_left() {
    let mut top = top();
    keys(&mut top, "ss");
    assert_eq!(keys(&mut top, "\n"), Wish::Detail(Some("00f067aa0ba902b7".into())));
    let mut told = told();
    told.detail = Some(Detail::of(told.report.runs[0].clone()));
    top.take(News::Told(Box::new(told)), monotonic());
    assert_eq!(top.detail.as_ref().unwrap().waterfall.rows.len(), 4);
    keys(&mut top, "jjjjjjj");
    assert_eq!(top.row, 3);
    assert_eq!(keys(&mut top, "\u{1b}"), Wish::Detail(None));
    assert_eq!((&top.view, top.detail.is_none()), (&View::Panels, true));
}

#[test]
fn others_lead_to_the_runs_that_they_are_about() {
    let mut top = top();
    assert_eq!(keys(&mut top, "2j\n"), Wish::Nothing);
    assert_eq!((top.panel, &*top.filter), (Panel::Runs, "retrieval/docs"));
    assert_eq!(listed(&top, Panel::Runs), ["agent.py"]);
    keys(&mut top, "\u{1b}3\n");
    assert_eq!((top.panel, &*top.filter), (Panel::Runs, "agent.py"));
}

#[test]
fn an_agent_that_is_away_leaves_what_it_told() {
    let mut top = top();
    top.take(News::Away("refused".into()), monotonic());
    assert_eq!((top.trouble.as_deref(), listed(&top, Panel::Runs).len()), (Some("refused"), 3));
    top.take(News::Told(Box::new(told())), monotonic());
    assert_eq!(top.trouble, None);
}

#[test]
fn while_it_is_paused_nothing_changes() {
    let mut top = top();
    keys(&mut top, "p");
    let mut more = told();
    more.report.runs.clear();
    top.take(News::Told(Box::new(more)), monotonic());
    assert_eq!(listed(&top, Panel::Runs).len(), 3);
    keys(&mut top, "p");
    assert!(!top.paused);
}

#[test]
fn rates_are_of_what_was_told_since_and_never_below_zero() {
    let start = monotonic();
    let mut top = Top::new(String::new(), false);
    top.take(News::Told(Box::new(told())), start);
    let rate = |top: &Top| top.items(Panel::Dependencies, start)[1].cells(false)[2].text();
    assert_eq!(rate(&top), "");
    let after = |seconds| start + std::time::Duration::from_secs(seconds);
    top.take(News::Told(Box::new(told())), after(2));
    assert_eq!(rate(&top), "0.0");
    let calls = |calls| {
        let mut more = told();
        more.report.dependencies[0].calls = calls;
        News::Told(Box::new(more))
    };
    top.take(calls(11), after(4));
    assert_eq!(rate(&top), "2.0", "8 in 4 s");
    top.take(calls(31), after(12));
    assert_eq!(rate(&top), "2.8", "28 in the last 10 s");
    top.take(calls(1), after(14));
    assert_eq!(rate(&top), "", "an agent that started anew");
    top.take(calls(4), after(16));
    assert_eq!(rate(&top), "1.5");
}

#[test]
fn keys_that_end_stop_and_redraw_work_everywhere() {
    let mut top = top();
    let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
    keys(&mut top, "/a");
    assert_eq!(top.key(control('c'), monotonic()), Wish::Quit);
    assert_eq!(top.key(control('z'), monotonic()), Wish::Suspend);
    assert_eq!(top.key(control('l'), monotonic()), Wish::Redraw);
    assert_eq!(keys(&mut top, "\nq"), Wish::Quit);
}
