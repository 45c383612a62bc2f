//! From an exchange inside of a connection to a try of a hop.

use super::{Http, Passed, Protocol, Step, Turn};
use crate::gateway::record::attempt::{Caller, unread};
use crate::gateway::record::exchange::MILLI;
use crate::hops::{Key, Try};
use crate::model::{Bytes, ConnectionState, Name, Naming, Nanos, Origin, Phase, SpanId, Timeline, Tokens, TraceId};
use crate::wire::provider;

/// Time between two steps that is counted to the next one.
const SMALL: Nanos = MILLI;

impl Turn {
    /// It as a try up to `now`, under way if it is not over.
    pub(crate) fn attempt(&self, naming: &Naming, caller: &Caller, now: Nanos) -> Try {
        let state = self.state();
        let line = &self.line;
        let http = state.http();
        let head = http.and_then(|http| http.head.as_deref());
        let host = head.and_then(|head| head.host.as_deref()).map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        let named = line.name(naming, host, head.map(|head| &*head.path));
        let failed = state.judged.is_some_and(|judged| judged.failed_by.is_some());
        let answer = http.and_then(|http| http.answer.as_ref());
        let trace = head.and_then(|head| head.fields.traceparent);
        let connection = if state.setup.is_some() { ConnectionState::New } else { ConnectionState::Reused };
        let opaque = line.is_opaque();
        let ends = line.ends();
        let address = ends.map(|ends| ends.remote).or_else(|| line.steps.address());
        let code = match &state.protocol {
            Protocol::Query { error, .. } => error.map(|error| error.as_str().into()),
            Protocol::Http(_) | Protocol::Unknown | Protocol::Other => answer.and_then(|answer| answer.error_code.clone()),
        };
        let retry_after = http.and_then(|http| http.response.as_ref()?.fields.retry_after_ms);
        Try {
            origin: Origin::Gateway,
            caller: caller.id,
            pid: caller.pid,
            service: caller.service.clone(),
            tid: 0,
            is_loop: true,
            id: self.id,
            parent: trace.map(|trace| SpanId(u64::from_be_bytes(trace.parent_id))),
            trace_id: trace.map(|trace| TraceId(trace.trace_id)),
            named,
            operation: operation(&state, opaque),
            timeline: self.timeline(&state, now),
            judged: state.judged,
            status: http.and_then(Http::status).or(state.refused),
            error_type: state.error.clone().or(code).filter(|_| failed),
            connection: Some(connection),
            idle: state.idle,
            retry_after: retry_after.map(|ms| ms.saturating_mul(MILLI)),
            stream: http.and_then(|http| http.streams().or(http.body.stream)),
            gap: state.gap.filter(|_| opaque || http.is_some_and(|http| http.upgraded || http.streams() == Some(true))),
            model: answer.and_then(|answer| answer.model.clone()).or_else(|| http?.body.model.clone()),
            tokens: Tokens {
                input: answer.and_then(|answer| answer.input_tokens),
                output: answer.and_then(|answer| answer.output_tokens),
            },
            bytes: Bytes { ..state.bytes },
            read_timeout: http.and_then(Http::read_timeout),
            retry: head.and_then(|head| head.fields.retry_count),
            number: ends.map(|ends| ends.number),
            client: (Some(connection), Some(line.downstream.peer)),
            pair: (ends.map(|ends| ends.local), address),
            address: address.map(|address| address.to_string().into()),
            opaque,
            inferred: matches!(state.protocol, Protocol::Other),
            key: self.key(&state),
            late: Vec::new(),
        }
    }

    /// What makes another try the same; what is said inside of TLS and of protocols that are not read is like nothing else.
    fn key(&self, state: &Passed) -> Key {
        match &state.protocol {
            Protocol::Http(http) => Key {
                method: http.head.as_ref().map(|head| head.method.clone()).unwrap_or_default(),
                path: http.head.as_ref().map(|head| head.path.clone()).unwrap_or_default(),
                digest: http.body.digest,
                target: http.target,
            },
            Protocol::Query { operation, .. } => Key { method: (*operation).into(), digest: self.id, ..Key::default() },
            Protocol::Unknown | Protocol::Other => Key::default(),
        }
    }

    /// Its phases, by the rules of the phases of a call (observer reference, section 5).
    fn timeline(&self, state: &Passed, now: Nanos) -> Timeline {
        let until = state.ended.unwrap_or(now);
        let began = state.asked.map_or(self.line.start, |(first, _)| first);
        let start = if state.setup.is_some() { self.line.start } else { began };
        let mut line = Timeline::new(start.min(until));
        if let Some(steps) = &state.setup {
            self.line.steps.write(&mut line, until);
            steps.iter().for_each(|step| step.write(&mut line, until));
        }
        let Some((first, sent)) = state.asked else {
            // What fails fails in the step that it is in.
            line.push(line.last_phase().unwrap_or(Phase::Connect), until);
            return line;
        };
        gap(&mut line, first, until);
        line.push(Phase::Send, sent.min(until));
        let Some((came, _)) = state.answered_at(until) else {
            let is_sent = state.request_ended || state.is_unframed();
            line.push(if is_sent { Phase::Wait } else { Phase::Send }, until);
            return line;
        };
        line.push(Phase::Wait, came.min(until));
        if let Some(http) = state.http() {
            let Some(head_at) = http.head_at else {
                line.push(Phase::Wait, until);
                return line;
            };
            match (http.streams(), http.first_content) {
                (Some(true), Some(content)) => line.push(Phase::FirstToken, content.min(until)),
                (Some(true), None) => line.push(Phase::FirstToken, until),
                _ => line.push(Phase::Wait, head_at.min(until)),
            }
        }
        line.push(Phase::Stream, until);
        unread(line, &self.line.downstream, began, until, now)
    }
}

impl Step {
    fn write(&self, line: &mut Timeline, until: Nanos) {
        gap(line, self.start, until);
        line.push(self.phase, self.end.unwrap_or(until).min(until));
    }
}

/// Time up to `from` that no step took is the caller's own, unless it is small.
fn gap(line: &mut Timeline, from: Nanos, until: Nanos) {
    if from > line.end().saturating_add(SMALL) {
        line.push(Phase::Own, from.min(until));
    }
}

fn operation(state: &Passed, opaque: bool) -> Name {
    match &state.protocol {
        Protocol::Unknown => "connect".into(),
        Protocol::Other if opaque => "tls".into(),
        Protocol::Other => "tcp".into(),
        Protocol::Query { operation, .. } => (*operation).into(),
        Protocol::Http(http) => match &http.head {
            Some(head) => provider::operation(&head.method, &head.path).into(),
            None => "http".into(),
        },
    }
}
