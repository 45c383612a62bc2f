use super::*;
use crate::export::report::waterfall::tests::sample;

#[test]
fn a_picture_says_what_the_report_says() {
    let report = sample();
    let picture = svg(&report.runs[0], &report.hopwatch);
    for said in [
        "<title id=\"what\">agent.py: timed out, 10.0 s of 9 s</title>",
        "docs (retrieval) took 6 s of the 9 s waiting for its response. Time on the critical path: retrieval/docs wait 6 s (60 %).",
        "Cause: slow_dependency",
        "Try: Look at docs.",
        "deadline 9 s",
        "0.5 s  server_error",
        "3 s  goes on",
        "hopwatch 0.1.0   run 00f067aa0ba902b7   started 2026-11-26T06:59:50.000Z",
        ">critical path<",
        ".p-wait{fill:#CC79A7}",
        "data-hop=\"a1\"",
    ] {
        assert!(picture.contains(said), "{said}\n{picture}");
    }
    assert!(!picture.contains(".p-tls"), "only phases that appear are explained");
}

#[test]
fn lengths_are_the_reports_numbers_on_its_axis() {
    let report = sample();
    let picture = svg(&report.runs[0], "");
    let attribute = |rect: &str, name: &str| -> f64 {
        rect.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
    };
    let bars: Vec<&str> = picture.lines().filter(|line| line.contains("data-ms=")).collect();
    assert!(bars.len() > 8, "{picture}");
    for bar in bars {
        let ms = attribute(bar, "data-ms");
        assert!((attribute(bar, "width") / PLOT_WIDTH * 10_000.0 - ms).abs() < 0.02, "{bar}");
    }
    let wait = picture.lines().find(|line| line.contains("class=\"p-wait\"")).unwrap();
    assert_eq!(attribute(wait, "data-ms"), 5_990.0);
    assert!(((attribute(wait, "x") - PLOT) / PLOT_WIDTH * 10_000.0 - 1_010.0).abs() < 0.02);
}

#[test]
fn a_picture_asks_for_nothing_and_runs_nothing_whatever_it_is_given() {
    let mut report = sample();
    let run = &mut report.runs[0];
    run.name = "</title><script>alert(1)</script>\"'&".into();
    run.hops[0].dependency = "x\" onload=\"alert(1)".into();
    run.hops[0].id = "\"><image href=\"http://a\"/>".into();
    run.hops[0].operation = "日本".repeat(5_000);
    run.hops[1].dependency = "\u{202e}evil\u{0}\u{fffe}".into();
    let picture = svg(run, "<b>");
    for harm in ["<script", "<image", "onload=\"", "href=\"", "url(", "@import", "\u{0}", "\u{fffe}", "<b>"] {
        assert!(!picture.contains(harm), "{harm}");
    }
    assert!(!picture.replace("http://www.w3.org/2000/svg", "").contains("//a\""));
}

#[test]
fn a_run_of_many_calls_is_a_picture_of_bounded_size() {
    let mut report = sample();
    let run = &mut report.runs[0];
    let one = run.hops[1].clone();
    run.hops.extend((0..10_000).map(|number| crate::export::report::HopReport { id: format!("b{number}"), ..one.clone() }));
    let picture = svg(run, "");
    assert!(picture.contains("9854 more calls are not drawn."), "{}", &picture[picture.len() - 2_000..]);
    assert!(picture.len() < 200_000, "{}", picture.len());
}
