//! From an exchange to tries of hops.

use super::exchange::{Exchange, MILLI, State, Tried};
use crate::gateway::downstream::Downstream;
use crate::hops::{CallerId, Key, Try};
use crate::model::{Bytes, Name, Naming, Nanos, Origin, Phase, SpanId, Timeline, Tokens, TraceId};
use crate::wire::headers::ContentType;
use crate::wire::provider;
use std::hash::{Hash, Hasher};

/// A wait for a connection that is shorter is no wait.
const POOL_MIN: Nanos = MILLI;

/// Whose calls they are.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(super) id: CallerId,
    pub(super) pid: Option<u32>,
    pub(super) service: Name,
}

/// The tries of an exchange up to `now`, the last one under way if it is not over.
pub(super) fn tries(exchange: &Exchange, naming: &Naming, caller: &Caller, now: Nanos) -> Vec<Try> {
    let state = exchange.state();
    let path = exchange.target.path();
    let destination = &exchange.destination;
    let named = destination.name(naming, path);
    let operation: Name = provider::operation(exchange.method.as_str(), path).into();
    let key = Key {
        method: exchange.method.as_str().into(),
        path: path.into(),
        digest: state.request.digest,
        target: digest(exchange.target.as_str()),
    };
    let unread = exchange.downstream.unread_since(exchange.start, now);
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
            timeline: if last { timeline(&state, tried, &unread, now) } else { plain_timeline(tried, tried.end.unwrap_or(now)) },
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
            opaque: false,
            inferred: false,
            key: key.clone(),
            late: Vec::new(),
        }
    };
    // The first one gives the hop its id.
    let mut tries: Vec<Try> = state.earlier.iter().map(|tried| one(tried, exchange.id, false)).collect();
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

/// Phases up to the first byte of the request, and the moment that they reach to.
fn set_up(tried: &Tried, until: Nanos) -> Timeline {
    let mut line = Timeline::new(tried.start.min(until));
    let had = tried.connection.as_ref().map(|used| used.at.min(until));
    match (&tried.steps, had) {
        (Some(steps), had) => steps.write(&mut line, had.unwrap_or(until)),
        (None, Some(had)) if tried.waited && had.saturating_sub(tried.start) >= POOL_MIN => line.push(Phase::Pool, had),
        (None, Some(_)) => {}
        (None, None) => line.push(Phase::Pool, until),
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
fn timeline(state: &State, tried: &Tried, unread: &[(Nanos, Nanos)], now: Nanos) -> Timeline {
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
    lay(line, unread, until, now)
}

/// Lays what its client did not read, since `from`, over the times of something.
pub(super) fn unread(line: Timeline, downstream: &Downstream, from: Nanos, until: Nanos, now: Nanos) -> Timeline {
    lay(line, &downstream.unread_since(from, now), until, now)
}

fn lay(line: Timeline, unread: &[(Nanos, Nanos)], until: Nanos, now: Nanos) -> Timeline {
    let mut line = unread.iter().fold(line, |line, &(from, to)| line.with(Phase::Own, from, to));
    // What was there by its end and was read later makes it longer, by its client's own time.
    if let Some(&(_, to)) = unread.iter().find(|&&(from, to)| from <= until && to > until) {
        line.push(Phase::Own, to.min(now));
    }
    line
}

/// Digest of a target, query included: nothing else of it is kept.
fn digest(target: &str) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    target.hash(&mut hasher);
    hasher.finish().max(1)
}
