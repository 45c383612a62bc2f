//! One process: takes its records in order.

use super::connection::{Closed, Connection, Handshake, Setup};
use super::exchange::LATE_MIN;
use super::inbound::Serving;
use super::opens::Opens;
use super::peer::{self, Asked};
use super::resolve::Lookups;
use super::stall::{self, Block, Blocks, Busy};
use super::tls::Session;
use super::{Ending, FACTS_MAX, ProcessId, Seen, Shared, failure, transfer, turn};
use crate::hops::How;
use crate::model::{ContextFact, Name, Nanos, redact};
use crate::observe::ring::Maker;
use crate::observer::layout::{Call, Event, SOCKADDR_BYTES, flag};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// Most connections of one process that are followed.
const CONNECTIONS: usize = 65_536;
/// Most TLS sessions of one process that are followed.
const SESSIONS: usize = 8_192;
/// Most TLS contexts of one process that are told apart.
const CONTEXTS: usize = 4_096;
/// Most moments of activity that are remembered.
const RECENT: usize = 256;

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) pid: u32,
    pub(super) program: Name,
    /// It shares connections with this one.
    pub(super) forked_from: Option<ProcessId>,
    pub(super) end: Option<(Nanos, Ending)>,
    pub(super) connections: FxHashMap<u32, Box<Connection>>,
    pub(super) sessions: FxHashMap<u64, Session>,
    pub(super) lookups: Lookups,
    pub(super) stalls: Vec<Busy>,
    pub(super) blocks: Blocks,
    pub(super) opens: Opens,
    /// What it is serving.
    pub(super) serving: Vec<Serving>,
    pub(super) failed_lookup: Option<failure::FailedLookup>,
    contexts: FxHashMap<u64, usize>,
    /// When something last went over a connection.
    recent: VecDeque<Nanos>,
}

impl Process {
    pub(super) fn new(id: ProcessId, maker: &Maker, forked_from: Option<ProcessId>) -> Self {
        Self {
            id,
            pid: maker.pid,
            program: maker.program.as_str().into(),
            forked_from,
            end: None,
            connections: FxHashMap::default(),
            sessions: FxHashMap::default(),
            lookups: Lookups::default(),
            stalls: Vec::new(),
            blocks: Blocks::default(),
            opens: Opens::default(),
            serving: Vec::new(),
            failed_lookup: None,
            contexts: FxHashMap::default(),
            recent: VecDeque::new(),
        }
    }

    /// Takes over what is known of a connection from the process it was forked from.
    pub(super) fn adopt(&mut self, id: u32, connection: Connection) {
        if self.connections.len() < CONNECTIONS {
            self.connections.insert(id, Box::new(connection));
        }
    }

    /// Takes a record.
    pub(super) fn record(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        let Some(event) = Event::from_u16(record.event) else {
            shared.miss("unknown", 1);
            return;
        };
        match event {
            Event::ResolveStart => {
                shared.active_at(seen.start);
                self.lookups.begin(record.tid, seen.start, &seen.entry.payload);
            }
            Event::ResolveEnd => self.resolved(shared, seen),
            Event::ConnectStart => self.connects(shared, seen),
            Event::ConnectEnd => {
                self.with(shared, record.conn, |process, shared, connection| process.connect_ended(shared, connection, seen));
            }
            Event::Accept => self.accepts(shared, seen),
            Event::Write | Event::Read => {
                self.note_activity(seen.end);
                let conn = self.connection_of(record.conn, record.flags, record.aux);
                if conn == 0 {
                    shared.miss("unbound", 1);
                } else {
                    self.know(shared, conn, seen);
                    self.with(shared, conn, |process, shared, connection| {
                        transfer::moved(process, shared, connection, seen, event == Event::Write);
                    });
                }
            }
            Event::Shutdown if record.aux == libc::SHUT_RDWR as u64 && record.errno == 0 => {
                self.with(shared, record.conn, |process, shared, connection| {
                    transfer::caller_left(process, shared, connection, seen.end);
                });
            }
            Event::Close => self.closes(shared, seen),
            Event::TlsStart => self.handshake_begins(shared, seen),
            Event::TlsEnd => self.handshake_ends(shared, seen),
            Event::TlsName => self.session(record.aux).name = Some(text(&seen.entry.payload)),
            Event::TlsBind => self.bind(shared, seen),
            Event::TlsFree => {
                self.sessions.remove(&record.aux);
            }
            Event::TlsContext => self.context(shared, seen),
            Event::TlsAuthorities => {
                if let Some(fact) = self.contexts.get(&record.aux).and_then(|&index| shared.contexts.get_mut(index)) {
                    fact.took = fact.took.saturating_add(record.dur);
                }
            }
            Event::Busy => {
                if self.stalls.len() < FACTS_MAX {
                    let dependency = self.connections.get(&record.conn).and_then(|connection| connection.dependency.clone());
                    self.stalls.push(Busy::read(seen, dependency, stall::has_interpreter_lock(&self.program)));
                }
            }
            Event::Block => self.blocks.push(Block {
                tid: record.tid,
                call: Call::from_u16(record.aux as u16),
                start: seen.start,
                end: seen.end,
            }),
            Event::ErrorType => shared.raised = Some((text(&seen.entry.payload), seen.end)),
            Event::Open if shared.first_activity.is_none() => self.opens.opened(seen.start, &text(&seen.entry.payload)),
            Event::Shutdown | Event::Open | Event::Exec => {}
        }
    }

