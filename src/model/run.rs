//! A run: one end-to-end unit of work, with everything that was seen of it.

use super::{Kind, Name, Nanos, Outcome, Span, StallCause, TraceId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One end-to-end unit of work: root of a trace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// What the user calls it.
    pub name: Name,
    /// The trace, when one is carried.
    pub trace_id: Option<TraceId>,
    /// When it began.
    pub start: Nanos,
    /// When it ended; `None` = it still runs, and is judged as of `seen_until`.
    pub end: Option<Nanos>,
    /// The moment up to which things were seen; open spans reach to here.
    pub seen_until: Nanos,
    /// How long it may take.
    pub deadline: Option<Nanos>,
    /// Its spans: the root first (its start and end are the run's), then hops, start-up and whatever the sources told, in any order.
    pub spans: Vec<Span>,
    /// When the caller was blocked.
    pub stalls: Vec<Stall>,
    /// How the process ended, when the run is one.
    pub exit: Option<Exit>,
    /// How its own code ended, where the source knows it (the library: the future's result, `cancelled` when it was dropped, `error`
    /// when it panicked); `None` = not known, as of a process, or it still runs.
    pub ending: Option<Outcome>,
    /// The exception class that the program wrote last in traceback form, and when.
    pub raised: Option<(Name, Nanos)>,
    /// TLS contexts built.
    pub contexts: Vec<ContextFact>,
    /// Connections opened.
    pub connections: Vec<ConnectionFact>,
    /// What start-up was spent on, longest first; estimates.
    pub imports: Vec<ImportFact>,
}

impl Run {
    /// The moment at which blame is cut: the deadline where there is one and it was passed, else the end.
    #[must_use]
    pub fn horizon(&self) -> Nanos {
        let end = self.end.unwrap_or(self.seen_until).max(self.start);
        self.deadline.map_or(end, |deadline| end.min(self.start.saturating_add(deadline)))
    }

    /// How long it took, or takes so far.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        self.end.unwrap_or(self.seen_until).saturating_sub(self.start)
    }

    /// Whether the deadline passed.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.duration() > deadline)
    }
}

/// The caller's event loop or thread was blocked or starved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Process.
    pub pid: u32,
    /// From.
    pub start: Nanos,
    /// To.
    pub end: Nanos,
    /// What blocked.
    pub cause: StallCause,
    /// The dependency whose connection the blocking call was on, where it was on one.
    pub dependency: Option<(Kind, Name)>,
    /// It was an event loop (else a plain thread).
    pub event_loop: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code (128 + signal when a signal ended it).
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The user stopped it (Ctrl-C, or a signal passed on).
    pub by_user: bool,
    /// hopwatch stopped it at the deadline (`--kill`).
    pub by_deadline: bool,
}

/// A TLS context was built: a client object, in most libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFact {
    /// Process.
    pub pid: u32,
    /// When.
    pub at: Nanos,
    /// What it took, loading of authorities included.
    pub took: Nanos,
}

/// Time of a start-up that went into a package or a class of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportFact {
    /// Which.
    pub name: Name,
    /// How long, within about 30 %.
    pub took: Nanos,
}

/// A connection that was opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionFact {
    /// Process.
    pub pid: u32,
    /// What it leads to.
    pub kind: Kind,
    /// What it leads to.
    pub dependency: Name,
    /// Its other end, where that is known.
    pub peer: Option<SocketAddr>,
    /// When the connect began.
    pub opened: Nanos,
    /// When it was closed; `None` = open to the end.
    pub closed: Option<Nanos>,
    /// The caller closed it (else the peer).
    pub closed_by_caller: bool,
    /// Exchanges on it.
    pub calls: u64,
    /// Time to connect, and for the handshake.
    pub setup: Nanos,
    /// How it failed, when it never came to be.
    pub failed: Option<Outcome>,
    /// The peer asked for the close (`connection: close`, HTTP/1.0).
    pub close_announced: bool,
}

/// Why something was dropped or missed: a word of a small set.
pub type Reason = Cow<'static, str>;

/// What was counted on the way from source to report: `started = recorded + open + dropped`, at any instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Hops that began.
    pub started: u64,
    /// Hops that ended and were recorded.
    pub recorded: u64,
    /// Hops that are open.
    pub open: u64,
    /// Hops that were dropped, by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// Observations that a full buffer did not take, by buffer: each may have belonged to any hop, and lowers confidence.
    pub missed: BTreeMap<Reason, u64>,
}

impl Losses {
    /// Adds what another source counted.
    pub fn add(&mut self, other: Self) {
        self.started += other.started;
        self.recorded += other.recorded;
        self.open += other.open;
        for (to, from) in [(&mut self.dropped, other.dropped), (&mut self.missed, other.missed)] {
            from.into_iter().for_each(|(reason, count)| *to.entry(reason).or_default() += count);
        }
    }
}

/// What goes on at a source, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Hops that are over for good and were not told by a look before: each is told once.
    pub ended: Vec<Span>,
    /// Hops that are open, with their phases up to now.
    pub open: Vec<Span>,
    /// What was counted.
    pub losses: Losses,
    /// When.
    pub now: Nanos,
}
