use super::super::{Charge, decompose, self_times};
use super::*;

/// A span of service `a` unless the operation says otherwise (`b:GET`).
fn span(id: u64, parent: u64, operation: &str, start: u64, end: u64) -> Span {
    let (service, name) = operation.split_once(':').unwrap_or(("a", operation));
    Span::new(id, (parent != 0).then_some(parent), service.into(), name.into(), start, Some(end))
}

/// The run's sections from first to last, as `operation start-end`.
fn sections(spans: &[Span], horizon: Option<u64>) -> Vec<String> {
    let run = &decompose(spans, horizon).trees[0];
    let told = run.sections.iter().rev().map(|section| {
        let mark = if section.charge == Charge::Callee { "*" } else { "" };
        format!("{}{mark} {}-{}", spans[section.span].operation, section.start, section.end)
    });
    told.collect()
}

#[test]
fn the_child_that_ends_last_is_taken_first() {
    let spans = [span(1, 0, "root", 0, 100), span(2, 1, "short", 10, 40), span(3, 1, "long", 20, 60), span(4, 1, "last", 70, 90)];
    assert_eq!(sections(&spans, None), ["root 0-20", "long 20-60", "root 60-70", "last 70-90", "root 90-100"]);
}

#[test]
fn siblings_back_to_back_and_a_little_over_are_in_series() {
    let spans = [span(1, 0, "root", 0, 200), span(2, 1, "a", 0, 100), span(3, 1, "b", 100, 150), span(4, 1, "c", 148, 200)];
    assert_eq!(sections(&spans, None), ["a 0-100", "b 100-148", "c 148-200"]);
    let spans = [span(1, 0, "root", 0, 200), span(2, 1, "a", 0, 103), span(3, 1, "b", 100, 200)];
    assert_eq!(sections(&spans, None), ["root 0-100", "b 100-200"]);
}

#[test]
fn time_of_a_client_span_without_its_server_is_the_callee_s() {
    let mut spans = [span(1, 0, "root", 0, 100), span(2, 1, "call", 10, 90), span(3, 2, "b:serve", 30, 60)];
    assert_eq!(sections(&spans, None), ["root 0-10", "call* 10-30", "serve 30-60", "call* 60-90", "root 90-100"]);
    spans[2].service = "a".into();
    spans[1].role = Role::Client;
    assert_eq!(sections(&spans, None)[1], "call* 10-30");
}

#[test]
fn of_open_spans_the_one_that_leaves_the_service_is_preferred_then_the_latest() {
    let mut spans = [
        span(1, 0, "root", 0, 100),
        span(2, 1, "local", 50, 0),
        span(3, 1, "out", 20, 0),
        span(4, 1, "later", 60, 0),
        span(5, 3, "call", 30, 0),
    ];
    spans.iter_mut().for_each(|span| span.end = None);
    (spans[4].role, spans[4].dependency) = (Role::Client, Some("db".into()));
    assert_eq!(sections(&spans, Some(80)), ["root 0-20", "out 20-30", "call* 30-80"]);
    spans[4].role = Role::Internal;
    assert_eq!(sections(&spans, Some(80)), ["root 0-60", "later 60-80"]);
    assert_eq!(sections(&spans, None), ["root 0-50", "local 50-60"], "the latest time seen is the last start");
}

#[test]
fn a_run_is_cut_at_the_horizon() {
    let spans = [span(1, 0, "root", 0, 100), span(2, 1, "a", 10, 60), span(3, 1, "b", 70, 90)];
    assert_eq!(sections(&spans, Some(50)), ["root 0-10", "a 10-50"]);
    assert_eq!(decompose(&spans, Some(50)).trees[0].end, 50);
}

#[test]
fn what_the_parent_does_not_wait_for_is_never_on_the_path() {
    let mut spans =
        [span(1, 0, "root", 0, 100), span(2, 1, "send", 20, 90), span(3, 2, "handle", 30, 80), span(4, 1, "link", 5, 15)];
    (spans[1].role, spans[2].role) = (Role::Producer, Role::Consumer);
    spans[3].follows_from = true;
    assert_eq!(sections(&spans, None), ["root 0-20", "send 20-90", "root 90-100"]);
}

#[test]
fn a_server_with_another_clock_is_centred_in_its_client_with_all_below_it() {
    let spans = [span(1, 0, "call", 1_000, 1_100), span(2, 1, "b:serve", 500, 560), span(3, 2, "b:work", 510, 530)];
    assert_eq!(
        sections(&spans, None),
        ["call* 1000-1020", "serve 1020-1030", "work 1030-1050", "serve 1050-1080", "call* 1080-1100"]
    );
    let longer = [span(1, 0, "call", 1_000, 2_000), span(2, 1, "b:serve", 995, 2_004)];
    assert_eq!(sections(&longer, None), ["serve 1000-2000"]);
    let two = [span(1, 0, "call", 1_000, 1_100), span(2, 1, "b:serve", 500, 560), span(3, 1, "b:serve", 600, 660)];
    assert_eq!(sections(&two, None), ["call* 1000-1100"], "only a single child");
}