    /// Works on a connection while the process itself stays reachable.
    pub(super) fn with<T>(
        &mut self,
        shared: &mut Shared,
        id: u32,
        work: impl FnOnce(&mut Self, &mut Shared, &mut Connection) -> T,
    ) -> Option<T> {
        let mut connection = self.connections.remove(&id)?;
        let done = work(self, shared, &mut connection);
        self.connections.insert(id, connection);
        Some(done)
    }

    fn connection_of(&self, conn: u32, flags: u16, session: u64) -> u32 {
        if conn == 0 && flags & flag::PLAINTEXT != 0 {
            return self.sessions.get(&session).map_or(0, |session| session.conn);
        }
        conn
    }

    /// Makes a connection known whose beginning was not seen.
    fn know(&mut self, shared: &mut Shared, id: u32, seen: Seen<'_>) {
        if self.connections.contains_key(&id) {
            return;
        }
        let flags = seen.entry.record.flags;
        let connection = Connection {
            number: NonZeroU64::new(shared.connection_id()),
            accepted: flags & flag::ACCEPTED != 0,
            unix: flags & flag::UNIX != 0,
            borrowed: true,
            connected: true,
            setup: Setup { start: seen.start, ..Setup::default() },
            ..Connection::default()
        };
        self.adopt(id, connection);
    }

