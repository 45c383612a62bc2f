use super::*;
use crate::model::{Cause, Confidence, Evidence, ImportFact, Value};

/// The picture: retrieval ate the budget, the LLM call got what was left and raised.
fn support_agent() -> Run {
    let run = run(10_000).calls(13, Kind::Retrieval, "docs", 400, 300).with(|_, _| ());
    // The other calls were made side by side, so that they do not fill the run.
    let mut run = run;
    for span in &mut run.spans[1..] {
        let call = span.call.as_mut().unwrap();
        let mut timeline = Timeline::new(T0 + 100 * MS);
        timeline.push(Phase::Wait, T0 + 400 * MS);
        (span.start, span.end, call.timeline) = (T0 + 100 * MS, Some(T0 + 400 * MS), timeline);
    }
    run.call(Kind::Retrieval, "docs", 450, &[(Phase::Connect, 451), (Phase::Wait, 8_350)])
        .call(Kind::Llm, "openai", 8_380, &[(Phase::Wait, 8_400), (Phase::FirstToken, 9_980)])
        .gave_up()
        .exit(1)
}

fn assert_retrieval_ate_it(run: &Run) {
    let judgement = judge(run);
    assert_eq!(culprit(&judgement), "retrieval/docs wait");
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.usual, Some(300 * MS));
    assert_eq!(verdict.cause, Some(Cause::SlowDependency));
    assert_eq!(verdict.confidence, Confidence::High);
    let raised = verdict.raised_at.unwrap();
    assert_eq!((raised.kind, &*raised.dependency, raised.outcome), (Kind::Llm, "openai", Outcome::Timeout));
    assert_eq!(raised.gave_up_after, Some(1_600 * MS));
    let evidence = |name| verdict.evidence.iter().find(|evidence| evidence.name == name).map(|evidence| evidence.value.clone());
    assert_eq!(evidence("calls_seen"), Some(Value::Number(13.0)));
    assert_eq!(evidence("times_usual"), Some(Value::Number(26.3)));
    assert!(!judgement.healthy);
}

#[test]
fn the_slow_retrieval_is_the_culprit_although_the_llm_raised_at_the_deadline() {
    let run = support_agent().deadline(10_000);
    assert_retrieval_ate_it(&run);
    assert_eq!(judge(&run).outcome, Outcome::Timeout);
}

#[test]
fn the_slow_retrieval_is_the_culprit_without_a_stated_deadline() {
    let run = support_agent();
    assert_retrieval_ate_it(&run);
    assert_eq!(judge(&run).outcome, Outcome::Timeout);
}

#[test]
fn the_sentence_reads_as_in_the_reference() {
    let run = run(10_000)
        .calls(4, Kind::Retrieval, "docs", 10_000, 300)
        .call(Kind::Retrieval, "docs", 0, &[(Phase::Wait, 7_900)])
        .call(Kind::Llm, "openai", 8_000, &[(Phase::Wait, 9_600)])
        .gave_up()
        .exit(1);
    let verdict = judge(&run).verdict.unwrap();
    assert_eq!(verdict.sentence, "docs (retrieval) took 7.9 s of the 10 s waiting for its response; it normally takes 0.3 s.");
}

#[test]
fn without_a_baseline_the_larger_share_ate_a_budget_that_ran_out() {
    let run = run(3_100).call(Kind::Retrieval, "docs", 400, &[(Phase::Wait, 2_500)]).call(
        Kind::Llm,
        "openai",
        2_510,
        &[(Phase::Wait, 3_000)],
    );
    let run = run.gave_up().exit(1);
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "retrieval/docs wait");
    assert_eq!(judgement.outcome, Outcome::Timeout);
    let verdict = judgement.verdict.unwrap();
    assert_eq!((verdict.confidence, verdict.cause), (Confidence::Medium, None));
    assert!(verdict.raised_at.is_some());
}

#[test]
fn a_fixed_timeout_of_its_own_is_the_slow_hop_s_fault_whatever_else_took_long() {
    let run = run(8_600).call(Kind::Llm, "openai", 200, &[(Phase::Wait, 6_300)]).call(
        Kind::Tool,
        "search",
        6_400,
        &[(Phase::Wait, 8_402)],
    );
    let judgement = judge(&run.gave_up().exit(1));
    assert_eq!(culprit(&judgement), "tool/search wait");
    assert_eq!(judgement.verdict.unwrap().raised_at, None);
}

