use super::*;

fn assert_healthy(run: &Run) {
    let judgement = judge(run);
    assert_eq!((judgement.outcome, judgement.healthy, judgement.verdict), (Outcome::Ok, true, None));
}

#[test]
fn a_model_that_is_always_slow_is_silent() {
    assert_healthy(&run(60_000).calls(6, Kind::Llm, "openai", 500, 9_500));
    assert_healthy(&run(30_000).calls(1, Kind::Llm, "openai", 500, 29_000));
}

#[test]
fn a_long_stream_is_silent() {
    let run = (0..6).fold(run(40_000), |run, nth| {
        let start = 100 + nth * 400;
        run.call(Kind::Llm, "openai", start, &[(Phase::Wait, start + 100), (Phase::Stream, start + 400)])
    });
    let run = run.call(Kind::Llm, "openai", 3_000, &[(Phase::Wait, 3_100), (Phase::Stream, 39_000)]);
    assert_healthy(&run.with(|_, call| call.bytes.received = 80_000));
}

#[test]
fn fifty_calls_that_queue_at_a_server_are_silent() {
    let run = (1..=50).fold(run(10_500), |run, nth| run.call(Kind::Llm, "openai", 200, &[(Phase::Wait, 200 + nth * 200)]));
    assert_healthy(&run);
}

#[test]
fn a_retry_that_succeeded_in_time_is_healthy() {
    let run = run(3_000)
        .call(Kind::Llm, "openai", 100, &[(Phase::Wait, 600), (Phase::Backoff, 1_600), (Phase::Wait, 2_000)])
        .call(Kind::Retrieval, "docs", 2_000, &[(Phase::Wait, 2_100)])
        .failed(Outcome::ServerError, FailedBy::Peer)
        .call(Kind::Retrieval, "docs", 2_200, &[(Phase::Wait, 2_300)]);
    assert_healthy(&run.deadline(5_000));
}

#[test]
fn another_operation_or_another_dependency_makes_nothing_good() {
    let failed = || run(3_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 600)]).failed(Outcome::ServerError, FailedBy::Peer);
    let other = failed().call(Kind::Llm, "anthropic", 700, &[(Phase::Wait, 900)]);
    assert!(!judge(&other).healthy);
    let other =
        failed().call(Kind::Llm, "openai", 700, &[(Phase::Wait, 900)]).with(|span, _| span.operation = "GET /models".into());
    assert!(!judge(&other).healthy);
}

#[test]
fn what_a_program_lets_go_by_itself_is_no_failure() {
    // A stream read as far as wanted; a connection held open to the exit; the slower of two like calls.
    assert_healthy(
        &run(3_000).call(Kind::Llm, "openai", 100, &[(Phase::Stream, 600)]).failed(Outcome::Cancelled, FailedBy::Caller),
    );
    assert_healthy(&run(3_000).call(Kind::Http, "mcp", 100, &[(Phase::Stream, 3_000)]).gave_up());
    assert_healthy(
        &run(3_000).calls(1, Kind::Llm, "openai", 100, 900).call(Kind::Llm, "openai", 150, &[(Phase::Wait, 1_005)]).gave_up(),
    );
    let asked =
        run(3_000).call(Kind::Retrieval, "chroma", 100, &[(Phase::Wait, 110)]).failed(Outcome::ClientError, FailedBy::Peer);
    assert_healthy(&asked.with(|_, call| call.status = Some(404)));
}

#[test]
fn a_refused_request_that_nothing_followed_is_a_failure_when_the_program_failed() {
    let run = run(3_000).call(Kind::Retrieval, "chroma", 100, &[(Phase::Wait, 110)]).failed(Outcome::ClientError, FailedBy::Peer);
    let run = run.with(|_, call| call.status = Some(404)).exit(1);
    let judgement = judge(&run);
    assert_eq!((judgement.outcome, culprit(&judgement).as_str()), (Outcome::ClientError, "retrieval/chroma wait"));
    let went_on = judge(&run.calls(1, Kind::Llm, "openai", 200, 500));
    assert_eq!((went_on.outcome, went_on.verdict), (Outcome::Error, None));
}

#[test]
fn a_gross_excess_is_told_even_of_a_run_that_ended_well() {
    let excess = |others: u64, took: u64| {
        let run = run(4_000).calls(others, Kind::Retrieval, "docs", 0, 100);
        judge(&run.call(Kind::Retrieval, "docs", 1_000, &[(Phase::Wait, 1_000 + took)]))
    };
    let judgement = excess(6, 2_500);
    assert_eq!((judgement.outcome, judgement.healthy), (Outcome::Ok, false));
    assert_eq!(culprit(&judgement), "retrieval/docs wait");
    assert!(excess(4, 2_500).healthy, "too few others");
    assert!(excess(6, 900).healthy, "too small a part of the run");
}

#[test]
fn an_outsized_request_is_not_compared_with_small_ones() {
    let run = run(4_000).calls(6, Kind::Llm, "openai", 0, 100).call(Kind::Llm, "openai", 1_000, &[(Phase::Wait, 3_500)]);
    let run = run.with(|_, call| call.bytes.sent = 50_000);
    assert_healthy(&run);
    assert_eq!(judge(&run).blame[0].usual, None);
}

#[test]
fn an_event_loop_blocked_for_long_is_told_and_one_that_computes_is_not() {
    let blocked = |cause, end| judge(&run(4_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 500)]).stalled(600, end, cause));
    let judgement = blocked(StallCause::Sleep, 2_600);
    assert_eq!((judgement.healthy, culprit(&judgement).as_str()), (false, "own stall"));
    assert!(blocked(StallCause::Sleep, 1_200).healthy);
    assert!(blocked(StallCause::Cpu, 3_600).healthy);
}

#[test]
fn an_answer_that_lay_unread_for_long_is_told() {
    let run = run(4_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 300)]).with(|span, call| {
        call.timeline.push_stall(StallCause::Cpu, T0 + 2_300 * MS);
        span.end = Some(call.timeline.end());
    });
    let judgement = judge(&run.stalled(250, 2_300, StallCause::Cpu));
    assert_eq!((judgement.healthy, culprit(&judgement).as_str()), (false, "own stall"));
}

#[test]
fn a_run_without_anything_is_healthy() {
    assert_healthy(&run(0));
    let empty = judge(&Run::default());
    assert_eq!((empty.healthy, empty.blame), (true, vec![]));
}