#[test]
fn duplicates_cycles_and_orphans_are_counted_and_do_no_harm() {
    let spans = [
        span(1, 0, "root", 0, 100),
        span(1, 0, "again", 0, 500),
        span(2, 77, "inside", 20, 40),
        span(3, 78, "outside", 90, 120),
        span(4, 5, "x", 200, 210),
        span(5, 4, "y", 195, 220),
        span(6, 6, "self", 300, 301),
    ];
    let found = decompose(&spans, None);
    assert_eq!((found.duplicates, found.cycles_cut, found.orphans), (1, 2, 1));
    assert_eq!(found.trees.iter().map(|tree| &*spans[tree.root].operation).collect::<Vec<_>>(), ["root", "y", "self", "outside"]);
    assert_eq!(sections(&spans, None), ["root 0-20", "inside 20-40", "root 40-100"]);
}

#[test]
fn several_roots_are_several_trees_the_longest_first() {
    let spans = [span(1, 0, "short", 0, 10), span(2, 0, "long", 0, 30), span(3, 1, "child", 2, 5)];
    let found = decompose(&spans, None);
    assert_eq!(found.trees.iter().map(|tree| (tree.root, tree.sections.len())).collect::<Vec<_>>(), [(1, 1), (0, 3)]);
}

#[test]
fn zero_and_negative_lengths_are_zero_and_0_is_a_time() {
    let spans = [span(1, 0, "root", 0, 10), span(2, 1, "none", 5, 5), span(3, 1, "back", 8, 3)];
    assert_eq!(sections(&spans, None), ["root 0-10"]);
    assert_eq!(decompose(&[span(1, 0, "root", 9, 3)], None).trees[0].sections, []);
    assert_eq!(decompose(&[], Some(7)).trees, []);
}

#[test]
fn a_hundred_thousand_spans_deep_or_wide_are_no_problem() {
    const COUNT: u64 = 100_000;
    let chain: Vec<Span> = (0..COUNT).map(|nth| span(nth + 1, nth, "a", nth, 2 * COUNT - nth)).collect();
    let wide: Vec<Span> =
        (0..COUNT).map(|nth| span(nth + 1, u64::from(nth > 0), "a", nth, if nth == 0 { COUNT } else { nth + 1 })).collect();
    let mut ring = chain.clone();
    ring[0].parent = Some(crate::model::SpanId(COUNT));
    for spans in [&chain, &wide, &ring] {
        let found = decompose(spans, None);
        let sections = &found.trees[0].sections;
        let sum: u64 = sections.iter().map(|section| section.end - section.start).sum();
        assert_eq!(sum, found.trees[0].end - found.trees[0].start);
        assert!(sections.len() >= COUNT as usize);
        assert_eq!(self_times(spans).len(), spans.len());
    }
    assert_eq!(decompose(&ring, None).cycles_cut, 1);
}

#[test]
fn children_alike_in_all_else_are_told_apart_by_their_ids_and_not_by_the_order_of_arrival() {
    // Found by the property test: clocks that disagree beyond measure leave two children with the same window.
    let seed = 7_323_888_946_440_682_141_u64;
    type Row = (Role, &'static str, Option<&'static str>, bool, u64, Option<u64>);
    let rows: [Row; 11] = [
        (Role::Client, "a", None, false, 0, Some(2)),
        (Role::Server, "a", None, false, 9_270_706_690_553_350_628, Some(9_270_706_690_553_350_595)),
        (Role::Producer, "a", None, true, 29, Some(15_564_318_360_577_824_913)),
        (Role::Internal, "b", None, false, 1_700_000_000_000_001_465, Some(1_700_000_000_000_001_465)),
        (Role::Producer, "b", None, false, 1_700_000_000_000_000_000, Some(1_699_999_999_999_999_953)),
        (Role::Internal, "a", Some("openai"), false, 429_250_744_660_956_854, Some(429_250_744_660_956_824)),
        (Role::Server, "b", Some("db"), false, 718_344_408_294_675_924, Some(18_446_744_073_709_551_587)),
        (Role::Client, "a", Some("openai"), false, 18_446_744_073_709_551_592, Some(18_446_744_073_709_551_548)),
        (Role::Client, "c", None, false, 1_636, Some(1_601)),
        (Role::Server, "a", None, true, 9_749_791_008_894_354_273, None),
        (Role::Server, "a", Some("openai"), false, 1_700_000_000_000_001_286, None),
    ];
    let mut spans: Vec<Span> = rows
        .into_iter()
        .enumerate()
        .map(|(nth, (role, service, dependency, follows_from, start, end))| {
            let parent = (nth > 0).then(|| seed % nth.max(1) as u64 + 1);
            let mut span = Span::new(nth as u64 + 1, parent, service.into(), "x".into(), start / 64 * 64 + nth as u64, end);
            (span.role, span.dependency, span.follows_from) = (role, dependency.map(Into::into), follows_from);
            span
        })
        .collect();
    let named = |spans: &[Span]| {
        let sections = decompose(spans, None).trees.swap_remove(0).sections;
        sections.into_iter().map(|section| (spans[section.span].id, section.start, section.end)).collect::<Vec<_>>()
    };
    let before = named(&spans);
    spans.reverse();
    assert_eq!(before, named(&spans));
}
