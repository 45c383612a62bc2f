use super::super::{History, judge_with};
use super::*;
use crate::model::{Cause, Confidence, Value};

/// Runs of one search of 300 ms each, an hour and more ago.
fn searches(count: u64) -> History {
    let mut history = History::default();
    for nth in 0..count {
        history.learn(&scope(1_000, Outcome::Ok).calls(1, Kind::Retrieval, "qdrant", 100, 300).later(nth * 60));
    }
    history
}

/// The example: one slow search, and what is left for the model.
fn slow_search() -> Run {
    let run = scope(10_000, Outcome::Timeout).call(Kind::Retrieval, "qdrant", 100, &[(Phase::Wait, 8_000)]);
    run.call(Kind::Llm, "openai", 8_000, &[(Phase::Wait, 10_000)]).gave_up().deadline(10_000).later(90_000)
}

#[test]
fn the_only_call_of_a_run_is_compared_with_those_of_earlier_runs() {
    let run = slow_search();
    assert_eq!(judge(&run).verdict.unwrap().usual, None);
    let verdict = judge_with(&run, &Losses::default(), &searches(20)).verdict.unwrap();
    assert_eq!(
        (verdict.usual, verdict.cause, verdict.confidence),
        (Some(300 * MS), Some(Cause::SlowDependency), Confidence::High)
    );
    let evidence = |name| verdict.evidence.iter().find(|evidence| evidence.name == name).map(|evidence| evidence.value.clone());
    assert_eq!(evidence("calls_seen"), Some(Value::Number(20.0)));
    assert_eq!(evidence("times_usual"), Some(Value::Number(26.3)));
    assert!(verdict.sentence.ends_with("it normally takes 0.3 s."), "{}", verdict.sentence);
}

#[test]
fn two_remembered_calls_are_too_few_and_one_more_in_the_run_is_enough() {
    let usual = |run: &Run| judge_with(run, &Losses::default(), &searches(2)).blame[0].usual;
    assert_eq!(usual(&slow_search()), None);
    let with_another = scope(10_000, Outcome::Timeout).call(Kind::Retrieval, "qdrant", 500, &[(Phase::Wait, 9_000)]).calls(
        1,
        Kind::Retrieval,
        "qdrant",
        100,
        400,
    );
    assert_eq!(usual(&with_another), Some(300 * MS), "300, 300, 400");
}

#[test]
fn a_call_that_was_learned_as_it_ended_is_not_compared_with_itself() {
    let run = slow_search();
    let mut history = searches(3);
    history.learn(&run);
    assert_eq!(judge_with(&run, &Losses::default(), &history), judge_with(&run, &Losses::default(), &searches(3)));
    let again = slow_search().later(60);
    let usual = judge_with(&again, &Losses::default(), &history).blame[0].usual;
    assert_eq!(usual, Some(300 * MS), "another run's call with the same id is another call");
    assert_eq!(judge_with(&again, &Losses::default(), &history).verdict.unwrap().evidence[0].value, Value::Number(4.0));
}

#[test]
fn only_calls_that_ended_well_are_learned() {
    let mut history = History::default();
    history.learn(&scope(1_000, Outcome::Ok).call(Kind::Llm, "openai", 0, &[(Phase::Wait, 9)]).open());
    history.learn(&scope(1_000, Outcome::Ok).call(Kind::Llm, "openai", 0, &[(Phase::Wait, 9)]).gave_up());
    assert_eq!(history.groups(), 0);
}

#[test]
fn a_gross_excess_over_what_is_remembered_is_told_of_a_run_that_ended_well() {
    let run = scope(4_000, Outcome::Ok).call(Kind::Retrieval, "qdrant", 100, &[(Phase::Wait, 3_000)]);
    assert!(judge(&run).healthy);
    let judgement = judge_with(&run, &Losses::default(), &searches(20));
    assert_eq!((judgement.healthy, culprit(&judgement).as_str()), (false, "retrieval/qdrant wait"));
    let longer = run.with(|_, call| call.bytes.received = 100_000);
    assert!(judge_with(&longer, &Losses::default(), &searches(20)).healthy, "a long answer takes long");
}

#[test]
fn an_outage_of_a_minute_under_load_does_not_become_normal() {
    let mut history = searches(History::CALLS as u64);
    let slow = scope(8_000, Outcome::Ok).call(Kind::Retrieval, "qdrant", 0, &[(Phase::Wait, 7_900)]).later(80_000);
    for nth in 0..6_000 {
        let mut span = slow.spans[1].clone();
        (span.id, span.start) = (crate::model::SpanId(nth), span.start + nth * 10 * MS);
        history.learn_span(&span);
    }
    assert_eq!(judge_with(&slow_search(), &Losses::default(), &history).blame[0].usual, Some(300 * MS));
    // What stays so for long is the new normal.
    (0..60).for_each(|nth| history.learn(&slow.clone().later(100 + nth * 10)));
    assert_eq!(judge_with(&slow_search(), &Losses::default(), &history).blame[0].usual, Some(7_900 * MS));
}

#[test]
fn groups_beyond_the_room_push_out_the_least_recently_used_and_are_counted() {
    let mut history = History::with_room(2);
    let mut learn = |name: &str, at: u64| {
        history.learn(&scope(1_000, Outcome::Ok).calls(1, Kind::Tool, name, 100, 300).later(at));
        (history.groups(), history.evicted())
    };
    assert_eq!(learn("a", 1), (1, 0));
    assert_eq!(learn("b", 2), (2, 0));
    assert_eq!(learn("a", 3), (2, 0));
    assert_eq!(learn("c", 4), (2, 1), "`b` goes");
    assert_eq!(learn("a", 5), (2, 1));
    assert_eq!(learn("b", 6), (2, 2));
    let mut none = History::with_room(0);
    none.learn(&slow_search());
    assert_eq!(none.groups(), 0);
}

#[test]
fn a_phase_that_appears_late_was_not_there_before() {
    let mut history = searches(5);
    for nth in 0..2 {
        let phases = [(Phase::Pool, 2_000), (Phase::Wait, 2_300)];
        history.learn(&scope(3_000, Outcome::Ok).call(Kind::Retrieval, "qdrant", 0, &phases).later(1_000 + nth));
    }
    let queued =
        scope(10_000, Outcome::Timeout).call(Kind::Retrieval, "qdrant", 0, &[(Phase::Pool, 9_000), (Phase::Wait, 9_300)]);
    let judgement = judge_with(&queued.deadline(9_500).later(9_000), &Losses::default(), &history);
    assert_eq!(culprit(&judgement), "retrieval/qdrant pool");
    assert_eq!(judgement.blame[0].usual, Some(0));
}
