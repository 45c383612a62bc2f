use super::super::findings;
use super::*;
use crate::model::{Cause, ConnectionFact, ContextFact, Value};

/// One call and one connection for it, every 200 ms; the connection closes `idle` ms after its call.
fn one_connection_a_call(count: u64, idle: u64) -> Run {
    let mut run = run(count * 200 + 500).calls(0, Kind::Llm, "openai", 0, 0);
    for nth in 0..count {
        let at = nth * 200;
        run = run.call(Kind::Llm, "openai", at, &[(Phase::Connect, at + 10), (Phase::Wait, at + 100)]);
        run.connections.push(ConnectionFact {
            pid: 7,
            kind: Kind::Llm,
            dependency: "openai".into(),
            peer: None,
            opened: T0 + at * MS,
            closed: Some(T0 + (at + 100 + idle) * MS),
            closed_by_caller: true,
            calls: 1,
            setup: 10 * MS,
            failed: None,
            close_announced: false,
        });
    }
    run
}

#[test]
fn a_client_built_for_each_call_is_told_with_what_it_costs() {
    let run = one_connection_a_call(6, 2);
    let found = findings(&[&run]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].cause, found[0].source.dependency.as_deref(), found[0].runs),
        (Cause::ClientRecreated, Some("openai"), 1)
    );
    assert_eq!(found[0].evidence[0].value, Value::Number(1.0));
    let text = "openai (llm) got a new connection for each call: 6 connections for 6 calls, 50 ms lost to setting them up.";
    assert_eq!(found[0].sentence, text);
    assert!(judge(&run).healthy, "a finding is no verdict");
}

#[test]
fn few_connections_are_enough_when_each_came_with_a_tls_context() {
    let mut run = one_connection_a_call(3, 2);
    assert_eq!(findings(&[&run]), []);
    run.contexts = (0..3).map(|nth| ContextFact { pid: 7, at: T0 + nth * 200 * MS, took: 20 * MS }).collect();
    assert_eq!(findings(&[&run]).len(), 1);
}

#[test]
fn a_context_that_was_built_once_is_no_cost_of_the_connections() {
    let mut run = one_connection_a_call(6, 2);
    run.contexts = vec![ContextFact { pid: 7, at: T0, took: 40 * MS }];
    assert!(findings(&[&run])[0].sentence.ends_with("50 ms lost to setting them up."));
}

#[test]
fn connections_left_idle_while_new_ones_are_opened_count_too() {
    let mut run = one_connection_a_call(6, 2);
    run.connections.iter_mut().for_each(|connection| connection.closed = None);
    assert_eq!(findings(&[&run]).len(), 1);
}

#[test]
fn runs_are_added_up() {
    let (first, second) = (one_connection_a_call(6, 2), one_connection_a_call(7, 2));
    let found = findings(&[&first, &second]);
    assert_eq!((found.len(), found[0].runs), (1, 2));
    assert_eq!(found[0].evidence[1].value, Value::Number(13.0));
}

#[test]
fn what_is_no_waste_is_not_told() {
    let changed = |change: fn(&mut ConnectionFact)| {
        let mut run = one_connection_a_call(8, 2);
        run.connections.iter_mut().for_each(change);
        findings(&[&run])
    };
    assert_eq!(changed(|connection| connection.close_announced = true), [], "the peer asked for the close");
    assert_eq!(changed(|connection| connection.closed_by_caller = false), [], "the peer closed");
    assert_eq!(changed(|connection| connection.calls = 4), [], "used again");
    assert_eq!(changed(|connection| connection.failed = Some(Outcome::Connect)), [], "never came to be");
    assert_eq!(findings(&[&one_connection_a_call(8, 80)]), [], "kept for a while, then expired");
    assert_eq!(findings(&[&one_connection_a_call(4, 2)]), [], "too few");
}

#[test]
fn connections_side_by_side_are_concurrency() {
    let mut run = run(1_000);
    for nth in 0..20 {
        run = run.call(Kind::Llm, "openai", nth, &[(Phase::Connect, nth + 10), (Phase::Wait, 900)]);
    }
    let mut connections = one_connection_a_call(20, 2).connections;
    for (nth, connection) in connections.iter_mut().enumerate() {
        (connection.opened, connection.closed) = (T0 + nth as u64 * MS, None);
    }
    run.connections = connections;
    assert_eq!(findings(&[&run]), []);
}

#[test]
fn a_connection_that_expired_before_the_next_call_is_not_told() {
    let mut run = run(60_000);
    let mut connections = one_connection_a_call(8, 2).connections;
    for (nth, connection) in connections.iter_mut().enumerate() {
        let at = nth as u64 * 6_000;
        run = run.call(Kind::Llm, "openai", at, &[(Phase::Wait, at + 100)]);
        // Closed by the pool in the moment the next connection is made.
        (connection.opened, connection.closed) = (T0 + at * MS, Some(T0 + (at + 6_001) * MS));
    }
    run.connections = connections;
    assert_eq!(findings(&[&run]), []);
}

#[test]
fn an_open_call_does_not_hide_the_others() {
    let run = one_connection_a_call(6, 2).call(Kind::Llm, "openai", 1_400, &[(Phase::Wait, 1_500)]).open();
    assert_eq!(findings(&[&run]).len(), 1);
    let kept_a_while = one_connection_a_call(8, 80).call(Kind::Llm, "openai", 1_700, &[(Phase::Wait, 1_800)]).open();
    assert_eq!(findings(&[&kept_a_while]), []);
}