#[test]
fn a_plain_read_timeout_blames_the_peer_that_was_slow() {
    let run = run(700).call(Kind::Llm, "openai", 150, &[(Phase::Connect, 151), (Phase::Wait, 651)]).gave_up().exit(1);
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "llm/openai wait");
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.sentence, "The client gave up on openai (llm) after 0.5 s, waiting for its response.");
    assert_eq!(verdict.confidence, Confidence::High);
}

#[test]
fn a_failed_call_is_the_culprit_whatever_its_share() {
    let run = run(5_000)
        .call(Kind::Llm, "openai", 100, &[(Phase::Wait, 4_800)])
        .call(Kind::Retrieval, "docs", 4_810, &[(Phase::Connect, 4_811)])
        .failed(Outcome::Connect, FailedBy::Peer)
        .with(|_, call| call.errno = Some(111))
        .exit(1);
    let judgement = judge(&run);
    assert_eq!(judgement.outcome, Outcome::Connect);
    assert_eq!(culprit(&judgement), "retrieval/docs connect");
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.cause, Some(Cause::Unreachable));
    assert_eq!(verdict.sentence, "docs (retrieval) could not be reached at 127.0.0.1:8000 (ECONNREFUSED).");
    assert_eq!(verdict.evidence[0].value, Value::Text("ECONNREFUSED".into()));
    assert_eq!(verdict.raised_at, None);
}

#[test]
fn each_failure_has_its_cause_and_phase() {
    let phases = |last| [(Phase::Wait, 300), (last, 900)];
    let cases = [
        (Outcome::Connect, FailedBy::Peer, Phase::Connect, Phase::Connect, Some(Cause::Unreachable)),
        (Outcome::Timeout, FailedBy::Caller, Phase::Connect, Phase::Connect, Some(Cause::ConnectTimeout)),
        (Outcome::Connect, FailedBy::Peer, Phase::Proxy, Phase::Proxy, Some(Cause::Proxy)),
        (Outcome::Timeout, FailedBy::Caller, Phase::Proxy, Phase::Proxy, Some(Cause::Proxy)),
        (Outcome::Dns, FailedBy::Peer, Phase::Dns, Phase::Dns, Some(Cause::Dns)),
        (Outcome::Tls, FailedBy::Peer, Phase::Tls, Phase::Tls, Some(Cause::Tls)),
        (Outcome::Timeout, FailedBy::Caller, Phase::Tls, Phase::Tls, Some(Cause::Tls)),
        (Outcome::Timeout, FailedBy::Caller, Phase::Stream, Phase::Stream, Some(Cause::StreamStalled)),
        (Outcome::Reset, FailedBy::Peer, Phase::Stream, Phase::Stream, Some(Cause::ConnectionDropped)),
        (Outcome::Body, FailedBy::Peer, Phase::Stream, Phase::Stream, Some(Cause::ConnectionDropped)),
        (Outcome::RateLimited, FailedBy::Peer, Phase::Wait, Phase::Wait, Some(Cause::RateLimited)),
        (Outcome::ServerError, FailedBy::Peer, Phase::Wait, Phase::Wait, None),
        (Outcome::Timeout, FailedBy::Caller, Phase::FirstToken, Phase::FirstToken, None),
        (Outcome::Cancelled, FailedBy::Caller, Phase::Stream, Phase::Stream, None),
    ];
    for (outcome, by, last, phase, cause) in cases {
        let judgement = judge(&run(1_000).call(Kind::Llm, "openai", 100, &phases(last)).failed(outcome, by).exit(1));
        assert_eq!(judgement.outcome, outcome, "{outcome} in {last}");
        let verdict = judgement.verdict.unwrap_or_else(|| panic!("a verdict for {outcome} in {last}"));
        assert_eq!((verdict.component.phase, verdict.cause), (phase, cause), "{outcome} in {last}");
        assert_eq!(verdict.remedy.is_some(), cause.is_some());
        assert!(verdict.sentence.ends_with('.') && verdict.sentence.contains("openai"), "{}", verdict.sentence);
    }
}

