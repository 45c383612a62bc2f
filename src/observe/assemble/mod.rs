//! Records in, hops out. Nothing here knows files, processes or clocks, so that tests script records.
//!
//! [`Assembler`] holds one [`process::Process`] per ring. A process holds its [`connection::Connection`]s, name look-ups
//! ([`resolve`]) and TLS sessions; what `wire` reads on a connection becomes an [`exchange::Exchange`], and an exchange that
//! ends becomes an attempt of a hop ([`hops`]). What blocked the caller ([`stall`]) is laid over the hops at the end, since
//! it is known only after it is over.

mod callers;
mod connection;
mod exchange;
mod facts;
mod failure;
mod hops;
mod inbound;
mod open;
mod opens;
mod peer;
mod process;
mod query;
mod resolve;
mod stall;
mod tls;
mod transfer;
mod turn;
mod unread;

use crate::hops::{CallerId as ProcessId, Hops};
use crate::model::clock::Anchor;
use crate::model::{ConnectionFact, ContextFact, ImportFact, Losses, Name, Naming, Nanos, Reason, Span, Stall};
use crate::observe::ring::{Entry, Lost, Maker, Thread};
use crate::sock_diag::Queue;
use inbound::Inbounds;
use process::Process;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One millisecond in [`Nanos`].
const MILLI: Nanos = 1_000_000;
/// No record is of a later instant, and none of a longer call: what says so is broken, and must not overflow a sum.
const LATEST: Nanos = 1 << 62;
/// See [`LATEST`].
const LONGEST: Nanos = 1 << 52;
/// Most facts of one sort that are kept.
const FACTS_MAX: usize = 100_000;

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It left by itself, or became another program.
    Exit,
    /// It was ended in the middle of a call.
    Killed,
}

/// Everything that was made of the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembled {
    pub(crate) spans: Vec<Span>,
    pub(crate) stalls: Vec<Stall>,
    pub(crate) contexts: Vec<ContextFact>,
    pub(crate) connections: Vec<ConnectionFact>,
    pub(crate) raised: Option<(Name, Nanos)>,
    pub(crate) losses: Losses,
    pub(crate) first_activity: Option<Nanos>,
    pub(crate) imports: Vec<ImportFact>,
}

/// Makes hops of records.
#[derive(Debug)]
pub(crate) struct Assembler {
    shared: Shared,
    processes: Vec<Process>,
}

/// What all processes have in common.
#[derive(Debug)]
struct Shared {
    naming: Naming,
    hops: Hops,
    inbounds: Inbounds,
    connections: Vec<ConnectionFact>,
    contexts: Vec<ContextFact>,
    raised: Option<(Name, Nanos)>,
    first_activity: Option<Nanos>,
    missed: BTreeMap<Reason, u64>,
    next_id: u64,
    next_connection: u64,
}

impl Shared {
    /// An id for a span.
    const fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A number for a connection, unique in the run.
    const fn connection_id(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    fn miss(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.missed.entry(what.into()).or_default() += count;
        }
    }

    fn active_at(&mut self, at: Nanos) {
        self.first_activity = Some(self.first_activity.map_or(at, |first| first.min(at)));
    }
}

/// A record whose times are instants.
#[derive(Clone, Copy, Debug)]
struct Seen<'a> {
    entry: &'a Entry,
    /// When the call began.
    start: Nanos,
    /// When it ended.
    end: Nanos,
}

impl Assembler {
    /// An assembler of nothing so far.
    pub(crate) fn new(naming: Naming) -> Self {
        let shared = Shared {
            naming,
            hops: Hops::default(),
            inbounds: Inbounds::default(),
            connections: Vec::new(),
            contexts: Vec::new(),
            raised: None,
            first_activity: None,
            missed: BTreeMap::new(),
            next_id: 0,
            next_connection: 0,
        };
        Self { shared, processes: Vec::new() }
    }

    /// A process was found.
    pub(crate) fn begin(&mut self, maker: &Maker) -> ProcessId {
        let parent = self.processes.iter().rposition(|process| process.pid == maker.ppid && process.end.is_none());
        let id = self.processes.len();
        self.processes.push(Process::new(id, maker, parent.filter(|_| maker.forked)));
        id
    }

    /// Takes a record of a process.
    pub(crate) fn record(&mut self, process: ProcessId, entry: &Entry, anchor: &Anchor) {
        let record = &entry.record;
        let start = anchor.instant(record.t).min(LATEST);
        let seen = Seen { entry, start, end: start.saturating_add(record.dur.min(LONGEST)) };
        let inherited = self.inherited(process, record.conn);
        if let Some(process) = self.processes.get_mut(process) {
            if let Some(connection) = inherited {
                process.adopt(record.conn, connection);
            }
            process.record(&mut self.shared, seen);
        }
    }

