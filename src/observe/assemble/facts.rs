//! What the readers tell, applied to a connection's exchanges.

use super::connection::{Connection, LastCall};
use super::exchange::{Exchange, Moved, Protocol};
use super::inbound::{self, Serving};
use super::peer::{self, Asked};
use super::process::Process;
use super::{MILLI, Shared, failure, unread};
use crate::hops::{Candidate, How, Judged, Key, Try};
use crate::model::{Bytes, ConnectionState, Nanos, Origin, Outcome, Tokens, TraceId};
use crate::wire::http1::{Fact, ResponseBody};
use crate::wire::provider;
use std::hash::{Hash, Hasher};

/// A request follows the wait for its connection within this time.
const POOL_SLACK: Nanos = 2 * MILLI;

/// Applies a fact. `first` are the first bytes of the call that told it.
pub(super) fn apply(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    moved: Moved,
    first: &[u8],
    fact: Fact,
) {
    if connection.accepted {
        serve(process, shared, connection, moved, fact);
        return;
    }
    match fact {
        Fact::RequestStarted { exchange, .. } => {
            let mut new = begin(process, shared, connection, exchange, moved);
            new.target = line_digest(first);
            let layer = connection.layer_mut();
            layer.was_http = true;
            layer.exchanges.push_back(new);
        }
        Fact::RequestHead { exchange, ref head, .. } => {
            let parent = inbound::parent(&process.serving, moved.tid, moved.is_loop, head.fields.traceparent);
            connection.close_announced |= head.fields.message.close;
            if let Some(asked) = find(connection, exchange) {
                asked.parent = parent.or(asked.parent);
                asked.learn(fact);
            }
            name(shared, connection, exchange);
        }
        Fact::RequestEnded { exchange, .. } => {
            if let Some(asked) = find(connection, exchange) {
                asked.learn(fact);
            }
            join(process, shared, connection, exchange);
        }
        Fact::ResponseHead { exchange, ref head, .. } => {
            connection.close_announced |= head.fields.message.close;
            if let Some(asked) = find(connection, exchange) {
                asked.learn(fact);
            }
        }
        Fact::ResponseEnded { exchange, at, .. } => {
            let Some(mut ended) = remove(connection, exchange) else { return };
            ended.learn(fact);
            if &*ended.head.method == "CONNECT" {
                proxy_refused(process, shared, connection, &ended, at);
            } else {
                finish(process, shared, connection, ended, How::Complete, at);
            }
        }
        Fact::Upgraded { exchange, at } => {
            let Some(mut ended) = remove(connection, exchange) else { return };
            if &*ended.head.method == "CONNECT" {
                tunnel(connection, &ended, at);
                shared.hops.forget();
            } else {
                ended.answer = Some(ResponseBody { complete: true, ..ResponseBody::default() });
                finish(process, shared, connection, ended, How::Complete, at);
            }
        }
        Fact::FirstContent { exchange, .. } | Fact::Content { exchange, .. } | Fact::ResponseStarted { exchange, .. } => {
            if let Some(asked) = find(connection, exchange) {
                asked.learn(fact);
            }
        }
        Fact::Interim { .. } | Fact::NotHttp { .. } => {}
    }
}

pub(super) fn find(connection: &mut Connection, number: u64) -> Option<&mut Exchange> {
    connection.layer_mut().exchanges.iter_mut().find(|exchange| exchange.number == number)
}

pub(super) fn remove(connection: &mut Connection, number: u64) -> Option<Exchange> {
    let exchanges = &mut connection.layer_mut().exchanges;
    let index = exchanges.iter().position(|exchange| exchange.number == number)?;
    exchanges.remove(index)
}

/// A request or a turn begins on a connection.
pub(super) fn begin(process: &Process, shared: &mut Shared, connection: &mut Connection, number: u64, moved: Moved) -> Exchange {
    let mut new = Exchange::new(number, moved, shared.id());
    new.parent = inbound::parent(&process.serving, moved.tid, moved.is_loop, None);
    if connection.calls == 0 && !connection.borrowed {
        new.setup = Some(connection.setup.clone());
    } else {
        new.state = ConnectionState::Reused;
        new.idle = connection.last_call.map(|last| new.started.saturating_sub(last.end));
        new.pool_from = waited_for(process, connection, moved);
    }
    connection.calls += 1;
    shared.hops.begin();
    shared.active_at(new.started);
    new
}

/// Since when a thread waited for this connection: it came out of a lock right now, the connection's last exchange ended
/// while it waited, was another thread's, and no other connection to the peer was free.
fn waited_for(process: &Process, connection: &Connection, moved: Moved) -> Option<Nanos> {
    if moved.is_loop {
        return None;
    }
    let block = process.blocks.lock_until(moved.tid, moved.start, POOL_SLACK)?;
    // A thread that waited for its own answer, or for work after it had sent, waited for no connection.
    let last = connection.last_call.filter(|last| last.tid != moved.tid)?;
    let freed = last.start <= block.start && last.end >= block.start && last.end <= block.end.saturating_add(POOL_SLACK);
    let was_busy = |other: &Connection| {
        other.setup.start > block.start
            || other.is_busy()
            || other.last_call.is_some_and(|last| last.start <= block.start && last.end >= block.start)
    };
    let mut others = process.connections.values().filter(|other| !other.accepted && other.peer == connection.peer);
    (freed && others.all(|other| was_busy(other))).then_some(block.start)
}