#[test]
fn a_timeout_of_the_kernel_or_of_a_connector_is_an_unanswered_connection() {
    let failed = |phase, errno, error_type: Option<&str>| {
        let run = run(2_000).call(Kind::Http, "db", 100, &[(phase, 1_900)]).failed(Outcome::Connect, FailedBy::Peer);
        let run = run.with(|_, call| (call.errno, call.error_type) = (errno, error_type.map(Into::into))).exit(1);
        judge(&run).verdict.unwrap().cause
    };
    assert_eq!(failed(Phase::Connect, Some(110), None), Some(Cause::ConnectTimeout));
    assert_eq!(failed(Phase::Connect, None, Some("timeout")), Some(Cause::ConnectTimeout));
    assert_eq!(failed(Phase::Connect, Some(111), Some("connection_refused")), Some(Cause::Unreachable));
    assert_ne!(failed(Phase::Proxy, None, Some("timeout")), Some(Cause::ConnectTimeout), "it is the proxy that is silent");
}

#[test]
fn the_program_s_own_failure_blames_no_dependency() {
    let judgement = judge(&run(1_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]).exit(1));
    assert_eq!((judgement.outcome, judgement.healthy, judgement.verdict), (Outcome::Error, false, None));
}

#[test]
fn a_failure_that_was_caught_is_told_of_a_run_that_ended_well() {
    let run = run(2_000).call(Kind::Tool, "lookup", 100, &[(Phase::Wait, 1_100)]).gave_up();
    let judgement = judge(&run.call(Kind::Llm, "openai", 1_150, &[(Phase::Wait, 1_900)]));
    assert_eq!((judgement.outcome, judgement.healthy), (Outcome::Ok, false));
    assert_eq!(culprit(&judgement), "tool/lookup wait");
}

#[test]
fn a_late_run_blames_the_largest_excess_before_the_largest_share() {
    let run = run(10_000)
        .calls(4, Kind::Llm, "openai", 0, 1_500)
        .calls(5, Kind::Retrieval, "docs", 6_000, 100)
        .call(Kind::Retrieval, "docs", 6_500, &[(Phase::Wait, 9_900)])
        .deadline(9_000);
    let judgement = judge(&run);
    assert_eq!(judgement.outcome, Outcome::Timeout);
    assert_eq!(told(&judgement)[0], "llm/openai wait 6000");
    assert_eq!(culprit(&judgement), "retrieval/docs wait");
    assert_eq!(judgement.verdict.unwrap().raised_at, None);
}

#[test]
fn a_hop_that_never_ends_is_the_culprit_of_a_cut_run_and_blame_stops_at_the_deadline() {
    let mut run = run(12_000).call(Kind::Llm, "openai", 1_000, &[(Phase::Wait, 12_000)]).open().deadline(10_000);
    run.exit = Some(Exit { code: 143, signal: Some(15), by_user: false, by_deadline: true });
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "llm/openai wait");
    assert_eq!(told(&judgement), ["llm/openai wait 9000", "-/- self 1000"]);
    let verdict = judgement.verdict.unwrap();
    assert_eq!((verdict.confidence, verdict.share), (Confidence::Medium, 0.9));
    assert_eq!(verdict.sentence, "openai (llm) took 9 s of the 10 s waiting for its response.");
}

#[test]
fn the_caller_s_own_time_wins_only_above_one_half() {
    let late = |own: u64| {
        let run = run(1_100).call(Kind::Llm, "openai", own, &[(Phase::Wait, 1_000)]).deadline(1_000);
        culprit(&judge(&run))
    };
    assert_eq!(late(600), "own self");
    assert_eq!(late(400), "llm/openai wait");
}

#[test]
fn a_slow_start_is_named_as_such() {
    let mut run = run(1_100).call(Kind::Llm, "openai", 900, &[(Phase::Wait, 1_050)]).deadline(1_000);
    let mut startup = Span::new(99, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 900 * MS));
    startup.kind = Some(Kind::Startup);
    run.spans.push(startup);
    run.imports = vec![ImportFact { name: "openai".into(), took: 445 * MS }, ImportFact { name: "numpy".into(), took: 163 * MS }];
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "startup self");
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.sentence, "Start-up took 0.9 s of the 1 s.");
    assert!(verdict.evidence.contains(&Evidence::text("imports", "openai 0.45 s, numpy 0.16 s")), "{:?}", verdict.evidence);
}

