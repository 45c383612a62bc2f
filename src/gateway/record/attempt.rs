//! From an exchange to tries of hops.

use super::exchange::{Exchange, MILLI, State, Tried};
use crate::gateway::downstream::Downstream;
use crate::gateway::told::Told;
use crate::hops::{CallerId, Key, Try};
use crate::model::{Bytes, Name, Naming, Nanos, Origin, Phase, SpanId, Timeline, Tokens, TraceId};
use crate::wire::headers::ContentType;
use std::sync::Arc;

/// A head that came within, and a wait for a connection that was over within, are no time of their own.
const TOLD_MIN: Nanos = MILLI;

/// What came from the peer is with the client's system by then, or waits because the client does not read.
const PASSED_ON_WITHIN: Nanos = 50 * MILLI;

/// Whose calls they are.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(super) id: CallerId,
    pub(super) pid: Option<u32>,
    pub(super) service: Name,
}

/// The tries of an exchange up to `now`, the last one under way if it is not over.
pub(super) fn tries(exchange: &Exchange, naming: &Arc<Naming>, caller: &Caller, now: Nanos) -> Vec<Try> {
    let state = exchange.state();
    let Told { named, operation, method, path } = exchange.destination.told(naming, &exchange.method, &exchange.path);
    let key = Key { method, path, digest: state.request.digest, target: exchange.target };
    let downstream = &exchange.downstream;
    let mut unread: Vec<(Nanos, Nanos)> = state.unread.stretches().collect();
    if !downstream.is_shared() {
        // Of a connection of its own.
        unread.extend(downstream.unread_since(exchange.start, now));
    }
    let later = state.ended.and_then(|ended| read_later(&unread, downstream, ended));
    let one = |tried: &Tried, id: u64, last: bool| {
        let moved = tried.moved();
        let answer = Some(&state.answer).filter(|_| last);
        let response = state.response.as_ref().filter(|_| last);
        let failed = tried.judged.is_some_and(|judged| judged.failed_by.is_some());
        let used = tried.connection.as_ref();
        let code = || state.grpc.filter(|_| last)?.name.map(Name::from);
        let error = tried.error.clone().or_else(code).or_else(|| answer?.error_code.clone());
        Try {
            origin: Origin::Gateway,
            caller: caller.id,
            pid: caller.pid,
            service: caller.service.clone(),
            tid: 0,
            is_loop: true,
            id,
            parent: exchange.fields.traceparent.map(|trace| SpanId(u64::from_be_bytes(trace.parent_id))),
            trace_id: exchange.fields.traceparent.map(|trace| TraceId(trace.trace_id)),
            named: named.clone(),
            operation: operation.clone(),
            timeline: if last {
                timeline(&state, tried, (&unread, later), now)
            } else {
                plain_timeline(tried, tried.end.unwrap_or(now))
            },
            judged: tried.judged,
            status: response.map(|answered| answered.status),
            error_type: error.filter(|_| failed),
            connection: used.map(|used| used.state),
            idle: used.and_then(|used| used.idle),
            retry_after: response.and_then(|answered| answered.fields.retry_after_ms).map(|ms| ms.saturating_mul(MILLI)),
            stream: streams(&state).filter(|_| last).or(state.request.stream),
            gap: state.gap.filter(|_| last && (state.upgraded || streams(&state) == Some(true))),
            model: answer.and_then(|answer| answer.model.clone()).or_else(|| state.request.model.clone()),
            tokens: Tokens {
                input: answer.and_then(|answer| answer.input_tokens),
                output: answer.and_then(|answer| answer.output_tokens),
            },
            bytes: Bytes { sent: moved.sent, received: moved.received },
            read_timeout: exchange.read_timeout(),
            retry: exchange.fields.retry_count,
            number: used.and_then(|used| used.number),
            client: (Some(exchange.client), Some(exchange.downstream.peer)),
            pair: (used.map(|used| used.local), address(tried)),
            address: used.map(|used| used.address.clone()).or_else(|| Some(address(tried)?.to_string().into())),
            opaque: false,
            inferred: false,
            key: key.clone(),
            late: Vec::new(),
        }
    };
    // The first one gives the hop its id.
    let mut tries = Vec::with_capacity(state.earlier.len() + 1);
    tries.extend(state.earlier.iter().map(|tried| one(tried, exchange.id, false)));
    tries.push(one(&state.current, exchange.id, true));
    tries
}