fn asked(exchange: &Exchange) -> Asked<'_> {
    Asked {
        host: exchange.head.host.as_deref(),
        path: exchange.has_head.then_some(&*exchange.head.path),
        by_proxy: exchange.head.absolute,
    }
}

/// Names the dependency of a connection by a request's head.
fn name(shared: &Shared, connection: &mut Connection, exchange: u64) {
    let Some(exchange) = connection.layer().exchanges.iter().find(|other| other.number == exchange) else { return };
    let named = peer::name(&shared.naming, connection, asked(exchange));
    connection.dependency = Some((named.kind, named.name));
}

/// Digest of a request's first line, query included: nothing else of it is kept.
fn line_digest(bytes: &[u8]) -> u64 {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\r') else { return 0 };
    let mut hasher = rustc_hash::FxHasher::default();
    bytes[..end].hash(&mut hasher);
    hasher.finish().max(1)
}

fn key(exchange: &Exchange) -> Key {
    if let Protocol::Query { operation, .. } = exchange.protocol {
        // What it says is not kept: it is like no other.
        return Key { method: operation.into(), digest: exchange.id, ..Key::default() };
    }
    Key {
        method: exchange.head.method.clone(),
        path: exchange.head.path.clone(),
        digest: exchange.body.digest,
        target: exchange.target,
    }
}

/// Looks for the hop that an exchange is another attempt of.
pub(super) fn join(process: &Process, shared: &mut Shared, connection: &mut Connection, number: u64) {
    let named = match connection.layer().exchanges.iter().find(|exchange| exchange.number == number) {
        Some(exchange) if !exchange.decided => peer::name(&shared.naming, connection, asked(exchange)),
        _ => return,
    };
    let Some(exchange) = find(connection, number) else { return };
    exchange.joined = hop_of(process, shared, exchange, &named.name);
    exchange.decided = true;
}

fn hop_of(process: &Process, shared: &mut Shared, exchange: &Exchange, dependency: &crate::model::Name) -> Option<usize> {
    if !shared.hops.is_awaited(process.id, dependency) || !exchange.is_known() {
        return None;
    }
    let key = key(exchange);
    let same = |other: &Exchange| other.is_known() && self::key(other) == key;
    let candidate = Candidate {
        caller: process.id,
        dependency,
        key: &key,
        retry: exchange.head.fields.retry_count,
        tid: exchange.tid,
        is_loop: exchange.is_loop,
        start: exchange.start(&process.stalls),
        is_new: exchange.state == ConnectionState::New,
        // The connection at hand is not among them.
        is_ambiguous: process.connections.values().any(|other| other.layer().exchanges.iter().any(same)),
    };
    shared.hops.claim(candidate, &|from, to| process.paused(exchange.tid, exchange.is_loop, from, to))
}

/// An exchange as a try, judged or under way, up to `at`.
pub(super) fn attempt(
    process: &Process,
    shared: &Shared,
    connection: &Connection,
    exchange: &Exchange,
    judged: Option<Judged>,
    at: Nanos,
) -> Try {
    let named = peer::name(&shared.naming, connection, asked(exchange));
    let operation = match (exchange.protocol, exchange.has_head) {
        (Protocol::Turn, _) if connection.is_opaque() => "tls".into(),
        (Protocol::Turn, _) => "tcp".into(),
        (Protocol::Query { operation, .. }, _) => operation.into(),
        (Protocol::Http, true) => provider::operation(&exchange.head.method, &exchange.head.path).into(),
        (Protocol::Http, false) => "http".into(),
    };
    let error_type = match exchange.protocol {
        Protocol::Query { error, .. } => error.map(|error| error.as_str().into()),
        Protocol::Http | Protocol::Turn => exchange.answer.as_ref().and_then(|answer| answer.error_code.clone()),
    };
    let failed = judged.is_some_and(|judged| judged.failed_by.is_some());
    let answer = exchange.answer.as_ref();
    let fields = &exchange.head.fields;
    Try {
        origin: Origin::Observer,
        caller: process.id,
        pid: Some(process.pid),
        service: process.program.clone(),
        tid: exchange.tid,
        is_loop: exchange.is_loop,
        id: exchange.id,
        parent: exchange.parent,
        trace_id: fields.traceparent.map(|trace| TraceId(trace.trace_id)),
        named,
        operation,
        timeline: unread::lay(exchange.timeline(&process.stalls, at), connection.unread),
        judged,
        status: exchange.status(),
        error_type: error_type.filter(|_| failed),
        connection: Some(exchange.state),
        idle: exchange.idle,
        retry_after: exchange.response.as_ref().and_then(|head| head.fields.retry_after_ms).map(|ms| ms.saturating_mul(MILLI)),
        gap: exchange.gap.filter(|_| connection.is_opaque()),
        stream: exchange.streams().or(exchange.body.stream),
        model: answer.and_then(|answer| answer.model.clone()).or_else(|| exchange.body.model.clone()),
        tokens: Tokens {
            input: answer.and_then(|answer| answer.input_tokens),
            output: answer.and_then(|answer| answer.output_tokens),
        },
        bytes: Bytes { sent: exchange.sent, received: exchange.received },
        read_timeout: fields.read_timeout_ms.map(|ms| ms.saturating_mul(MILLI)),
        retry: fields.retry_count,
        number: connection.number,
        client: (Some(exchange.state), connection.own),
        pair: (connection.own, connection.peer),
        address: connection.peer.map(|peer| peer.to_string().into()),
        opaque: connection.is_opaque(),
        inferred: exchange.protocol == Protocol::Turn,
        key: key(exchange),
        late: exchange.noticed_late().to_vec(),
    }
}

