use super::*;
use crate::agent::hub::tests::{T0, ended, open};
use crate::model::Outcome;

fn word(open: Vec<Span>) -> News<'static> {
    let losses = Losses { open: open.len() as u64, ..Losses::default() }.balanced();
    let facts = RunFacts { name: "run".into(), start: T0, end: None, seen_until: T0, deadline: None, exit: None };
    News { facts, before: 0, ended: &[], open, losses }
}

#[test]
fn open_hops_take_so_much_memory_and_no_more() {
    let mut sources = Sources::new(Nanos::MAX);
    let mut large = open(1, "docs");
    large.operation = "x".repeat(1 << 20).into();
    let held = |sources: &Sources| sources.open().map(|(_, span)| weight(span)).sum::<usize>();
    for run in 0..20 {
        sources.hear(&format!("run-{run}"), word(vec![large.clone(); 10]), T0).unwrap();
        assert!(held(&sources) == sources.held && sources.held <= ROOM);
    }
    assert!(sources.held > ROOM / 2);
    assert_eq!(sources.losses().open, 200, "those that are not shown are counted");
    // A later word takes the place of the one before, and who is over takes nothing.
    sources.hear("run-0", word(vec![large.clone()]), T0).unwrap();
    assert_eq!(held(&sources), sources.held);
    (0..20).for_each(|run| sources.over(&format!("run-{run}")));
    assert_eq!((sources.held, sources.open().count()), (0, 0));
}

#[test]
fn a_word_says_how_many_hops_are_known_already() {
    let mut sources = Sources::new(Nanos::MAX);
    let hops: Vec<Span> = (0..5).map(|id| ended(id, "docs", Outcome::Ok)).collect();
    let mut known = |before, many| sources.hear("run", News { before, ended: &hops[..many], ..word(Vec::new()) }, T0).unwrap();
    assert_eq!([known(0, 3), known(0, 3), known(0, 5), known(5, 2), known(6, 3), known(2, 1)], [0, 3, 3, 0, 1, 1]);
    // What was lost on its way stays so: a run that says that it told more than came is believed.
    assert_eq!([known(u64::MAX, 5), known(0, 4)], [0, 4]);
}

#[test]
fn of_a_run_that_goes_on_the_first_hops_are_shown_once_each() {
    let mut sources = Sources::new(Nanos::MAX);
    let hops: Vec<Span> = (0..SHOWN as u64 + 50).map(|id| ended(id, "docs", Outcome::Ok)).collect();
    let shown =
        |sources: &Sources| sources.going().map(|(_, _, hops)| hops.map(|span| span.id.0).collect()).collect::<Vec<Vec<_>>>();
    sources.hear("run", News { ended: &hops[..3], ..word(vec![open(9_000, "docs")]) }, T0).unwrap();
    sources.hear("run", News { before: 1, ended: &hops[1..4], ..word(Vec::new()) }, T0).unwrap();
    assert_eq!(shown(&sources), [[0, 1, 2, 3]]);
    sources.hear("run", News { before: 4, ended: &hops[4..], ..word(Vec::new()) }, T0).unwrap();
    assert_eq!(shown(&sources)[0].len(), SHOWN);
    assert_eq!(sources.held, hops[..SHOWN].iter().map(weight).sum::<usize>());
    sources.over("run");
    assert_eq!((sources.held, shown(&sources).len()), (0, 0));
}