    fn note_activity(&mut self, at: Nanos) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
    }

    /// Whether nothing went over its connections since `from`.
    pub(super) fn quiet_since(&self, from: Nanos) -> bool {
        self.recent.iter().all(|&at| at <= from)
    }

    /// Whether a thread only slept, or an event loop had nothing to do on the network, from one moment to another.
    pub(super) fn paused(&self, tid: u32, is_loop: bool, from: Nanos, to: Nanos) -> bool {
        let pause = to.saturating_sub(from);
        if is_loop {
            let slack = (pause / 10).min(5 * super::MILLI);
            return !self.recent.iter().any(|&at| at > from + slack && at + slack < to);
        }
        self.blocks.slept(tid, from, to) >= pause / 10 * 8
    }

    fn resolved(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        shared.active_at(seen.start);
        let count = usize::try_from(record.aux).unwrap_or(usize::MAX);
        let name = self.lookups.end(record.tid, seen.start, seen.end, count, &seen.entry.payload);
        if record.rc != 0 {
            failure::look_up_failed(self, shared, seen, &name);
        } else {
            failure::looked_up(self, shared, seen, &name);
        }
    }

    fn connects(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        if self.connections.get(&record.conn).is_some_and(|known| known.connecting) || record.conn == 0 {
            return;
        }
        if self.connections.len() >= CONNECTIONS {
            shared.miss("connections", 1);
            return;
        }
        let unix = record.flags & flag::UNIX != 0;
        let mut connection = Connection {
            number: NonZeroU64::new(shared.connection_id()),
            unix,
            nonblocking: record.flags & flag::NONBLOCK != 0,
            peer: peer::endpoint(&seen.entry.payload),
            connecting: true,
            setup: Setup { start: seen.start, tid: record.tid, connect: Some((seen.start, seen.start)), ..Setup::default() },
            ..Connection::default()
        };
        if !unix {
            shared.active_at(seen.start);
            self.note_activity(seen.start);
        }
        if let Some(peer) = connection.peer {
            connection.name = self.lookups.name_of(peer.ip());
            let mut revoked = None;
            if let Some((lookup, again)) = self.lookups.claim(record.tid, seen.start, peer.ip()) {
                connection.resolve = Some(lookup.number);
                connection.name = Some(lookup.name.clone());
                connection.setup.dns = Some((lookup.start, lookup.end));
                connection.setup.start = lookup.first;
                if again {
                    revoked = lookup.failed.take().and_then(|(_, place)| place);
                    // The tries before are part of connecting.
                    connection.setup.connect = Some((lookup.end.max(lookup.first), seen.start));
                }
            }
            if let Some(place) = revoked {
                shared.hops.revoke(place);
            }
        }
        if let Some(old) = self.connections.insert(record.conn, Box::new(connection)) {
            self.retire(shared, *old, seen.start);
        }
    }

    /// A connection whose close was not seen.
    fn retire(&mut self, shared: &mut Shared, mut connection: Connection, at: Nanos) {
        transfer::caller_left(self, shared, &mut connection, at);
        self.keep_fact(shared, &connection, Some(at));
    }

    fn connect_ended(&mut self, shared: &mut Shared, connection: &mut Connection, seen: Seen<'_>) {
        let record = &seen.entry.record;
        if !connection.connecting {
            return;
        }
        connection.connecting = false;
        let began = connection.setup.connect.map_or(seen.start, |(start, _)| start);
        connection.setup.connect = Some((began, seen.end));
        if record.errno != 0 {
            failure::connect_failed(self, shared, connection, seen.end, record.errno);
            return;
        }
        connection.connected = true;
        let done = seen.start.saturating_add(record.aux.saturating_mul(1_000));
        if record.aux > 0 && seen.end.saturating_sub(done) >= LATE_MIN {
            connection.setup.late.push((done, seen.end));
        }
        connection.own = peer::endpoint(&seen.entry.payload);
        if let (Some(own), Some(peer)) = (connection.own, connection.peer) {
            shared.inbounds.opened(own, peer);
        }
        if let Some(lookup) = connection.resolve.and_then(|number| self.lookups.get(number)) {
            lookup.connected = true;
            lookup.trying = lookup.trying.saturating_sub(1);
        }
    }

    fn accepts(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        if record.conn == 0 || self.connections.len() >= CONNECTIONS {
            return;
        }
        let peer = peer::endpoint(&seen.entry.payload);
        let own = seen.entry.payload.get(SOCKADDR_BYTES..).and_then(peer::endpoint);
        if let (Some(peer), Some(own)) = (peer, own) {
            shared.inbounds.accepted(peer, own);
        }
        let connection = Connection {
            number: NonZeroU64::new(shared.connection_id()),
            accepted: true,
            unix: record.flags & flag::UNIX != 0,
            peer,
            own,
            connected: true,
            setup: Setup { start: seen.end, tid: record.tid, ..Setup::default() },
            ..Connection::default()
        };
        if let Some(old) = self.connections.insert(record.conn, Box::new(connection)) {
            self.retire(shared, *old, seen.start);
        }
    }

    fn closes(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let Some(mut connection) = self.connections.remove(&seen.entry.record.conn) else { return };
        if connection.connecting {
            failure::left_while_connecting(self, shared, &mut connection, seen.end);
        } else {
            transfer::caller_left(self, shared, &mut connection, seen.end);
        }
        self.keep_fact(shared, &connection, Some(seen.end));
    }

    pub(super) fn keep_fact(&self, shared: &mut Shared, connection: &Connection, closed: Option<Nanos>) {
        if shared.connections.len() < FACTS_MAX
            && let Some(fact) = connection.fact(self.pid, closed)
        {
            shared.connections.push(fact);
        }
    }

    fn session(&mut self, ssl: u64) -> &mut Session {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&ssl) {
            self.sessions.clear();
        }
        self.sessions.entry(ssl).or_default()
    }

    fn handshake_begins(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        let session = self.session(record.aux);
        session.handshake = Some(Handshake { start: seen.start, end: None });
        if record.conn != 0 {
            session.conn = record.conn;
        }
        self.settle_session(shared, record.aux);
    }

    fn handshake_ends(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        let good = record.rc == 1;
        let session = self.session(record.aux);
        let start = session.handshake.as_ref().map_or(seen.start, |handshake| handshake.start.min(seen.start));
        session.handshake = Some(Handshake { start, end: Some((seen.end, good)) });
        if record.conn != 0 {
            session.conn = record.conn;
        }
        let conn = session.conn;
        self.settle_session(shared, record.aux);
        if !good {
            self.with(shared, conn, |process, shared, connection| {
                failure::handshake_failed(process, shared, connection, seen.end);
            });
        }
    }

    fn bind(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        self.session(record.aux).conn = record.conn;
        self.settle_session(shared, record.aux);
    }

    /// Tells a connection what is known of its session.
    fn settle_session(&mut self, shared: &mut Shared, ssl: u64) {
        let Some(session) = self.sessions.get(&ssl) else { return };
        let (name, handshake) = (session.name.clone(), session.handshake.clone());
        self.with(shared, session.conn, |_, _, connection| {
            connection.sni = name.or(connection.sni.take());
            if let Some(handshake) = handshake {
                connection.opaque = None;
                connection.setup.tls = Some((handshake.start, handshake.end.map_or(handshake.start, |(end, _)| end)));
                connection.handshake = Some(handshake);
            }
        });
    }

    fn context(&mut self, shared: &mut Shared, seen: Seen<'_>) {
        let record = &seen.entry.record;
        if shared.contexts.len() >= FACTS_MAX {
            return;
        }
        if self.contexts.len() >= CONTEXTS {
            self.contexts.clear();
        }
        self.contexts.insert(record.aux, shared.contexts.len());
        shared.contexts.push(ContextFact { pid: self.pid, at: seen.start, took: record.dur });
    }

    /// Name of a connection's dependency as far as it is known without a request.
    pub(super) fn name_connection(shared: &Shared, connection: &mut Connection) {
        if connection.dependency.is_none() && !connection.accepted {
            let named = peer::name(&shared.naming, connection, Asked::default());
            connection.dependency = Some((named.kind, named.name));
        }
    }

    /// The process ended.
    pub(super) fn finish(&mut self, shared: &mut Shared, at: Nanos, ending: Ending) {
        if self.end.is_some() {
            return;
        }
        self.end = Some((at, ending));
        if ending == Ending::Killed {
            return;
        }
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(mut connection) = self.connections.remove(&id) else { continue };
            if connection.connecting {
                failure::left_while_connecting(self, shared, &mut connection, at);
            } else {
                transfer::caller_left(self, shared, &mut connection, at);
            }
            Self::name_connection(shared, &mut connection);
            self.keep_fact(shared, &connection, None);
        }
        failure::left_while_looking_up(self, shared, at);
        for serving in std::mem::take(&mut self.serving) {
            shared.inbounds.put(serving, Some(at));
        }
    }

    /// Ends the turns that were answered: nothing more is known to come.
    pub(super) fn end_turns(&mut self, shared: &mut Shared) {
        let answered = |connection: &Connection| {
            let turn = connection.layer().turn.as_ref().filter(|turn| !turn.doubtful);
            turn.and_then(|turn| turn.last_read)
        };
        let ids: Vec<(u32, Nanos)> =
            self.connections.iter().filter_map(|(&id, connection)| Some((id, answered(connection)?))).collect();
        for (id, at) in ids {
            self.with(shared, id, |process, shared, connection| turn::end(process, shared, connection, How::Complete, at));
        }
    }

    /// Keeps the facts of what is still there at the end of the run.
    pub(super) fn close_facts(&mut self, shared: &mut Shared) {
        for connection in self.connections.values_mut() {
            Self::name_connection(shared, connection);
        }
        for connection in self.connections.values() {
            self.keep_fact(shared, connection, None);
        }
        for serving in std::mem::take(&mut self.serving) {
            shared.inbounds.put(serving, None);
        }
    }

    /// The peer closed or reset a connection.
    pub(super) fn peer_closed(connection: &mut Connection, at: Nanos, errno: i32) {
        connection.peer_closed.get_or_insert(Closed { at, errno });
    }
}

fn text(bytes: &[u8]) -> Name {
    redact::name(&String::from_utf8_lossy(bytes)).into()
}