#[test]
fn own_time_that_is_to_blame_only_as_a_whole_says_so() {
    let mut run = run(2_100).call(Kind::Llm, "openai", 500, &[(Phase::Wait, 1_350)]).deadline(2_000);
    let mut startup = Span::new(99, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 500 * MS));
    startup.kind = Some(Kind::Startup);
    run.spans.push(startup);
    let verdict = judge(&run).verdict.unwrap();
    let expected = "The program's own time was 0.65 s of the 2 s (1.2 s with all else that is its own: work, start-up, stalls).";
    assert_eq!(verdict.sentence, expected);
    assert!(verdict.evidence.contains(&Evidence::time("own_time", 1_150 * MS)));
}

#[test]
fn a_blocked_event_loop_is_the_culprit_and_not_the_answer_that_lay_unread() {
    let run = run(4_200)
        .call(Kind::Llm, "openai", 100, &[(Phase::Wait, 300)])
        .with(|span, call| {
            call.timeline.push_stall(StallCause::Sleep, T0 + 3_300 * MS);
            call.timeline.push(Phase::Stream, T0 + 3_400 * MS);
            span.end = Some(call.timeline.end());
        })
        .stalled(200, 3_300, StallCause::Sleep)
        .deadline(4_000);
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "own stall");
    assert_eq!(told(&judgement), ["-/- stall 3000", "-/- self 700", "llm/openai wait 200", "llm/openai stream 100"]);
    assert_eq!(judgement.blame[0].detail.as_deref(), Some("event loop blocked in sleep"));
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.cause, Some(Cause::BlockingInAsync));
    assert_eq!(verdict.sentence, "The program was blocked for 3 s of the 4 s: event loop blocked in sleep.");
}

#[test]
fn a_retry_that_gave_up_is_one_failed_call_with_its_backoff() {
    let run = run(6_000)
        .call(Kind::Llm, "openai", 100, &[(Phase::Wait, 300), (Phase::Backoff, 5_300), (Phase::Wait, 5_500)])
        .failed(Outcome::RateLimited, FailedBy::Peer)
        .with(|_, call| {
            call.status = Some(429);
            call.attempts[0].retry_after = Some(5_000 * MS);
            call.attempts.push(call.attempts[0].clone());
        })
        .exit(1);
    let judgement = judge(&run);
    assert_eq!(culprit(&judgement), "llm/openai backoff");
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.cause, Some(Cause::RateLimited));
    assert_eq!(verdict.sentence, "openai (llm) refused the call for its rate limit (429) in 2 attempts, asking to wait 5 s.");
}

#[test]
fn lost_observations_and_estimates_lower_the_confidence() {
    let run =
        run(1_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]).failed(Outcome::ServerError, FailedBy::Peer).exit(1);
    let lost = Losses { missed: [("ring".into(), 1)].into(), ..Losses::default() };
    assert_eq!(super::super::judge(&run, &lost).verdict.unwrap().confidence, Confidence::Low);
    let inferred = run.with(|span, _| span.inferred = true);
    assert_eq!(judge(&inferred).verdict.unwrap().confidence, Confidence::Low);
}

#[test]
fn the_error_s_class_is_the_call_s_own_or_the_one_written_after_it() {
    let raised = |mut run: Run, at: u64| {
        run.raised = Some(("ReadTimeout".into(), T0 + at * MS));
        judge(&run).verdict.unwrap().raised_at.unwrap().error_type
    };
    assert_eq!(raised(support_agent(), 9_990).as_deref(), Some("ReadTimeout"));
    assert_eq!(raised(support_agent(), 300), None, "written before the call began");
    let known = support_agent().with(|_, call| call.error_type = Some("APITimeoutError".into()));
    assert_eq!(raised(known, 9_990).as_deref(), Some("APITimeoutError"));
}

#[test]
fn a_server_of_the_run_itself_is_shown_but_what_it_waited_for_is_blamed() {
    let inner = |run: Run| run.call(Kind::Llm, "openai", 300, &[(Phase::Wait, 9_000)]).with(|_, call| call.client.pid = Some(8));
    let outer = || {
        let run = run(10_500).call(Kind::Http, "localhost:9000", 100, &[(Phase::Wait, 9_800)]);
        run.with(|_, call| call.internal = true).deadline(10_000)
    };
    let judgement = judge(&inner(outer()));
    assert_eq!(culprit(&judgement), "llm/openai wait");
    assert_eq!(told(&judgement), ["llm/openai wait 8700", "http/localhost:9000 wait 1000", "-/- self 300"]);
    assert_eq!(culprit(&judge(&outer())), "none");
    assert!(!judge(&outer()).healthy);
}

