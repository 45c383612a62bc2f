use super::*;
use crate::model::{Nanos, Role};

const MS: Nanos = 1_000_000;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn gateway() -> SocketAddr {
    at("127.0.0.1:9000")
}

/// A record of a call by one client's connection, from one millisecond to another in one phase.
fn call(origin: Origin, id: u64, (from, to): (Nanos, Nanos), phase: Phase) -> Span {
    let mut timeline = Timeline::new(from * MS);
    timeline.push(phase, to * MS);
    let mut call = Call::new(origin, timeline).ended(Outcome::Ok, None, None);
    call.client.address = Some(at("127.0.0.1:50000"));
    let (address, dependency) = match origin {
        Origin::Gateway => (at("127.0.0.1:8000"), "docs"),
        _ => (gateway(), "127.0.0.1:9000"),
    };
    call.address = Some(address.to_string().into());
    Span {
        role: Role::Client,
        dependency: Some(dependency.into()),
        call: Some(Box::new(call)),
        ..Span::new(id, None, "shop".into(), "GET /search".into(), from * MS, Some(to * MS))
    }
}

/// Both sources' records, joined; those of the gateway, and those of the observer.
fn joined(observed: &[Span], carried: &[Span]) -> (Vec<Span>, Vec<Span>, Losses) {
    let losses = Losses { started: carried.len() as u64, recorded: carried.len() as u64, ..Losses::default() };
    let carried = Carried { spans: carried.to_vec(), losses, ..Carried::default() };
    let joined = stitch(Observed { spans: observed.to_vec(), ..Observed::default() }, carried, &[gateway()]);
    let is_carried = |span: &Span| span.call.as_ref().unwrap().origin == Origin::Gateway;
    let (carried, observed) = joined.spans.into_iter().partition(is_carried);
    (carried, observed, joined.losses)
}

fn failed(span: &mut Span, outcome: Outcome, failed_by: FailedBy) {
    let call = span.call.as_mut().unwrap();
    (call.outcome, call.failed_by) = (Some(outcome), Some(failed_by));
    let last = call.attempts.last_mut().unwrap();
    (last.outcome, last.failed_by) = (Some(outcome), Some(failed_by));
}

#[test]
fn as_many_calls_on_one_connection_are_each_the_other_although_they_were_asked_for_at_once() {
    // The observer has what was asked for together from one answer to the next.
    let observed = [(0, 7), (7, 7), (7, 7)].into_iter().zip(1..).map(|(time, id)| call(Origin::Observer, id, time, Phase::Wait));
    let carried = [(1, 5), (1, 6), (1, 7)].into_iter().zip(11..).map(|(time, id)| call(Origin::Gateway, id, time, Phase::Wait));
    let (carried, observed, _) = joined(&observed.collect::<Vec<_>>(), &carried.collect::<Vec<_>>());
    let parents: Vec<Option<u64>> = carried.iter().map(|span| span.parent.map(|parent| parent.0)).collect();
    assert_eq!(parents, [Some(1), Some(2), Some(3)]);
    assert!(observed.iter().all(|span| span.dependency.as_deref() == Some("docs") && span.call.as_ref().unwrap().relayed));
}

#[test]
fn what_kept_the_gateway_from_its_peer_is_what_became_of_the_call() {
    let mut outer = call(Origin::Observer, 1, (0, 10), Phase::Wait);
    failed(&mut outer, Outcome::Reset, FailedBy::Peer);
    let mut inner = call(Origin::Gateway, 2, (1, 9), Phase::Connect);
    failed(&mut inner, Outcome::Connect, FailedBy::Peer);
    inner.call.as_mut().unwrap().error_type = Some("connection_refused".into());
    let (_, observed, _) = joined(&[outer.clone()], &[inner.clone()]);
    let told = observed[0].call.as_ref().unwrap();
    assert_eq!((told.outcome, told.error_type.as_deref()), (Some(Outcome::Connect), Some("connection_refused")));
    assert_eq!(told.attempts[0].outcome, Some(Outcome::Connect));
    // A client that left by itself knows better why.
    failed(&mut outer, Outcome::Timeout, FailedBy::Caller);
    let (_, observed, _) = joined(&[outer], &[inner]);
    assert_eq!(observed[0].call.as_ref().unwrap().outcome, Some(Outcome::Timeout));
}

#[test]
fn calls_of_a_process_that_was_killed_stay_open() {
    let mut outer = call(Origin::Observer, 1, (0, 10), Phase::Wait);
    outer.end = None;
    let mut inner = call(Origin::Gateway, 2, (1, 10), Phase::Wait);
    failed(&mut inner, Outcome::Timeout, FailedBy::Caller);
    let (carried, _, losses) = joined(&[outer], &[inner]);
    assert!(carried[0].is_open() && carried[0].call.as_ref().unwrap().outcome.is_none());
    assert_eq!((losses.started, losses.recorded, losses.open), (1, 0, 1));
}

#[test]
fn parts_that_look_like_exchanges_inside_of_tls_are_the_one_that_was_seen() {
    let mut outer = call(Origin::Observer, 1, (0, 100), Phase::Wait);
    outer.call.as_mut().unwrap().status = Some(200);
    outer.call.as_mut().unwrap().attempts[0].status = Some(200);
    let opaque = |id, time| {
        let mut span = call(Origin::Gateway, id, time, Phase::Wait);
        span.call.as_mut().unwrap().opaque = true;
        span
    };
    let (carried, _, losses) = joined(&[outer], &[opaque(2, (1, 5)), opaque(3, (6, 99))]);
    let told = carried[0].call.as_ref().unwrap();
    assert_eq!((carried.len(), carried[0].id.0, carried[0].end), (1, 2, Some(99 * MS)));
    assert_eq!((told.status, told.opaque, told.timeline.duration()), (Some(200), false, 98 * MS));
    assert_eq!((losses.started, losses.recorded), (1, 1));
}
