use super::super::state::tests::{told as all, top};
use super::*;
use crate::export::report::waterfall::tests::sample;
use crate::model::clock::monotonic;

fn texts(top: &Top, width: usize, height: usize) -> Vec<String> {
    page(top, width, height, monotonic()).iter().map(|line| line.text().trim_end().to_owned()).collect()
}

fn with_detail() -> Top {
    let mut top = top();
    top.view = View::Run("00f067aa0ba902b7".into());
    top.detail = Some(Detail::of(sample().runs[0].clone()));
    top
}

#[test]
fn a_wide_screen_shows_every_panel() {
    let shown = texts(&top(), 140, 40);
    assert_eq!(shown.len(), 40);
    assert!(shown[0].starts_with("hopwatch top  3 runs, 2 not healthy, 2 calls open  07:00:00  127.0.0.1:9470"), "{shown:#?}");
    let text = shown.join("\n");
    for said in ["> Runs 3  by newest", "  Dependencies 2  by time", "  Open calls 2  by age", "  Findings 1", "client_recreated"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let run = shown.iter().find(|line| line.contains("agent.py  ")).unwrap();
    for said in ["x", "timed out", "10 s", "9 s", "retrieval/docs wait", "60 %", "slow_dependency", "06:59:50"] {
        assert!(run.contains(said), "{said}: {run}");
    }
    let docs = shown.iter().find(|line| line.contains("retrieval/docs  ")).unwrap();
    for said in ["1 timeout", "wait", "0.3 s", "wwwwwwwwwwwwwwwwwwww"] {
        assert!(docs.contains(said), "{said}: {docs}");
    }
}

#[test]
fn a_narrow_and_low_screen_shows_who_is_to_blame() {
    let shown = texts(&top(), 40, 12);
    assert_eq!(shown.len(), 12);
    let text = shown.join("\n");
    assert!(shown[1].starts_with("Runs 3  Dependencies 2  Open calls 2"), "{text}");
    let run = shown.iter().find(|line| line.contains("agent.py")).unwrap();
    assert!(run.contains("retrieval/docs"), "{text}");
}

#[test]
fn no_screen_is_too_small_or_too_large() {
    let mut away = top();
    away.trouble = Some("no agent answers at 127.0.0.1:9470: Connection refused".into());
    let mut helped = top();
    helped.help = true;
    let asking = Top::new("a".into(), true);
    for top in [top(), with_detail(), away, helped, asking] {
        for (width, height) in (0..60).flat_map(|width| (0..30).map(move |height| (width, height))).chain([(500, 200)]) {
            let lines = page(&top, width, height, monotonic());
            assert_eq!(lines.len(), height, "{width}x{height}");
            assert!(lines.iter().all(|line| line.width() <= width), "{width}x{height}");
        }
    }
}

#[test]
fn a_waterfall_shows_phases_by_letters_where_there_is_no_colour() {
    let shown = texts(&with_detail(), 80, 20);
    let text = shown.join("\n");
    assert!(shown[1].starts_with("x agent.py  timed out  10.0 s of 9 s"), "{text}");
    assert!(text.contains("docs (retrieval) took 6 s") && text.contains("Try: Look at docs."), "{text}");
    let row = |name: &str| shown.iter().find(|line| line.contains(name)).unwrap();
    let of = |letter: char, name: &str| {
        let line = shown.iter().rfind(|line| line.contains(&format!(" {name}"))).unwrap();
        line.chars().filter(|&one| one == letter).count()
    };
    // 6 of 10 s on the critical path; 36 cells are 10 s.
    assert!((19..=23).contains(&of('W', "retrieval/docs")), "{text}");
    assert!((1..=3).contains(&of('b', "llm/openai")), "{text}");
    assert!(row("tool/lookup").contains("x server_error"), "{text}");
    assert!(row("llm/openai").contains("goes on"), "{text}");
    assert!(text.contains("w wait") && text.contains("capitals: critical path"), "{text}");
}

#[test]
fn with_colour_the_words_are_the_same_and_bars_are_blocks() {
    let mut top = with_detail();
    top.color = true;
    let text = texts(&top, 100, 20).join("\n");
    assert!(text.contains('█') && text.contains('░') && text.contains("░ off the critical path"), "{text}");
}

#[test]
fn a_sheet_has_all_of_it_and_chooses_nothing() {
    let lines = sheet(&top(), 120, monotonic());
    let text: String = lines.iter().map(|line| line.text() + "\n").collect();
    assert!(lines.iter().all(|line| !line.chosen) && !text.contains("> "), "{text}");
    assert!(["Runs 3", "Dependencies 2", "Open calls 2", "Findings 1"].into_iter().all(|title| text.contains(title)), "{text}");
    let text: String = sheet(&with_detail(), 120, monotonic()).iter().map(|line| line.text() + "\n").collect();
    assert!(text.contains("retrieval/docs") && !text.contains("Dependencies"), "{text}");
}

#[test]
fn many_runs_fill_the_screen_around_the_one_that_is_chosen() {
    let mut told = all();
    let one = told.report.runs[1].clone();
    told.report.runs = (0..5_000)
        .map(|number| RunReport { id: format!("{number:016x}"), name: format!("run-{number}"), ..one.clone() })
        .collect();
    let mut top = Top::new("a".into(), false);
    top.take(super::super::feed::News::Told(Box::new(told)), monotonic());
    let end = ratatui::crossterm::event::KeyEvent::from(ratatui::crossterm::event::KeyCode::End);
    top.key(end, monotonic());
    let shown = texts(&top, 100, 30);
    assert!(shown.iter().any(|line| line.starts_with("> ") && line.contains("run-4999")), "{shown:#?}");
}