#[test]
fn a_run_that_still_goes_on_is_judged_as_of_what_was_seen() {
    let mut run = run(5_000).call(Kind::Llm, "openai", 500, &[(Phase::Wait, 5_000)]).open();
    (run.end, run.exit, run.spans[0].end) = (None, None, None);
    assert_eq!(told(&judge(&run)), ["llm/openai wait 4500", "-/- self 500"]);
    let judgement = judge(&run.deadline(4_000));
    assert_eq!((judgement.outcome, culprit(&judgement).as_str()), (Outcome::Timeout, "llm/openai wait"));
}

#[test]
fn stopping_an_idle_server_blames_nobody_and_stopping_a_hanging_call_names_it() {
    let stopped = |mut run: Run| {
        run.exit = Some(Exit { code: 130, signal: Some(2), by_user: true, by_deadline: false });
        judge(&run)
    };
    let idle = stopped(run(60_000).calls(20, Kind::Llm, "openai", 0, 400));
    assert_eq!((idle.outcome, idle.healthy, idle.verdict), (Outcome::Cancelled, true, None));
    let hanging = stopped(run(60_000).call(Kind::Llm, "openai", 1_000, &[(Phase::Wait, 60_000)]).open());
    assert_eq!((hanging.outcome, hanging.healthy), (Outcome::Cancelled, false));
    assert_eq!(culprit(&hanging), "llm/openai wait");
}

#[test]
fn start_up_does_not_take_the_blame_of_a_call_that_was_left() {
    let mut run = run(4_000).call(Kind::Llm, "openai", 3_100, &[(Phase::Wait, 3_830)]).gave_up().exit(1);
    let mut startup = Span::new(99, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 3_000 * MS));
    startup.kind = Some(Kind::Startup);
    run.spans.push(startup);
    assert_eq!(culprit(&judge(&run)), "llm/openai wait");
}

#[test]
fn start_up_does_not_hide_where_a_budget_went() {
    let mut run = run(9_000).call(Kind::Retrieval, "docs", 5_100, &[(Phase::Wait, 8_000)]);
    run = run.call(Kind::Llm, "openai", 8_050, &[(Phase::Wait, 8_830)]).gave_up().exit(1);
    let mut startup = Span::new(99, Some(1), "agent".into(), "startup".into(), T0, Some(T0 + 5_000 * MS));
    startup.kind = Some(Kind::Startup);
    run.spans.push(startup);
    assert_eq!(culprit(&judge(&run)), "retrieval/docs wait");
}

#[test]
fn a_call_left_because_its_answer_was_not_read_is_the_stall_s_fault() {
    let run = run(3_500).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 300)]).with(|span, call| {
        call.timeline.push_stall(StallCause::Sleep, T0 + 3_300 * MS);
        span.end = Some(call.timeline.end());
    });
    let judgement = judge(&run.gave_up().stalled(200, 3_300, StallCause::Sleep).exit(1));
    assert_eq!((judgement.outcome, culprit(&judgement).as_str()), (Outcome::Timeout, "own stall"));
    let verdict = judgement.verdict.unwrap();
    assert_eq!(verdict.cause, Some(Cause::BlockingInAsync));
    assert_eq!(verdict.raised_at.unwrap().dependency.as_ref(), "openai");
}

#[test]
fn a_timeout_that_the_program_went_on_after_was_no_end_of_a_budget() {
    let run = run(4_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 2_100)]).call(
        Kind::Tool,
        "lookup",
        2_110,
        &[(Phase::Wait, 2_840)],
    );
    let went_on = run.gave_up().calls(1, Kind::Llm, "openai", 2_900, 500);
    assert_eq!(culprit(&judge(&went_on)), "tool/lookup wait");
}

#[test]
fn an_unanswered_connection_is_a_fault_whatever_took_long_before() {
    let run = run(4_000).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 2_900)]).call(
        Kind::Tool,
        "lookup",
        3_000,
        &[(Phase::Connect, 3_830)],
    );
    assert_eq!(culprit(&judge(&run.gave_up().exit(1))), "tool/lookup connect");
}
