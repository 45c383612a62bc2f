use super::super::{History, critical_path, decompose, findings, judge_with, self_times};
use super::*;
use crate::model::{ConnectionFact, SpanId, Stall};
use proptest::prelude::*;

/// Times that collide often, near zero, ordinary, and at the end of the number line.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0..40_u64, 0..2_000_u64, Just(T0), T0..T0 + 2_000, (u64::MAX - 30)..=u64::MAX, any::<u64>()]
}

fn near(base: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(base),
        (0..2_000_u64).prop_map(move |by| base.saturating_add(by)),
        (0..50_u64).prop_map(move |by| base.saturating_sub(by)),
        time()
    ]
}

fn name(of: &'static [&'static str]) -> impl Strategy<Value = crate::model::Name> {
    prop::sample::select(of).prop_map(crate::model::Name::from)
}

fn span() -> impl Strategy<Value = Span> {
    let who = (0..24_u64, prop::option::weighted(0.9, 0..26_u64), name(&["a", "b", "c"]), name(&["x", "y"]));
    let when = time().prop_flat_map(|start| (Just(start), prop::option::weighted(0.8, near(start))));
    let roles = [Role::Internal, Role::Server, Role::Client, Role::Producer, Role::Consumer];
    let what =
        (prop::sample::select(roles.to_vec()), prop::bool::weighted(0.1), prop::option::of(prop::sample::select(Kind::ALL)));
    let peer = (prop::option::of(name(&["db", "openai"])), prop::option::of(call()));
    (who, when, what, peer).prop_map(
        |((id, parent, service, operation), (start, end), (role, follows_from, kind), (dependency, call))| {
            let mut span = Span::new(id, parent, service, operation, start, end);
            (span.role, span.follows_from, span.kind, span.dependency) = (role, follows_from, kind, dependency);
            span.call = call.map(Box::new);
            span
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let tiles = prop::collection::vec((prop::sample::select(Phase::ALL), 0..900_u64), 0..6);
    let outcome = prop::option::of(prop::sample::select(Outcome::ALL));
    let by = prop::option::of(prop::sample::select(FailedBy::ALL));
    (time(), tiles, outcome, by, time(), any::<bool>(), 0..3_u32).prop_map(
        |(start, tiles, outcome, failed_by, sent, internal, pid)| {
            let mut timeline = Timeline::new(start);
            tiles.iter().for_each(|&(phase, length)| timeline.push(phase, timeline.end().saturating_add(length)));
            let template = run(1).call(Kind::Llm, "x", 0, &[]).spans.pop().unwrap().call.unwrap();
            let client = Client { pid: Some(pid), read_timeout: Some(sent), ..Client::default() };
            let bytes = Bytes { sent, received: start };
            Call { timeline, outcome, failed_by, bytes, internal, client, gave_up_after: Some(start), ..*template }
        },
    )
}

fn any_run() -> impl Strategy<Value = Run> {
    let stall = (time(), 0..900_u64, prop::sample::select(StallCause::ALL), any::<bool>()).prop_map(
        |(start, length, cause, event_loop)| Stall {
            pid: 1,
            start,
            end: start.saturating_add(length),
            cause,
            dependency: None,
            event_loop,
        },
    );
    let times =
        time().prop_flat_map(|start| (Just(start), prop::option::of(near(start)), near(start), prop::option::of(near(1_000))));
    let exit = prop::option::of((0..2_i32, any::<bool>(), any::<bool>()));
    let ends = (exit, prop::option::of(prop::sample::select(Outcome::ALL)));
    (times, prop::collection::vec(span(), 0..30), prop::collection::vec(stall, 0..6), ends).prop_map(
        |((start, end, seen_until, deadline), spans, stalls, (exit, ending))| Run {
            ending,
            start,
            end,
            seen_until,
            deadline,
            connections: spans.iter().map(connection).collect(),
            spans,
            stalls,
            exit: exit.map(|(code, by_user, by_deadline)| Exit { code, signal: None, by_user, by_deadline }),
            ..Run::default()
        },
    )
}

fn connection(span: &Span) -> ConnectionFact {
    ConnectionFact {
        pid: 1,
        kind: Kind::Llm,
        dependency: "openai".into(),
        peer: None,
        opened: span.start,
        closed: span.end,
        closed_by_caller: true,
        calls: 1,
        setup: span.start,
        failed: None,
        close_announced: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sections_are_disjoint_and_sum_to_the_root(spans in prop::collection::vec(span(), 0..30), horizon in prop::option::of(time())) {
        let found = decompose(&spans, horizon);
        for tree in &found.trees {
            let mut at = tree.end;
            for section in &tree.sections {
                prop_assert_eq!(section.end, at, "the next section ends where the last began");
                prop_assert!(section.start < section.end);
                at = section.start;
            }
            prop_assert!(at == tree.start || tree.sections.is_empty() && tree.start == tree.end);
            prop_assert!(horizon.is_none_or(|horizon| tree.end <= horizon.max(tree.start)));
        }
        let ids: std::collections::HashSet<SpanId> = spans.iter().map(|span| span.id).collect();
        prop_assert_eq!(found.duplicates as usize, spans.len() - ids.len());
        prop_assert!(spans.is_empty() || !found.trees.is_empty());
    }

    #[test]
    fn a_span_is_in_one_tree_at_most(spans in prop::collection::vec(span(), 0..30)) {
        let found = decompose(&spans, None);
        let mut seen = std::collections::HashMap::new();
        for tree in &found.trees {
            for section in &tree.sections {
                prop_assert_eq!(*seen.entry(section.span).or_insert(tree.root), tree.root);
            }
        }
    }

    #[test]
    fn self_time_is_never_more_than_the_span(spans in prop::collection::vec(span(), 0..30)) {
        let latest = spans.iter().map(|span| span.end.unwrap_or(0).max(span.start)).max().unwrap_or(0);
        for (span, own) in spans.iter().zip(self_times(&spans)) {
            prop_assert!(own <= span.end_or(latest) - span.start);
        }
    }

    #[test]
    fn any_run_is_judged_and_its_blame_sums_to_it(run in any_run()) {
        // Sums are checked inside.
        let judgement = judge(&run);
        prop_assert!(judgement.blame.iter().all(|row| row.time > 0 && row.share <= 1.0));
        if let Some(verdict) = judgement.verdict {
            let internal = |span: &Span| span.dependency == verdict.component.dependency
                && span.kind == verdict.component.kind
                && span.call.as_ref().is_some_and(|call| !call.internal);
            prop_assert!(verdict.component.dependency.is_none() || run.spans.iter().any(|span| internal(span) || span.call.is_none()));
            prop_assert!(!verdict.sentence.is_empty());
        }
        prop_assert!(findings(&[&run, &run]).iter().all(|finding| finding.runs <= 2));
    }

    #[test]
    fn the_critical_path_has_no_gap_and_sums_to_blame(run in any_run()) {
        let mut at = run.start;
        let mut sums = std::collections::BTreeMap::new();
        for piece in critical_path(&run) {
            prop_assert_eq!(piece.start, at, "it begins where the one before ended");
            prop_assert!(piece.end > piece.start);
            at = piece.end;
            *sums.entry(piece.component).or_insert(0) += piece.end - piece.start;
        }
        prop_assert_eq!(at, run.horizon());
        let blame = judge(&run).blame.into_iter().map(|row| (row.component, row.time)).collect();
        prop_assert_eq!(sums, blame);
    }

    #[test]
    fn any_run_is_judged_by_any_history_within_its_room(runs in prop::collection::vec(any_run(), 1..6), room in 0..6_usize) {
        let mut history = History::with_room(room);
        for run in &runs {
            let judgement = judge_with(run, &Losses::default(), &history);
            let sum: Nanos = judgement.blame.iter().map(|row| row.time).sum();
            prop_assert_eq!(sum, run.horizon() - run.start);
            prop_assert!(!judgement.healthy || judgement.verdict.is_none());
            history.learn(run);
            prop_assert!(history.groups() <= room);
        }
    }

    #[test]
    fn a_run_that_was_learned_already_is_judged_as_if_it_were_not(run in any_run()) {
        let mut history = History::default();
        history.learn(&run);
        prop_assert_eq!(judge_with(&run, &Losses::default(), &history), judge(&run));
    }

    #[test]
    fn the_order_of_closed_spans_with_ids_of_their_own_does_not_matter(mut spans in prop::collection::vec(span(), 1..20), seed in any::<u64>()) {
        for (nth, span) in spans.iter_mut().enumerate() {
            (span.id, span.start) = (SpanId(nth as u64 + 1), span.start / 64 * 64 + nth as u64);
            span.parent = (nth > 0).then_some(SpanId(seed % nth.max(1) as u64 + 1));
        }
        let named = |spans: &[Span]| {
            let sections = decompose(spans, None).trees.swap_remove(0).sections;
            sections.into_iter().map(|section| (spans[section.span].id, section.start, section.end)).collect::<Vec<_>>()
        };
        let before = named(&spans);
        spans.reverse();
        prop_assert_eq!(before, named(&spans));
    }
}
