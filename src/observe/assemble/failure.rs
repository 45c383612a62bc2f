//! Calls that never came to a request: the name, the connection or the handshake failed.

use super::connection::{Connection, Setup};
use super::exchange::Steps;
use super::peer::{self, Asked};
use super::process::Process;
use super::resolve::Pending;
use super::{MILLI, Seen, Shared, inbound};
use crate::hops::{Candidate, Judged, Try, caller_left, peer_failed};
use crate::model::naming::Named;
use crate::model::{ConnectionState, Name, Nanos, Origin, Outcome, Phase, Timeline};
use crate::wire::postgres::SqlState;

/// A look-up of the same name that follows a failed one at once is part of it: one for each family of addresses.
const AGAIN_WITHIN: Nanos = 50 * MILLI;

/// A look-up that failed, and the hop made of it.
#[derive(Clone, Debug)]
pub(super) struct FailedLookup {
    tid: u32,
    name: Name,
    start: Nanos,
    end: Nanos,
    place: usize,
}

/// A connect ended with an error.
pub(super) fn connect_failed(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos, errno: i32) {
    if connection.unix {
        return;
    }
    let place = failed(process, shared, connection, Phase::Connect, at, peer_failed(Outcome::Connect, Some(errno)));
    if let Some(lookup) = connection.resolve.and_then(|number| process.lookups.get(number)) {
        lookup.trying = lookup.trying.saturating_sub(1);
        lookup.failed = Some((at, place));
    }
}

/// The caller closed while the connection was not there yet.
pub(super) fn left_while_connecting(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos) {
    connection.connecting = false;
    if connection.unix || connection.failed.is_some() {
        return;
    }
    let lookup = connection.resolve.and_then(|number| process.lookups.get(number));
    if let Some(lookup) = lookup {
        lookup.trying = lookup.trying.saturating_sub(1);
        if lookup.connected || lookup.trying > 0 {
            // Another address of the same name was faster.
            return;
        }
    }
    let began = connection.setup.connect.map_or(at, |(start, _)| start);
    let place = failed(process, shared, connection, Phase::Connect, at, caller_left(at.saturating_sub(began)));
    if let Some(lookup) = connection.resolve.and_then(|number| process.lookups.get(number)) {
        lookup.failed = Some((at, place));
    }
}

/// A TLS handshake failed.
pub(super) fn handshake_failed(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos) {
    if connection.accepted || connection.calls > 0 || connection.failed.is_some() {
        return;
    }
    let errno = connection.peer_closed.map(|closed| closed.errno).filter(|&errno| errno != 0);
    failed(process, shared, connection, Phase::Tls, at, peer_failed(Outcome::Tls, errno));
}

/// The caller closed a connection on which nothing had been asked yet. Within a handshake that is a failure.
pub(super) fn left_in_handshake(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos) {
    let Some(start) = connection.handshake_since() else { return };
    if connection.accepted || connection.calls > 0 || connection.failed.is_some() {
        return;
    }
    let why = connection.opaque.as_ref().and_then(|opaque| opaque.failed);
    let judged = match connection.peer_closed {
        Some(closed) => peer_failed(Outcome::Tls, Some(closed.errno).filter(|&errno| errno != 0)),
        None if why.is_some() => peer_failed(Outcome::Tls, None),
        None => caller_left(at.saturating_sub(connection.last_cipher.map_or(start, |(end, _)| end.max(start)))),
    };
    failed_by(process, shared, connection, Phase::Tls, at, judged, why.map(Into::into));
}

/// A database did not let the client in.
pub(super) fn not_let_in(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos, error: SqlState) {
    if connection.calls > 0 || connection.failed.is_some() {
        return;
    }
    let outcome = if error == SqlState::TOO_MANY_CONNECTIONS { Outcome::Shed } else { Outcome::Error };
    failed_by(process, shared, connection, Phase::Connect, at, peer_failed(outcome, None), Some(error.as_str().into()));
}

/// A connection to a database ended before the client was let in.
pub(super) fn left_in_login(process: &mut Process, shared: &mut Shared, connection: &mut Connection, at: Nanos) {
    let Some(start) = connection.login_since() else { return };
    if connection.calls > 0 || connection.failed.is_some() {
        return;
    }
    let judged = match connection.peer_closed {
        Some(closed) => peer_failed(Outcome::Reset, Some(closed.errno).filter(|&errno| errno != 0)),
        None => caller_left(at.saturating_sub(start)),
    };
    failed(process, shared, connection, Phase::Connect, at, judged);
}

/// A forward proxy refused to lead on.
pub(super) fn proxy_refused(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    at: Nanos,
    status: Option<u16>,
) {
    connection.failed = Some(Outcome::Connect);
    shared.hops.begin();
    let judged = Some(peer_failed(Outcome::Connect, None));
    let attempt = Try { status, ..attempt_of_setup(process, shared, connection, Phase::Proxy, at, judged) };
    let joined = join(process, shared, &attempt);
    shared.hops.put(attempt, joined);
}

fn failed(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    phase: Phase,
    at: Nanos,
    judged: Judged,
) -> Option<usize> {
    failed_by(process, shared, connection, phase, at, judged, None)
}

