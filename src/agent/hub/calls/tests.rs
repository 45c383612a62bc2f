use super::*;
use crate::agent::hub::tests::{MS, T0, ended, open};
use crate::model::{Phase, TraceId};

fn store() -> Store {
    Store::new(10, Nanos::MAX)
}

/// The same call, so many milliseconds long.
fn taking(mut span: Span, millis: Nanos) -> Span {
    let call = span.call.as_mut().unwrap();
    call.timeline.push(Phase::Wait, T0 + millis * MS);
    span.end = Some(T0 + millis * MS);
    span
}

fn of_trace(mut span: Span, trace: u8) -> Span {
    span.call.as_mut().unwrap().trace_id = Some(TraceId([trace; 16]));
    span
}

#[test]
fn a_failure_is_told_and_what_went_well_or_was_not_wanted_any_more_is_not() {
    let is_told = |outcome, failed_by| {
        let mut span = ended(1, "docs", outcome);
        span.call.as_mut().unwrap().failed_by = failed_by;
        Calls::default().told(&span, &store()).is_some()
    };
    for &outcome in Outcome::ALL {
        let expected = !matches!(outcome, Outcome::Ok | Outcome::Cancelled | Outcome::ClientError);
        assert_eq!(is_told(outcome, Some(FailedBy::Peer)), expected, "{outcome}");
    }
    assert!(is_told(Outcome::ClientError, Some(FailedBy::Own)));
    assert!(Calls::default().told(&open(1, "docs"), &store()).is_none());
}

#[test]
fn a_call_far_beyond_its_normal_is_told() {
    let mut store = store();
    let is_told = |store: &Store, millis| Calls::default().told(&taking(ended(99, "docs", Outcome::Ok), millis), store).is_some();
    assert!(!is_told(&store, 60_000), "nobody knows what is normal");
    (1..=20).for_each(|id| store.learn(&ended(id, "docs", Outcome::Ok)));
    assert!(!is_told(&store, 900), "nine times its normal, and no second");
    assert!(is_told(&store, 1_100));
    (21..=100).for_each(|id| store.learn(&taking(ended(id, "slow", Outcome::Ok), 800)));
    let slow = |millis| Calls::default().told(&taking(ended(999, "slow", Outcome::Ok), millis), &store).is_some();
    assert_eq!((slow(3_900), slow(4_100)), (false, true));
}

#[test]
fn the_other_calls_of_its_trace_are_told_with_it() {
    let mut calls = Calls::default();
    for id in 1..=100 {
        calls.keep(of_trace(ended(id, "docs", Outcome::Ok), 1));
        calls.keep(of_trace(ended(1_000 + id, "docs", Outcome::Ok), 2));
        calls.keep(ended(2_000 + id, "docs", Outcome::Ok));
    }
    let run = calls.told(&of_trace(ended(500, "docs", Outcome::Reset), 1), &store()).unwrap();
    assert_eq!(run.trace_id, Some(TraceId([1; 16])));
    let (root, hops) = run.spans.split_first().unwrap();
    assert_eq!(hops.len(), TOLD + 1);
    assert!(hops.iter().all(|hop| hop.parent == Some(root.id) && hop.id.0 <= 500), "{hops:?}");
    assert_eq!(calls.told(&ended(501, "docs", Outcome::Reset), &store()).unwrap().spans.len(), 2, "it carries no trace");
}

#[test]
fn so_many_calls_are_remembered_and_no_more() {
    let mut calls = Calls::default();
    (0..2 * RECENT as u64).for_each(|id| calls.keep(ended(id, "docs", Outcome::Ok)));
    let recent = calls.recent();
    assert_eq!((recent.len(), recent[0].id.0), (RECENT, RECENT as u64));
}
