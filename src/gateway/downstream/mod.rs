//! The client's side: a connection that was accepted.

mod io;
#[cfg(target_os = "linux")]
mod leaving;
mod orders;
#[cfg(target_os = "linux")]
mod owner;
#[cfg(target_os = "linux")]
mod reading;
mod reset;
mod unread;
#[cfg(target_os = "linux")]
mod watch;

pub(crate) use io::DownstreamIo;
pub(crate) use orders::{Order, Orders};
pub(crate) use unread::Unread;
#[cfg(target_os = "linux")]
pub(crate) use watch::{Watch, Watched};

use crate::model::clock::Anchor;
use crate::model::{ConnectionFact, ConnectionState, Kind, Name, Nanos, Outcome, StallCause};
use atomic_waker::AtomicWaker;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

/// A connection of a client: written by its task, read by whoever counts, sweeps and names.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) anchor: Anchor,
    /// Unique in the gateway's life.
    pub(crate) number: NonZeroU64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) opened: Nanos,
    stage: AtomicU8,
    /// When the stage began.
    since: AtomicU64,
    /// Requests that are being served: several at once by HTTP/2 alone.
    serving: AtomicU32,
    /// It speaks HTTP/2: its requests share it, and not all that comes is a request.
    is_shared: AtomicBool,
    /// Since when nothing more can be written to the client; 0 = it takes what there is.
    blocked: AtomicU64,
    /// Bytes that were written to the client, and when the last of them were.
    written: AtomicU64,
    last_write: AtomicU64,
    /// Until when the client is known to have read all that was written; [`Nanos::MAX`] = nobody can know, or it has left.
    read_until: AtomicU64,
    /// Since when it does not read what waits in its socket; 0 = it does, as far as is known.
    behind: AtomicU64,
    /// What keeps it from that.
    kept_by: Mutex<Option<StallCause>>,
    unread: Mutex<Unread>,
    calls: AtomicU64,
    left: AtomicU8,
    left_at: AtomicU64,
    resets: AtomicBool,
    announced: AtomicBool,
    /// To its task.
    pub(crate) orders: Orders,
    /// A body is on its way up, so that its task does not see everything that the client does.
    uploads: AtomicBool,
    /// Told when the client takes bytes again.
    takes: AtomicWaker,
    pid: AtomicU32,
    service: OnceLock<Name>,
    named: OnceLock<(Kind, Name)>,
    failed: OnceLock<Outcome>,
    setup: AtomicU64,
}

/// What a client's connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Between two requests.
    Idle = 0,
    /// A request's head is coming.
    Head = 1,
    /// A request is being served.
    Busy = 2,
    /// Its bytes pass as they are, to the end.
    Led = 3,
}

/// How a client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Left {
    /// It closed.
    Closed = 1,
    /// It reset the connection.
    Reset = 2,
}

impl Downstream {
    pub(crate) fn new(anchor: Anchor, number: NonZeroU64, peer: SocketAddr, local: SocketAddr) -> Self {
        let opened = anchor.now();
        Self {
            anchor,
            number,
            peer,
            local,
            opened,
            stage: AtomicU8::new(Stage::Idle as u8),
            since: AtomicU64::new(opened),
            serving: AtomicU32::new(0),
            is_shared: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
            written: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            read_until: AtomicU64::new(if is_local(peer, local) { opened } else { Nanos::MAX }),
            behind: AtomicU64::new(0),
            kept_by: Mutex::default(),
            unread: Mutex::default(),
            calls: AtomicU64::new(0),
            left: AtomicU8::new(0),
            left_at: AtomicU64::new(0),
            resets: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            orders: Orders::default(),
            uploads: AtomicBool::new(false),
            takes: AtomicWaker::new(),
            pid: AtomicU32::new(0),
            service: OnceLock::new(),
            named: OnceLock::new(),
            failed: OnceLock::new(),
            setup: AtomicU64::new(0),
        }
    }