    /// A connection that a forked process uses and its parent opened.
    fn inherited(&self, process: ProcessId, id: u32) -> Option<connection::Connection> {
        let process = self.processes.get(process)?;
        let parent = self.processes.get(process.forked_from?)?;
        if id == 0 || process.connections.contains_key(&id) {
            return None;
        }
        parent.connections.get(&id).map(|connection| connection.inherited())
    }

    /// A process ended.
    pub(crate) fn end(&mut self, process: ProcessId, at: Nanos, ending: Ending, lost: Lost) {
        let Some(process) = self.processes.get_mut(process) else { return };
        process.finish(&mut self.shared, at, ending);
        self.missed(lost);
    }

    /// Notes what a process could not record.
    pub(crate) fn missed(&mut self, lost: Lost) {
        self.shared.miss("ring", lost.records);
        self.shared.miss("threads", lost.threads);
        self.shared.miss("tables", lost.tables);
    }

    /// A process had no room to record anything.
    pub(crate) fn had_no_room(&mut self) {
        self.shared.miss("processes", 1);
    }

    /// Asks of the open hops whether their answers lie unread at `now`. `ask` tells what waits in a connection, given its own and
    /// its peer's address.
    pub(crate) fn settle(
        &mut self,
        now: Nanos,
        threads: &dyn Fn(ProcessId) -> Vec<Thread>,
        ask: &mut dyn FnMut(SocketAddr, SocketAddr) -> Option<Queue>,
    ) {
        for process in &mut self.processes {
            let id = process.id;
            process.settle(now, &|| threads(id), &mut |own, peer| ask(own, peer));
        }
    }

    /// The hops that are open at `now`, with what their threads are in.
    pub(crate) fn open(&mut self, now: Nanos, threads: &dyn Fn(ProcessId) -> Vec<Thread>) -> Vec<Span> {
        let mut spans = Vec::new();
        for process in &self.processes {
            process.open_hops(&mut self.shared, now, &threads(process.id), &mut spans);
        }
        spans
    }

    /// The hops that are over for good and were not told before. `idle_since` says since when a thread waits for events.
    pub(crate) fn settled(&mut self, now: Nanos, idle_since: &dyn Fn(ProcessId, u32) -> Option<Nanos>) -> Vec<Span> {
        hops::settled(&mut self.shared.hops, &self.processes, now, idle_since)
    }

    /// The open hops at the end of the run.
    fn open_to_the_end(&mut self, now: Nanos, threads: &dyn Fn(ProcessId) -> Vec<Thread>) -> (Vec<Span>, u64) {
        let (mut spans, mut waiting) = (Vec::new(), 0);
        for process in &mut self.processes {
            process.end_turns(&mut self.shared);
        }
        for process in &self.processes {
            for place in process.open_hops(&mut self.shared, now, &threads(process.id), &mut spans) {
                self.shared.hops.reopen(place);
                waiting += 1;
            }
        }
        (spans, waiting)
    }

    /// Counts as they are now.
    pub(crate) fn losses(&self) -> Losses {
        let counts = self.processes.iter().map(Process::open_count);
        let open = counts.fold((0, 0), |sum, (begun, setting_up)| (sum.0 + begun, sum.1 + setting_up));
        self.shared.hops.losses(open, self.shared.missed.clone())
    }

    /// Ends everything at `now`.
    pub(crate) fn finish(mut self, now: Nanos, threads: &dyn Fn(ProcessId) -> Vec<Thread>) -> Assembled {
        let (mut spans, waiting) = self.open_to_the_end(now, threads);
        let mut losses = self.losses();
        losses.open += waiting;
        for process in &mut self.processes {
            process.close_facts(&mut self.shared);
        }
        let started = self.shared.first_activity.unwrap_or(now);
        // Of several programs the one that took longest to start: times of others went by beside it.
        let imports = self.processes.iter_mut().map(|process| process.opens.take(started));
        let imports = imports.max_by_key(|facts| facts.iter().map(|fact| fact.took).sum::<Nanos>()).unwrap_or_default();
        let internal = self.shared.inbounds.pairs();
        let mut stalls = Vec::new();
        for process in &self.processes {
            stalls.extend(process.stalls.iter().map(|busy| busy.stall(process)));
        }
        let callers = hops::callers(&self.shared.hops);
        spans.extend(self.shared.hops.take().map(|hop| hops::span(hop, &self.processes, internal)));
        spans.extend(self.shared.inbounds.take(&callers));
        let known: rustc_hash::FxHashSet<_> = spans.iter().map(|span| span.id).collect();
        for span in &mut spans {
            span.parent = span.parent.filter(|parent| known.contains(parent));
        }
        spans.sort_by_key(|span| (span.start, span.id));
        Assembled {
            spans,
            stalls,
            contexts: self.shared.contexts,
            connections: self.shared.connections,
            raised: self.shared.raised,
            losses,
            first_activity: self.shared.first_activity,
            imports,
        }
    }
}

#[cfg(test)]
mod tests;