/// An exchange ended.
pub(super) fn finish(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    mut exchange: Exchange,
    how: How,
    at: Nanos,
) {
    let judged = exchange.judge(how, at);
    if !exchange.decided && exchange.protocol == Protocol::Http {
        let named = peer::name(&shared.naming, connection, asked(&exchange));
        exchange.joined = hop_of(process, shared, &exchange, &named.name);
    }
    let attempt = attempt(process, shared, connection, &exchange, Some(judged), at);
    connection.dependency = Some((attempt.named.kind, attempt.named.name.clone()));
    connection.last_call = Some(LastCall { start: attempt.timeline.start(), end: at, tid: exchange.tid });
    if judged.outcome == Outcome::Ok {
        let tid = Some(exchange.tid).filter(|_| !exchange.is_loop);
        shared.hops.succeeded(process.id, &attempt.named.name, &attempt.key, tid, attempt.timeline.start());
    }
    shared.hops.put(attempt, exchange.joined);
}

/// All exchanges of a connection ended the same way.
pub(super) fn finish_all(process: &mut Process, shared: &mut Shared, connection: &mut Connection, how: How, at: Nanos) {
    for plain in [false, true] {
        let layer = if plain { &mut connection.plain } else { &mut connection.raw };
        for exchange in std::mem::take(&mut layer.exchanges) {
            finish(process, shared, connection, exchange, how, at);
        }
    }
}

/// A forward proxy opened a tunnel: what follows goes to the place that was asked for.
fn tunnel(connection: &mut Connection, exchange: &Exchange, at: Nanos) {
    connection.setup.proxy = Some((exchange.started, at));
    connection.calls = 0;
    connection.last_call = None;
    aim(connection, exchange);
}

fn aim(connection: &mut Connection, exchange: &Exchange) {
    let host = exchange.head.host.as_deref().unwrap_or(&exchange.head.path);
    if let Some((name, port)) = host.rsplit_once(':') {
        connection.tunnel = port.parse().ok();
        connection.name = Some(crate::model::redact::name(name).into());
    }
}

/// A forward proxy refused to open a tunnel.
fn proxy_refused(process: &mut Process, shared: &mut Shared, connection: &mut Connection, exchange: &Exchange, at: Nanos) {
    shared.hops.forget();
    connection.setup.proxy = Some((exchange.started, at));
    aim(connection, exchange);
    failure::proxy_refused(process, shared, connection, at, exchange.status());
}

/// Facts of an accepted connection: the process serves.
fn serve(process: &mut Process, shared: &mut Shared, connection: &mut Connection, moved: Moved, fact: Fact) {
    let plaintext = connection.has_plaintext;
    let number = connection.number.map_or(0, std::num::NonZeroU64::get);
    let of = move |exchange: u64| {
        move |serving: &Serving| serving.connection == number && serving.exchange == exchange && serving.plaintext == plaintext
    };
    match fact {
        Fact::RequestStarted { exchange, .. } => {
            shared.active_at(moved.end);
            process.serving.push(Serving {
                id: shared.id(),
                connection: number,
                exchange,
                plaintext,
                tid: moved.tid,
                is_loop: moved.is_loop,
                start: moved.arrived,
                service: process.program.clone(),
                operation: "http".into(),
                trace: None,
                pair: connection.peer.zip(connection.own),
            });
        }
        Fact::RequestHead { exchange, head, .. } => {
            if let Some(serving) = process.serving.iter_mut().find(|serving| of(exchange)(serving)) {
                serving.asked(&head.method, &head.path, head.fields.traceparent);
            }
        }
        Fact::ResponseEnded { exchange, at, .. } | Fact::Upgraded { exchange, at } => {
            if let Some(index) = process.serving.iter().position(of(exchange)) {
                shared.inbounds.put(process.serving.swap_remove(index), Some(at));
            }
        }
        _ => {}
    }
}

/// An accepted connection ended: so does what was served on it.
pub(super) fn stop_serving(process: &mut Process, shared: &mut Shared, connection: &Connection, at: Nanos) {
    let number = connection.number.map_or(0, std::num::NonZeroU64::get);
    for serving in process.serving.extract_if(.., |serving| serving.connection == number) {
        shared.inbounds.put(serving, Some(at));
    }
}
