//! Whether a client on this machine reads what was sent to it: seen from outside, since small answers block nobody who sends them.
//!
//! What was written to a client less what waits in its socket is what it has read. While that stands still with something waiting, the
//! client is not reading: its own doing, never its peer's (design page, section 4, rule 10).

use super::owner;
use super::{Downstream, Stage};
use crate::model::{Nanos, Stall, StallCause};
use crate::sock_diag::Queues;
use rustc_hash::FxHashMap;
use std::fs;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Most clients that are looked at in one round.
const MOST: usize = 64;
/// A client that was idle for longer has read what there was, or nobody waits to know.
const IDLE: Nanos = 5_000_000_000;

/// Clients that had something to read when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Readers {
    behind: FxHashMap<NonZeroU64, Behind>,
    /// Where the last round stopped, if there were too many for one.
    next: usize,
}

/// A client with something to read.
#[derive(Debug)]
struct Behind {
    client: Arc<Downstream>,
    /// What it had read.
    read: u64,
    /// Since when that has not changed.
    since: Nanos,
    /// It was seen twice at the same place: whether its process has an event loop.
    stuck: Option<bool>,
}

impl Readers {
    /// Looks at clients; stretches in which they did not read are told to them, and as stalls of their processes through `tell`. Whether
    /// any is behind.
    pub(super) fn look(&mut self, clients: &[Arc<Downstream>], queues: &Queues, now: Nanos, tell: &mut dyn FnMut(Stall)) -> bool {
        let clients: Vec<&Arc<Downstream>> = clients.iter().filter(|client| client.is_to_be_looked_at(now)).collect();
        let first = if self.next < clients.len() { self.next } else { 0 };
        self.next = first + MOST;
        let (skipped, rest) = clients.split_at(first);
        let mut seen = FxHashMap::default();
        for (index, client) in rest.iter().chain(skipped).enumerate() {
            if index >= MOST {
                seen.extend(self.behind.remove(&client.number).map(|behind| (client.number, behind)));
                continue;
            }
            let Some(queue) = queues.of(client.peer, client.local) else { continue };
            let (written, last) = client.written();
            let read = written.saturating_sub(u64::from(queue.bytes));
            let before = self.behind.remove(&client.number);
            if queue.bytes == 0 {
                client.has_read(now);
            }
            match before {
                Some(behind) if behind.read == read && queue.bytes > 0 => {
                    client.is_behind(behind.since, || client.pid().map_or(StallCause::Unknown, kept_by));
                    let has_loop = || client.pid().is_some_and(owner::has_event_loop);
                    seen.insert(client.number, Behind { stuck: behind.stuck.or_else(|| Some(has_loop())), ..behind });
                }
                before => {
                    if let Some(behind) = before {
                        behind.ends(now, tell);
                    }
                    if queue.bytes > 0 {
                        let client = Arc::clone(client);
                        seen.insert(client.number, Behind { client, read, since: last.min(now), stuck: None });
                    }
                }
            }
        }
        // Those that are left have gone, or have asked for something else, so that they had read.
        self.end(now, tell);
        self.behind = seen;
        !self.behind.is_empty()
    }

    /// Nobody is looked at any more.
    pub(super) fn end(&mut self, now: Nanos, tell: &mut dyn FnMut(Stall)) {
        self.behind.drain().for_each(|(_, behind)| behind.ends(now, tell));
    }
}

impl Behind {
    /// It reads again by `now`, or is gone.
    fn ends(self, now: Nanos, tell: &mut dyn FnMut(Stall)) {
        let Some(event_loop) = self.stuck else { return };
        let end = self.client.has_left().map_or(now, |(at, _)| at.min(now));
        let cause = self.client.caught_up(self.since, end);
        if let Some(pid) = self.client.pid() {
            tell(Stall { pid, start: self.since, end, cause, dependency: None, event_loop });
        }
    }
}

/// What the main thread of a process is in, as far as the kernel tells.
fn kept_by(pid: u32) -> StallCause {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    // `running`, or the number of a system call with its arguments; empty where it may not be seen.
    let call = read("syscall");
    match call.split_ascii_whitespace().next() {
        Some("running") => StallCause::Cpu,
        Some(number) => number.parse().map_or(StallCause::Unknown, of_call),
        None => {
            let stat = read("stat");
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
            if state == Some('R') { StallCause::Cpu } else { StallCause::Unknown }
        }
    }
}

fn of_call(number: i64) -> StallCause {
    match number {
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => StallCause::Sleep,
        libc::SYS_futex => StallCause::Lock,
        libc::SYS_poll | libc::SYS_ppoll | libc::SYS_select | libc::SYS_pselect6 => StallCause::Poll,
        libc::SYS_read | libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_write | libc::SYS_sendto | libc::SYS_connect => {
            StallCause::Io
        }
        libc::SYS_wait4 | libc::SYS_waitid => StallCause::ChildProcess,
        libc::SYS_fsync | libc::SYS_flock => StallCause::File,
        _ => StallCause::Unknown,
    }
}

impl Downstream {
    /// Whether no process has the client's end open any more; of one on another machine nobody knows.
    pub(crate) fn is_abandoned(&self) -> bool {
        let socket = || Queues::open().ok().map(|queues| queues.of(self.peer, self.local));
        self.is_local() && socket().is_some_and(|socket| socket.is_none_or(|socket| socket.inode == 0))
    }

    /// Whether it may have something to read that matters to somebody.
    fn is_to_be_looked_at(&self, now: Nanos) -> bool {
        let (stage, since) = self.stage();
        let since = match stage {
            _ if self.is_behind_now() => now,
            Stage::Led => self.written().1,
            Stage::Idle | Stage::Head | Stage::Busy => since,
        };
        self.is_local() && self.has_left().is_none() && (stage == Stage::Busy || now.saturating_sub(since) < IDLE)
    }
}
