use super::super::{History, exceeded, judge_with};
use super::*;

fn told(run: &Run) -> String {
    exceeded(run, &judge(run))
}

fn slow_search() -> Run {
    scope(10_000, Outcome::Timeout).deadline(10_000).call(Kind::Retrieval, "qdrant", 100, &[(Phase::Wait, 8_000)])
}

#[test]
fn an_expired_run_names_its_culprit_in_one_line() {
    assert_eq!(told(&slow_search()), "10 s exceeded: 7.9 s in retrieval/qdrant (wait)");
    let mut history = History::default();
    (0..5).for_each(|nth| history.learn(&run(1_000).calls(1, Kind::Retrieval, "qdrant", nth, 300)));
    let run = slow_search().later(60);
    let judgement = judge_with(&run, &Losses::default(), &history);
    assert_eq!(exceeded(&run, &judgement), "10 s exceeded: 7.9 s in retrieval/qdrant (wait), normally 0.3 s");
}

#[test]
fn several_calls_are_counted_and_each_has_its_usual_time() {
    let run = scope(10_000, Outcome::Timeout).deadline(10_000).calls(8, Kind::Tool, "search", 0, 1_200);
    assert_eq!(told(&run), "10 s exceeded: 9.6 s in tool/search (wait) over 8 calls, normally 1.2 s each");
}

#[test]
fn the_caller_s_own_time_is_told_as_such() {
    let idle = || scope(10_000, Outcome::Timeout).deadline(10_000);
    assert_eq!(told(&idle()), "10 s exceeded: 10 s in the caller itself");
    let stalled = idle().stalled(100, 8_000, StallCause::Sleep);
    assert_eq!(told(&stalled), "10 s exceeded: 7.9 s in the caller itself (stall: event loop blocked in sleep)");
}

#[test]
fn start_up_is_told_with_its_parts_where_they_are_known() {
    let mut run = scope(10_000, Outcome::Timeout).deadline(10_000);
    let mut part = Span::new(9, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 7_900 * MS));
    part.kind = Some(Kind::Startup);
    run.spans.push(part);
    assert_eq!(told(&run), "10 s exceeded: 7.9 s in start-up");
    run.spans[1].operation = "index".into();
    assert_eq!(told(&run), "10 s exceeded: 7.9 s in start-up (index 7.9 s)");
}

#[test]
fn without_a_culprit_only_the_deadline_is_told() {
    assert_eq!(told(&Run { deadline: Some(0), ..scope(0, Outcome::Timeout) }), "0 ms exceeded");
    let of_its_own = slow_search().with(|_, call| call.internal = true);
    assert_eq!(told(&of_its_own), "10 s exceeded");
}
