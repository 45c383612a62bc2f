use super::*;

#[test]
fn a_scope_that_expired_timed_out_even_in_the_very_moment_of_its_deadline() {
    let expired = |end: u64| {
        let run = scope(end, Outcome::Timeout).call(Kind::Llm, "openai", 0, &[(Phase::Wait, end)]).gave_up().deadline(10_000);
        judge(&run)
    };
    assert_eq!((expired(10_000).outcome, culprit(&expired(10_000)).as_str()), (Outcome::Timeout, "llm/openai wait"));
    assert_eq!(expired(10_000).verdict.unwrap().raised_at, None, "nobody raised: the scope ended it");
    assert_eq!(expired(10_003).outcome, Outcome::Timeout);
    let none = judge(&Run { deadline: Some(0), ..scope(0, Outcome::Timeout) });
    assert_eq!((none.outcome, none.healthy, none.verdict), (Outcome::Timeout, false, None));
}

#[test]
fn a_timeout_of_its_own_before_the_deadline_is_a_failure_like_others() {
    let run = scope(3_000, Outcome::Timeout).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]).deadline(10_000);
    let judgement = judge(&run);
    assert_eq!((judgement.outcome, judgement.healthy, judgement.verdict), (Outcome::Timeout, false, None));
}

#[test]
fn a_failed_scope_has_the_outcome_of_the_call_that_failed_it_else_its_own() {
    let failed = |outcome| judge(&scope(1_000, outcome).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]));
    for outcome in [Outcome::Error, Outcome::RateLimited, Outcome::Connect] {
        let judgement = failed(outcome);
        assert_eq!((judgement.outcome, judgement.healthy, judgement.verdict), (outcome, false, None));
    }
    let by_call = scope(1_000, Outcome::Error).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]);
    let judgement = judge(&by_call.failed(Outcome::ServerError, FailedBy::Peer));
    assert_eq!((judgement.outcome, culprit(&judgement).as_str()), (Outcome::ServerError, "llm/openai wait"));
}

#[test]
fn a_dropped_scope_was_cancelled_and_only_a_call_that_hung_is_told() {
    let idle = judge(&scope(60_000, Outcome::Cancelled).calls(20, Kind::Llm, "openai", 0, 400));
    assert_eq!((idle.outcome, idle.healthy, idle.verdict), (Outcome::Cancelled, true, None));
    let left = scope(60_000, Outcome::Cancelled).call(Kind::Llm, "openai", 1_000, &[(Phase::Wait, 60_000)]);
    let hanging = judge(&left.failed(Outcome::Cancelled, FailedBy::Caller));
    assert_eq!((hanging.outcome, hanging.healthy), (Outcome::Cancelled, false));
    assert_eq!(culprit(&hanging), "llm/openai wait");
    let late = judge(&scope(12_000, Outcome::Cancelled).calls(1, Kind::Llm, "openai", 0, 11_000).deadline(10_000));
    assert_eq!(late.outcome, Outcome::Timeout, "its deadline had passed before");
}

#[test]
fn a_scope_that_ended_well_is_healthy_unless_a_failure_stands() {
    let answered = || scope(1_000, Outcome::Ok).call(Kind::Llm, "openai", 100, &[(Phase::Wait, 900)]);
    assert!(judge(&answered()).healthy);
    let caught = judge(&answered().failed(Outcome::ServerError, FailedBy::Peer));
    assert_eq!((caught.outcome, caught.healthy, culprit(&caught).as_str()), (Outcome::Ok, false, "llm/openai wait"));
}
