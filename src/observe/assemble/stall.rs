//! What blocked the caller: busy spans of event loops, and the waits of plain threads.

use super::Seen;
use super::process::Process;
use crate::model::{Kind, Name, Nanos, Phase, Stall, StallCause, Timeline};
use crate::observer::layout::Call;
use std::collections::VecDeque;

/// Most waits of plain threads that are remembered in one process.
const BLOCKS: usize = 1_024;

/// An event loop did not wait for a while.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub(super) tid: u32,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) cause: StallCause,
    /// The dependency whose connection the blocking call was on.
    dependency: Option<(Kind, Name)>,
    /// The connection, while its dependency has no name yet.
    conn: u32,
}

impl Busy {
    /// Reads a record of a busy span; `interpreter_lock`: the program has one.
    pub(super) fn read(seen: Seen<'_>, dependency: Option<(Kind, Name)>, interpreter_lock: bool) -> Self {
        let record = &seen.entry.record;
        let half = record.dur / 2;
        let blocked_by_call = record.aux >= half && record.rc != 0;
        let cause = if blocked_by_call {
            cause_of(Call::from_u16(record.rc as u16))
        } else if u64::from(record.age_ms).saturating_mul(super::MILLI) >= half && record.age_ms != u32::MAX {
            StallCause::InterpreterLock
        } else if record.offset >= half && record.offset != u64::MAX {
            StallCause::Cpu
        } else {
            StallCause::Unknown
        };
        let cause = match cause {
            // Elsewhere a loop that waits for its own threads does its work by them.
            StallCause::InterpreterLock if !interpreter_lock => StallCause::Unknown,
            cause => cause,
        };
        let conn = if blocked_by_call { record.conn } else { 0 };
        Self { tid: record.tid, start: seen.start, end: seen.end, cause, dependency: dependency.filter(|_| conn != 0), conn }
    }

    /// As the report has it.
    pub(super) fn stall(&self, process: &Process) -> Stall {
        let late = || process.connections.get(&self.conn).and_then(|connection| connection.dependency.clone());
        Stall {
            pid: process.pid,
            start: self.start,
            end: self.end,
            cause: self.cause,
            dependency: self.dependency.clone().or_else(late),
            event_loop: true,
        }
    }
}

/// Whether a program is an interpreter with a lock that its threads wait for in condition variables.
pub(super) fn has_interpreter_lock(program: &str) -> bool {
    ["python", "pypy", "ruby"].iter().any(|interpreter| program.starts_with(interpreter))
}

pub(super) const fn cause_of(call: Call) -> StallCause {
    match call {
        Call::None => StallCause::Unknown,
        Call::Resolve => StallCause::Resolve,
        Call::Connect | Call::Accept | Call::Read | Call::Write | Call::Handshake => StallCause::Io,
        Call::Epoll | Call::Poll | Call::Select => StallCause::Poll,
        Call::Sleep => StallCause::Sleep,
        Call::Semaphore => StallCause::Lock,
        Call::Condition => StallCause::InterpreterLock,
        Call::Child => StallCause::ChildProcess,
        Call::FileLock | Call::FileSync => StallCause::File,
    }
}

/// How much of `[from, to)` busy spans of a thread cover. They are in the order of their ends.
pub(super) fn covered(stalls: &[Busy], tid: u32, from: Nanos, to: Nanos) -> Nanos {
    overlapping(stalls, tid, from, to).map(|busy| busy.end.min(to) - busy.start.max(from)).sum()
}

/// Busy spans of one thread that overlap `[from, to)`.
fn overlapping(stalls: &[Busy], tid: u32, from: Nanos, to: Nanos) -> impl Iterator<Item = &Busy> {
    let first = stalls.partition_point(|busy| busy.end <= from);
    // Spans of other threads interleave, so that starts are in no order; none lasts for ever.
    stalls[first..].iter().take(BLOCKS).filter(move |busy| busy.tid == tid && busy.start < to && busy.end > from)
}

/// The caller's own time of a hop, and what `extra` names, told as stall where its thread was blocked.
pub(super) fn overlay(line: &Timeline, stalls: &[Busy], tid: u32, extra: &[(Nanos, Nanos)]) -> Timeline {
    let own = line.stretches().filter(|part| part.phase == Phase::Own).map(|part| (part.start, part.end));
    let mut out = None;
    for (from, to) in own.chain(extra.iter().copied()) {
        for busy in overlapping(stalls, tid, from, to) {
            let current = out.as_ref().unwrap_or(line);
            out = Some(current.with_stall(busy.cause, busy.start.max(from), busy.end.min(to)));
        }
    }
    out.unwrap_or_else(|| line.clone())
}

/// A plain thread waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) tid: u32,
    pub(super) call: Call,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
}

/// The last waits of a process's threads.
#[derive(Debug, Default)]
pub(super) struct Blocks(VecDeque<Block>);

impl Blocks {
    /// Notes a wait.
    pub(super) fn push(&mut self, block: Block) {
        if self.0.len() == BLOCKS {
            self.0.pop_front();
        }
        self.0.push_back(block);
    }

    /// How long a thread slept within `[from, to)`.
    pub(super) fn slept(&self, tid: u32, from: Nanos, to: Nanos) -> Nanos {
        let sleeps =
            self.0.iter().filter(|block| block.tid == tid && matches!(block.call, Call::Sleep | Call::Select | Call::Poll));
        sleeps.map(|block| block.end.min(to).saturating_sub(block.start.max(from))).sum()
    }

    /// The wait for a lock that a thread came out of within `slack` before `at`.
    pub(super) fn lock_until(&self, tid: u32, at: Nanos, slack: Nanos) -> Option<Block> {
        let newest = self.0.iter().rev().find(|block| block.tid == tid && block.end <= at)?;
        let is_lock = matches!(newest.call, Call::Semaphore | Call::Condition);
        (is_lock && at - newest.end <= slack).then_some(*newest)
    }
}
