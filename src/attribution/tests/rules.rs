use super::*;
use crate::model::{Cause, Evidence, Verdict};

/// A wait at a gate, as the library tells it: a span inside the run with one phase.
fn gate(run: Run, name: &str, start: u64, end: u64) -> Run {
    run.call(Kind::Http, name, start, &[(Phase::Gate, end)]).with(|span, call| {
        span.role = Role::Internal;
        (call.bytes, call.address) = (Bytes::default(), None);
    })
}

fn cause(run: &Run) -> Option<Cause> {
    verdict(run).cause
}

fn verdict(run: &Run) -> Verdict {
    judge(run).verdict.unwrap()
}

#[test]
fn a_wait_at_the_caller_s_own_gate_is_excess_concurrency_and_named_by_the_gate() {
    let run = gate(scope(10_000, Outcome::Timeout).deadline(10_000), "llm-gate", 500, 8_000);
    let run = run.call(Kind::Llm, "openai", 8_000, &[(Phase::Wait, 10_000)]).gave_up();
    let judgement = judge(&run);
    assert_eq!(told(&judgement), ["http/llm-gate gate 7500", "llm/openai wait 2000", "-/- self 500"]);
    let verdict = verdict(&run);
    assert_eq!((culprit(&judgement).as_str(), verdict.cause), ("http/llm-gate gate", Some(Cause::ExcessConcurrency)));
    assert_eq!(verdict.sentence, "llm-gate (http) took 7.5 s of the 10 s waiting for a permit.");
    assert!(verdict.evidence.contains(&Evidence::time("gate_wait", 7_500 * MS)), "{:?}", verdict.evidence);
    assert!(verdict.remedy.unwrap().contains("the gate (llm-gate)"));
}

#[test]
fn a_gate_without_a_kind_is_told_by_its_name_all_the_same() {
    let mut run = gate(scope(10_000, Outcome::Timeout).deadline(10_000), "llm-gate", 500, 8_000);
    run.spans[1].kind = None;
    assert_eq!((culprit(&judge(&run)).as_str(), cause(&run)), ("-/llm-gate gate", Some(Cause::ExcessConcurrency)));
}

#[test]
fn a_gate_that_let_through_at_once_says_nothing() {
    let run = gate(scope(10_000, Outcome::Timeout).deadline(10_000), "llm-gate", 0, 10);
    let run = run.call(Kind::Llm, "openai", 10, &[(Phase::Gate, 3_000), (Phase::Wait, 10_000)]).gave_up();
    assert_eq!((culprit(&judge(&run)).as_str(), cause(&run)), ("llm/openai wait", None));
}

#[test]
fn a_wait_for_a_free_connection_is_an_exhausted_pool_with_the_calls_that_held_them() {
    let run = (0..4).fold(scope(10_000, Outcome::Timeout).deadline(10_000), |run, _| {
        run.call(Kind::Http, "postgres", 0, &[(Phase::Wait, 9_000)])
    });
    let waiting = |run: Run, pool| run.call(Kind::Http, "postgres", 100, &[(Phase::Pool, pool), (Phase::Wait, 10_000)]);
    let verdict = verdict(&waiting(run.clone(), 9_000));
    assert_eq!((verdict.component.phase, verdict.cause), (Phase::Pool, Some(Cause::PoolExhausted)));
    assert!(verdict.evidence.contains(&Evidence::time("pool_wait", 8_900 * MS)), "{:?}", verdict.evidence);
    assert!(verdict.evidence.contains(&Evidence::number("in_flight", 4.0)), "{:?}", verdict.evidence);
    assert_ne!(cause(&waiting(run, 1_000)), Some(Cause::PoolExhausted), "a small part of the call");
}

#[test]
fn the_remedy_for_a_blocked_event_loop_is_in_the_program_s_own_language() {
    let remedy = |run: Run| verdict(&run.stalled(0, 3_000, StallCause::Sleep).deadline(3_500)).remedy.unwrap();
    let ours = remedy(scope(4_000, Outcome::Ok));
    assert!(ours.contains("spawn_blocking") && !ours.contains("asyncio"), "{ours}");
    assert!(remedy(run(4_000)).contains("asyncio.to_thread"));
}

#[test]
fn a_plain_thread_that_blocks_is_no_blocking_in_async() {
    let mut run = scope(4_000, Outcome::Ok).stalled(0, 3_000, StallCause::Sleep).deadline(3_500);
    run.stalls[0].event_loop = false;
    assert_eq!(cause(&run), None);
}

#[test]
fn a_tool_slower_than_its_like_is_a_slow_tool_and_one_as_usual_is_not() {
    let late = |took: u64| {
        let run = scope(10_000, Outcome::Ok).calls(5, Kind::Tool, "search", 0, 1_000);
        cause(&run.call(Kind::Tool, "search", 5_000, &[(Phase::Wait, 5_000 + took)]).deadline(9_500))
    };
    assert_eq!(late(5_000), Some(Cause::SlowTool));
    assert_eq!(late(1_900), None);
}

#[test]
fn a_proxy_that_does_not_lead_on_is_the_cause_and_not_the_peer() {
    let call = |phases: &[(Phase, u64)]| scope(900, Outcome::ServerError).call(Kind::Llm, "openai", 100, phases);
    let refused = call(&[(Phase::Connect, 110), (Phase::Proxy, 120)]).failed(Outcome::Connect, FailedBy::Peer);
    let refused = refused.with(|_, call| call.status = Some(407));
    let verdict = verdict(&refused);
    assert_eq!((verdict.component.phase, verdict.cause), (Phase::Proxy, Some(Cause::Proxy)));
    assert_eq!(verdict.sentence, "The proxy at 127.0.0.1:8000 did not lead to openai (llm): it answered 407.");
    assert!(verdict.remedy.unwrap().contains("its credentials"));
    let slow = call(&[(Phase::Connect, 110), (Phase::Proxy, 800), (Phase::Wait, 850)]);
    assert_eq!(cause(&slow.deadline(800)), Some(Cause::Proxy));
    let behind = call(&[(Phase::Connect, 110), (Phase::Proxy, 120), (Phase::Tls, 800)]).failed(Outcome::Tls, FailedBy::Peer);
    assert_eq!(cause(&behind), Some(Cause::Tls), "it was passed");
}