/// The peer's address, or the one that was tried last.
fn address(tried: &Tried) -> Option<std::net::SocketAddr> {
    let used = tried.connection.as_ref().map(|used| used.remote);
    used.or_else(|| tried.steps.as_ref()?.address())
}

/// Whether the answer is a stream of events; `None` = there is none yet.
fn streams(state: &State) -> Option<bool> {
    let kind = state.response.as_ref()?.fields.message.content_type;
    Some(matches!(kind, ContentType::EventStream | ContentType::JsonLines))
}

/// Phases up to the first byte of the request.
fn set_up(tried: &Tried, until: Nanos) -> Timeline {
    let mut line = Timeline::new(tried.start.min(until));
    let steps = tried.steps.as_ref();
    let had = tried.connection.as_ref().map(|used| used.at.min(until));
    let first = steps.and_then(|steps| steps.start()).or(had).unwrap_or(until).min(until);
    let mut push = |phase, to: Nanos| {
        if to.saturating_sub(line.end()) >= TOLD_MIN {
            line.push(phase, to);
        }
    };
    push(Phase::Send, tried.asked.min(first));
    if tried.waited {
        push(Phase::Pool, first);
    }
    match (steps, had) {
        (Some(steps), had) => steps.write(&mut line, had.unwrap_or(until)),
        (None, Some(_)) => {}
        (None, None) => line.push(Phase::Pool, until),
    }
    // On a connection that was there before, the time up to its request is the caller's own.
    if tried.came >= line.end().saturating_add(TOLD_MIN) {
        line.push(Phase::Own, tried.came.min(until));
    }
    line
}

/// The phases of a try that was never answered.
fn plain_timeline(tried: &Tried, until: Nanos) -> Timeline {
    let mut line = set_up(tried, until);
    if tried.connection.is_some() {
        let sent = tried.moved().written.map_or(until, |(_, last)| last.min(until));
        line.push(Phase::Send, sent);
        line.push(Phase::Wait, until);
    }
    line
}

/// The phases of an exchange's last try, by the rules of the phases of a call (observer reference, section 5).
fn timeline(state: &State, tried: &Tried, (unread, later): (&[(Nanos, Nanos)], Option<Nanos>), now: Nanos) -> Timeline {
    let until = tried.end.unwrap_or(now);
    let mut line = set_up(tried, until);
    if tried.connection.is_none() {
        return line;
    }
    let moved = tried.moved();
    let Some((_, written)) = moved.written else {
        line.push(Phase::Send, until);
        return line;
    };
    let Some((first, _)) = moved.read else {
        let sent = if state.request_ended { written } else { until };
        line.push(Phase::Send, sent.min(until));
        line.push(Phase::Wait, until);
        return line;
    };
    // An answer may begin before the request has ended.
    line.push(Phase::Send, written.min(first).min(until));
    line.push(Phase::Wait, first.min(until));
    match (&state.response, streams(state)) {
        (None, _) => line.push(Phase::Wait, until),
        (Some(_), Some(true)) => match state.first_content {
            Some(first) => line.push(Phase::FirstToken, first.min(until)),
            None => line.push(Phase::FirstToken, until),
        },
        (Some(answered), _) => line.push(Phase::Wait, answered.at.min(until)),
    }
    line.push(Phase::Stream, until);
    lay(line, unread, later, now)
}

/// Lays what its client did not read since `from` over the times of something that is over by `until`.
pub(super) fn unread(line: Timeline, downstream: &Downstream, from: Nanos, until: Nanos, now: Nanos) -> Timeline {
    let unread = downstream.unread_since(from, now);
    lay(line, &unread, read_later(&unread, downstream, until), now)
}

/// Until when what was there by the end was not read: it makes the call longer, by its client's own time.
fn read_later(unread: &[(Nanos, Nanos)], downstream: &Downstream, ended: Nanos) -> Option<Nanos> {
    let unread = unread.iter().find(|&&(from, to)| to > ended && from <= ended.saturating_add(PASSED_ON_WITHIN));
    unread.filter(|&&(from, _)| from <= ended || !downstream.has_read_between(ended, from)).map(|&(_, to)| to)
}

fn lay(line: Timeline, unread: &[(Nanos, Nanos)], later: Option<Nanos>, now: Nanos) -> Timeline {
    let mut line = unread.iter().fold(line, |line, &(from, to)| line.with(Phase::Own, from, to));
    if let Some(later) = later {
        line.push(Phase::Own, later.min(now));
    }
    line
}