    /// What it is in, and since when.
    pub(crate) fn stage(&self) -> (Stage, Nanos) {
        let stage = match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Idle,
            1 => Stage::Head,
            2 => Stage::Busy,
            _ => Stage::Led,
        };
        (stage, self.since.load(Ordering::Relaxed))
    }

    /// Bytes of the client came: between two requests they begin the next one's head.
    pub(crate) fn heard(&self) {
        if self.stage.load(Ordering::Relaxed) == Stage::Idle as u8 && !self.is_shared() {
            let now = self.anchor.now();
            // Who asks again has read the answer before.
            self.has_read(now);
            self.enter(Stage::Head, now);
        }
    }

    fn enter(&self, stage: Stage, at: Nanos) {
        self.since.store(at, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// It speaks HTTP/2.
    pub(crate) fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
        self.enter(Stage::Idle, self.anchor.now());
    }

    /// Whether several requests share it.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// A request's head is there; when its first byte came, and the last, and whether the connection was opened for it.
    pub(crate) fn asks(&self) -> (Nanos, Nanos, ConnectionState) {
        let (stage, since) = self.stage();
        let now = self.anchor.now();
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.enter(Stage::Busy, now);
        let is_first = self.calls.fetch_add(1, Ordering::Relaxed) == 0;
        let state = if is_first { ConnectionState::New } else { ConnectionState::Reused };
        // One that came together with the one before has no first byte of its own, nor has one that shares the connection.
        (if stage == Stage::Head { since } else { now }, now, state)
    }

    /// Something was asked over it.
    pub(crate) fn calls(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// What was asked last was no call.
    pub(crate) fn uncalled(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// To connect to its peer, and to be let in there, took so long.
    pub(crate) fn costs(&self, setup: Nanos) {
        self.setup.store(setup, Ordering::Relaxed);
    }

    /// Its peer was not to be had.
    pub(crate) fn failed(&self, outcome: Outcome) {
        let _first = self.failed.set(outcome);
    }

    /// What comes from here on passes as it is.
    pub(crate) fn leads(&self) {
        self.enter(Stage::Led, self.anchor.now());
    }

    /// A request was served.
    pub(crate) fn served(&self, at: Nanos) {
        if self.serving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.enter(Stage::Idle, at);
        }
    }

    /// The client closed or reset the connection.
    fn left(&self, how: Left) {
        if self.left.load(Ordering::Relaxed) == 0 {
            self.left_at.store(self.anchor.now(), Ordering::Relaxed);
            self.left.store(how as u8, Ordering::Relaxed);
            self.has_read(Nanos::MAX);
        }
    }

    /// When the client left, and how; `None` = it is there, as far as is known.
    pub(crate) fn has_left(&self) -> Option<(Nanos, Left)> {
        let how = match self.left.load(Ordering::Relaxed) {
            0 => return None,
            1 => Left::Closed,
            _ => Left::Reset,
        };
        Some((self.left_at.load(Ordering::Relaxed), how))
    }

    /// The client does not take what is there for it.
    fn blocks(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.anchor.now(), Ordering::Relaxed);
        }
    }

    /// The client took so many bytes.
    fn took(&self, bytes: usize) {
        let now = self.anchor.now();
        self.last_write.store(now, Ordering::Relaxed);
        self.written.store(self.written.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
        let since = self.blocked.load(Ordering::Relaxed);
        if since > 0 {
            self.blocked.store(0, Ordering::Relaxed);
            self.not_read(since, now);
            self.takes.wake();
        }
    }

    /// Waits until the client takes what there is.
    pub(crate) fn poll_written(&self, cx: &Context<'_>) -> Poll<()> {
        self.takes.register(cx.waker());
        if self.blocked.load(Ordering::Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// A body begins to go up, or has gone.
    pub(crate) fn uploads(&self, goes: bool) {
        self.uploads.store(goes, Ordering::Relaxed);
    }

    /// Whether the client may leave without its task seeing it: a body that nobody reads hides its end.
    pub(crate) fn may_leave_unseen(&self) -> bool {
        self.uploads.load(Ordering::Relaxed) && self.has_left().is_none()
    }

    /// It left, as is seen from outside: its task has to end.
    pub(crate) fn left_unseen(&self, how: Left) {
        self.left(how);
        self.orders.give(Order::Leave);
    }

    /// How many bytes the client took, and when the last of them.
    pub(crate) fn written(&self) -> (u64, Nanos) {
        (self.written.load(Ordering::Relaxed), self.last_write.load(Ordering::Relaxed))
    }

    /// The client has read all that was written by then.
    pub(crate) fn has_read(&self, at: Nanos) {
        self.read_until.fetch_max(at, Ordering::Relaxed);
    }

    /// Whether the client is known to have read by `to` what it was given by `from`.
    pub(crate) fn has_read_between(&self, from: Nanos, to: Nanos) -> bool {
        (from..=to).contains(&self.read_until.load(Ordering::Relaxed))
    }

    /// Whether nothing more is to be learned of how the client read what it was given by then.
    pub(crate) fn is_known_until(&self, at: Nanos) -> bool {
        self.read_until.load(Ordering::Relaxed) >= at
    }

    /// Whether two connections are of one client, as far as is known.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        self.peer.ip() == other.peer.ip() && self.pid() == other.pid()
    }

    /// Whether the client is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_local(self.peer, self.local)
    }

    /// What was written since then waits in the client's socket.
    pub(crate) fn is_behind(&self, since: Nanos, kept_by: impl FnOnce() -> StallCause) {
        if self.behind.swap(since.max(1), Ordering::Relaxed) == 0 {
            *self.kept_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept_by());
        }
    }

    /// Whether it does not read what waits in its socket.
    pub(crate) fn is_behind_now(&self) -> bool {
        self.behind.load(Ordering::Relaxed) > 0
    }

    /// The client reads again. What kept it from that.
    pub(crate) fn caught_up(&self, since: Nanos, at: Nanos) -> StallCause {
        self.behind.store(0, Ordering::Relaxed);
        self.not_read(since, at);
        self.kept_by.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(StallCause::Unknown)
    }

    /// The client left something unread from one moment to another.
    pub(crate) fn not_read(&self, from: Nanos, to: Nanos) {
        self.unread().add(from, to);
    }

    /// The stretches since `from` in which the client did not read what was there; the one that goes on reaches to `now`.
    pub(crate) fn unread_since(&self, from: Nanos, now: Nanos) -> Vec<(Nanos, Nanos)> {
        let open = [&self.blocked, &self.behind].into_iter().map(|since| since.load(Ordering::Relaxed));
        let open = open.filter(|&since| since > 0 && now.saturating_sub(since) >= Unread::MIN).map(|since| (since, now));
        let unread = self.unread();
        unread.stretches().chain(open).filter(|&(_, to)| to > from).collect()
    }

    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer reset its connection: so will this one be.
    pub(crate) fn reset_at_end(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }

    fn resets(&self) -> bool {
        self.resets.load(Ordering::Relaxed)
    }

    /// The client or its peer said that the connection will not be kept.
    pub(crate) fn announce_close(&self) {
        self.announced.store(true, Ordering::Relaxed);
    }

    /// The process at the other end was found.
    pub(crate) fn is_of(&self, pid: u32, program: Name) {
        let _first = self.service.set(program);
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// The client's process; `None` = not known.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|&pid| pid > 0)
    }

    /// The client's program, else its address.
    pub(crate) fn service(&self) -> Name {
        self.service.get().cloned().unwrap_or_else(|| self.peer.ip().to_canonical().to_string().into())
    }

    /// What its first exchange called gives the connection its name.
    pub(crate) fn name_once(&self, kind: Kind, dependency: &Name) {
        if self.named.get().is_none() {
            let _first = self.named.set((kind, dependency.clone()));
        }
    }

    /// The fact of its life, at its close; `None` = it never asked for anything, or nobody knows whose it was.
    pub(crate) fn fact(&self) -> Option<ConnectionFact> {
        let (kind, dependency) = self.named.get()?.clone();
        let left = self.has_left();
        Some(ConnectionFact {
            pid: self.pid()?,
            kind,
            dependency,
            peer: Some(self.local),
            opened: self.opened,
            closed: Some(left.map_or_else(|| self.anchor.now(), |(at, _)| at)),
            closed_by_caller: left.is_some(),
            calls: self.calls.load(Ordering::Relaxed),
            setup: self.setup.load(Ordering::Relaxed),
            failed: self.failed.get().copied(),
            close_announced: self.announced.load(Ordering::Relaxed),
        })
    }
}

/// Whether both ends of a connection are on one machine: so it is where they have one address, or loopback ones.
fn is_local(peer: SocketAddr, local: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback() || peer.ip() == local.ip()
}