/// As [`failed`], with a code that says why.
fn failed_by(
    process: &mut Process,
    shared: &mut Shared,
    connection: &mut Connection,
    phase: Phase,
    at: Nanos,
    judged: Judged,
    error_type: Option<Name>,
) -> Option<usize> {
    connection.failed = Some(judged.outcome);
    shared.hops.begin();
    let attempt = Try { error_type, ..attempt_of_setup(process, shared, connection, phase, at, Some(judged)) };
    let (kind, name) = (attempt.named.kind, attempt.named.name.clone());
    connection.dependency = Some((kind, name));
    let joined = join(process, shared, &attempt);
    shared.hops.put(attempt, joined)
}

/// Joins a try that came to no request.
fn join(process: &Process, shared: &mut Shared, attempt: &Try) -> Option<usize> {
    let candidate = Candidate {
        caller: process.id,
        dependency: &attempt.named.name,
        key: &attempt.key,
        retry: None,
        tid: attempt.tid,
        is_loop: attempt.is_loop,
        start: attempt.timeline.start(),
        is_new: true,
        is_ambiguous: false,
    };
    shared.hops.claim(candidate, &|from, to| process.paused(attempt.tid, attempt.is_loop, from, to))
}

/// A try of which only the set-up was seen, in `phase` up to `at`.
pub(super) fn attempt_of_setup(
    process: &Process,
    shared: &mut Shared,
    connection: &Connection,
    phase: Phase,
    at: Nanos,
    judged: Option<Judged>,
) -> Try {
    let named = peer::name(&shared.naming, connection, Asked::default());
    let timeline = timeline_of_setup(&connection.setup, phase, at);
    Try {
        connection: Some(ConnectionState::New),
        number: connection.number,
        client: (Some(ConnectionState::New), connection.own),
        pair: (connection.own, connection.peer),
        address: connection.peer.map(|peer| peer.to_string().into()),
        opaque: connection.is_opaque(),
        late: connection.setup.late.clone(),
        is_loop: connection.nonblocking,
        ..attempt(process, shared, connection.setup.tid, named, timeline, judged)
    }
}

fn timeline_of_setup(setup: &Setup, phase: Phase, at: Nanos) -> Timeline {
    let mut steps = Steps { line: Timeline::new(setup.start.min(at)), until: at };
    steps.setup(setup);
    steps.line.push(phase, at);
    steps.line
}

/// A try of which nothing is known but its times.
fn attempt(process: &Process, shared: &mut Shared, tid: u32, named: Named, timeline: Timeline, judged: Option<Judged>) -> Try {
    let whose = (process.id, process.program.clone());
    Try {
        pid: Some(process.pid),
        tid,
        parent: inbound::parent(&process.serving, tid, false, None),
        ..Try::bare(Origin::Observer, whose, shared.id(), named, "connect".into(), timeline, judged)
    }
}

/// A look-up under way, as a try up to `at`.
pub(super) fn attempt_of_lookup(
    process: &Process,
    shared: &mut Shared,
    pending: &Pending,
    at: Nanos,
    judged: Option<Judged>,
) -> Try {
    let named = peer::name_of_host(&shared.naming, &pending.name);
    let mut timeline = Timeline::new(pending.start.min(at));
    timeline.push(Phase::Dns, at);
    // Event loops look names up in any thread of a pool: there is no thread to tell one caller from another by.
    let pooled = pending.tid != process.pid;
    let tid = if pooled { 0 } else { pending.tid };
    Try { is_loop: pooled, ..attempt(process, shared, tid, named, timeline, judged) }
}

/// A name could not be resolved.
pub(super) fn look_up_failed(process: &mut Process, shared: &mut Shared, seen: Seen<'_>, name: &Name) {
    let tid = seen.entry.record.tid;
    let mut start = seen.start;
    if let Some(before) = process.failed_lookup.take_if(|before| before.tid == tid && before.name == *name)
        && seen.start.saturating_sub(before.end) <= AGAIN_WITHIN
    {
        shared.hops.revoke(before.place);
        start = before.start;
    }
    let pending = Pending { tid, start, name: name.clone() };
    shared.hops.begin();
    let attempt = attempt_of_lookup(process, shared, &pending, seen.end, Some(peer_failed(Outcome::Dns, None)));
    let joined = join(process, shared, &attempt);
    let place = shared.hops.put(attempt, joined);
    process.failed_lookup =
        place.filter(|_| joined.is_none()).map(|place| FailedLookup { tid, name: name.clone(), start, end: seen.end, place });
}

/// A name is looked up that could just not be resolved: what failed before is part of it.
pub(super) fn looked_up(process: &mut Process, shared: &mut Shared, seen: Seen<'_>, name: &Name) {
    let tid = seen.entry.record.tid;
    if let Some(before) = process.failed_lookup.take_if(|before| before.tid == tid && before.name == *name)
        && seen.start.saturating_sub(before.end) <= AGAIN_WITHIN
    {
        shared.hops.revoke(before.place);
    }
}

/// The process ended while names were looked up.
pub(super) fn left_while_looking_up(process: &mut Process, shared: &mut Shared, at: Nanos) {
    for pending in std::mem::take(&mut process.lookups.pending) {
        shared.hops.begin();
        let judged = caller_left(at.saturating_sub(pending.start));
        let attempt = attempt_of_lookup(process, shared, &pending, at, Some(judged));
        shared.hops.put(attempt, None);
    }
}
