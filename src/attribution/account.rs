//! A run's critical path charged to components, call by call: what blame shows and verdicts argue with.

use super::baseline::Baselines;
use super::forest::{Forest, NONE};
use super::history::History;
use super::path::{self, Charge};
use super::rules;
use super::stalls::{Blocker, Blocks};
use crate::model::human::human_duration;
use crate::model::{BlameRow, Component, Kind, Name, Nanos, Phase, Role, Run, Span, StallCause};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A run's blame with what is behind it.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) run: &'a Run,
    /// Start to horizon.
    pub(super) total: Nanos,
    pub(super) baselines: Baselines<'a>,
    /// Components, longest first.
    pub(super) rows: Vec<Row<'a>>,
}

/// One component's time on the path.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) kind: Option<Kind>,
    pub(super) dependency: Option<&'a Name>,
    pub(super) phase: Phase,
    pub(super) time: Nanos,
    /// Part of the time that is estimated.
    pub(super) inferred: Nanos,
    /// The calls behind it; none for the caller.
    pub(super) parts: Vec<Part>,
    /// Every call is to a process of the run itself.
    pub(super) internal: bool,
    /// The sum of what these calls usually take in this phase.
    pub(super) usual: Option<Nanos>,
    /// What blocked, longest first.
    pub(super) blockers: Vec<(Blocker<'a>, Nanos)>,
    /// For start-up: its named parts, longest first.
    parts_of_startup: Vec<(&'a Name, Nanos)>,
}

/// One call's time in one component.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Index into the run's spans.
    pub(super) span: u32,
    pub(super) time: Nanos,
}

/// A stretch of the path, on the run's clock, and what it is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch<'a> {
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) kind: Option<Kind>,
    pub(super) dependency: Option<&'a Name>,
    pub(super) phase: Phase,
    /// The call, or whatever else of a known kind, as an index into the run's spans; `None` = the caller itself.
    pub(super) span: Option<u32>,
}

impl<'a> Account<'a> {
    pub(super) fn of(run: &'a Run, history: &'a History) -> Self {
        Self::with_path(run, history, None)
    }

    /// The same, and in `path` every stretch of the path, in any order.
    pub(super) fn with_path(run: &'a Run, history: &'a History, path: Option<&mut Vec<Stretch<'a>>>) -> Self {
        let horizon = run.horizon();
        let total = horizon - run.start;
        let forest = Forest::build(&run.spans, Some(horizon), &nested(run, horizon));
        let mut ledger = Ledger::new(run, &forest, path);
        let decomposition = path::decomposition(&forest, Some(horizon));
        let tree = decomposition.trees.iter().find(|tree| tree.root == 0).or(decomposition.trees.first());
        // Whatever the root span does not cover of the run is the caller's.
        let mut at = horizon;
        for section in tree.map_or(&[][..], |tree| &tree.sections) {
            let (start, end) = (section.start.max(run.start), section.end.min(at));
            if start < end {
                ledger.own(None, None, end, at);
                ledger.section(section.span as u32, section.charge, start, end);
                at = start;
            }
        }
        ledger.own(None, None, run.start, at);
        let baselines = Baselines::of(&run.spans, history);
        let mut rows = ledger.rows;
        for row in &mut rows {
            row.usual = row.usual(&baselines);
            row.blockers.sort_by_key(|&(_, time)| std::cmp::Reverse(time));
            row.parts_of_startup.sort_by_key(|&(name, time)| (std::cmp::Reverse(time), name));
        }
        rows.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.component().cmp(&b.component())));
        Self { run, total, baselines, rows }
    }

    /// The blame as the model tells it.
    pub(super) fn blame(&self) -> Vec<BlameRow> {
        self.rows.iter().map(|row| row.blame(self.total, &self.baselines)).collect()
    }

    /// All of the caller's own time: its work, its stalls, its start-up.
    pub(super) fn own(&self) -> Nanos {
        self.rows.iter().filter(|row| row.is_callers()).map(|row| row.time).sum()
    }

    /// A part of the run, 0 to 1.
    pub(super) fn share(&self, time: Nanos) -> f64 {
        share(time, self.total)
    }

    pub(super) fn span(&self, index: u32) -> &'a Span {
        &self.run.spans[index as usize]
    }
}

fn share(time: Nanos, total: Nanos) -> f64 {
    if total == 0 { 0.0 } else { time as f64 / total as f64 }
}

impl<'a> Row<'a> {
    fn add_part_of_startup(&mut self, name: &'a Name, time: Nanos) {
        match self.parts_of_startup.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += time,
            None => self.parts_of_startup.push((name, time)),
        }
    }

    pub(super) fn component(&self) -> Component {
        Component { kind: self.kind, dependency: self.dependency.cloned(), phase: self.phase }
    }

    /// Whether it is the caller's own time: its code, its stalls, its start-up.
    pub(super) const fn is_callers(&self) -> bool {
        matches!((self.kind, self.dependency), (None, None) | (Some(Kind::Startup), _))
    }

    /// Time beyond what is usual; `None` = nothing to compare with.
    pub(super) fn excess(&self) -> Option<Nanos> {
        self.usual.map(|usual| self.time.saturating_sub(usual))
    }

    fn usual(&self, baselines: &Baselines<'_>) -> Option<Nanos> {
        let mut sum: Nanos = 0;
        let mut measured = false;
        for part in &self.parts {
            match baselines.usual(part.span, Some(self.phase)) {
                Some(usual) => {
                    measured = true;
                    sum = sum.saturating_add(usual.median);
                }
                // Nothing can be said of a main call; a small one is taken to be as usual.
                None if part.time >= self.time / 10 => return None,
                None => sum = sum.saturating_add(part.time),
            }
        }
        measured.then_some(sum)
    }

    /// The call that matters most: the furthest beyond its usual time.
    pub(super) fn main_part(&self, baselines: &Baselines<'_>) -> Option<&Part> {
        let over = |part: &Part| {
            let usual = baselines.usual(part.span, Some(self.phase)).map_or(0, |usual| usual.median);
            part.time.saturating_sub(usual)
        };
        self.parts.iter().max_by_key(|part| (over(part), part.time))
    }

    fn blame(&self, total: Nanos, baselines: &Baselines<'_>) -> BlameRow {
        let main = self.main_part(baselines).filter(|_| self.usual.is_some());
        BlameRow {
            component: self.component(),
            time: self.time,
            share: share(self.time, total),
            usual: main.and_then(|part| baselines.usual(part.span, Some(self.phase))).map(|usual| usual.median),
            calls: self.parts.len() as u64,
            inferred: self.inferred > 0,
            detail: self.detail(),
        }
    }

    /// What blocked, or what a start-up was spent on.
    pub(super) fn detail(&self) -> Option<String> {
        self.blockers.first().map(|(blocker, _)| blocker.detail()).or_else(|| self.phases())
    }

    /// The parts of a start-up that took longest: `index 4.2 s, clients 0.3 s`.
    pub(super) fn phases(&self) -> Option<String> {
        const TOLD: usize = 3;
        let told = self.parts_of_startup.iter().take(TOLD).map(|(name, time)| format!("{name} {}", human_duration(*time)));
        (!self.parts_of_startup.is_empty()).then(|| told.collect::<Vec<_>>().join(", "))
    }
}

/// Rows in the making.
struct Ledger<'a, 'f, 'p> {
    run: &'a Run,
    forest: &'f Forest,
    path: Option<&'p mut Vec<Stretch<'a>>>,
    /// How far the clock of what is charged is behind the run's, modulo 2^64.
    behind: Nanos,
    blocks: Blocks<'a>,
    /// For each span the call, or the span of a known kind, that its own time belongs to.
    holders: Vec<u32>,
    index: FxHashMap<(Option<Kind>, Option<&'a str>, Phase), usize>,
    /// Where a call with something below it stands in its row.
    places: FxHashMap<(usize, u32), usize>,
    rows: Vec<Row<'a>>,
}

impl<'a, 'f, 'p> Ledger<'a, 'f, 'p> {
    fn new(run: &'a Run, forest: &'f Forest, path: Option<&'p mut Vec<Stretch<'a>>>) -> Self {
        let mut holders = vec![NONE; run.spans.len()];
        for &at in &forest.order {
            let parent = forest.parent[at as usize];
            let span = &run.spans[at as usize];
            let holds = forest.is_client(at) || span.kind.is_some() || is_call(span);
            holders[at as usize] = if holds { at } else { holders.get(parent as usize).copied().unwrap_or(NONE) };
        }
        let blocks = Blocks::of(run);
        let (index, places, rows) = (FxHashMap::default(), FxHashMap::default(), Vec::new());
        Self { run, forest, path, behind: 0, blocks, holders, index, places, rows }
    }

    fn section(&mut self, span: u32, charge: Charge, start: Nanos, end: Nanos) {
        let holder = self.holders[span as usize];
        let Some(held) = self.run.spans.get(holder as usize) else { return self.own(None, None, start, end) };
        match held.kind {
            Some(Kind::Startup) => {
                let part = rules::names_a_start_up_phase(held).then_some(&held.operation);
                self.own(held.kind, part, start, end);
            }
            _ if charge == Charge::Callee || self.forest.is_client(holder) || is_call(held) => {
                self.hop(holder, start, end);
            }
            _ => {
                let (kind, dependency) = (held.kind, held.dependency.as_ref());
                self.add(kind, dependency, Phase::Own, holder, end - start, false);
                self.lies(start, end, kind, dependency, Phase::Own, holder);
            }
        }
    }

    /// Where on the path something lies that is charged.
    fn lies(&mut self, start: Nanos, end: Nanos, kind: Option<Kind>, dependency: Option<&'a Name>, phase: Phase, span: u32) {
        let Some(path) = self.path.as_deref_mut().filter(|_| start != end) else { return };
        let [start, end] = [start, end].map(|at| at.wrapping_add(self.behind));
        path.push(Stretch { start, end, kind, dependency, phase, span: (span != NONE).then_some(span) });
    }

    /// Time inside a call: its phases in time order, and what they do not cover.
    fn hop(&mut self, hop: u32, start: Nanos, end: Nanos) {
        let span = &self.run.spans[hop as usize];
        if span.call.as_ref().is_some_and(|call| call.relayed) {
            // What the record below does not cover is how its caller got there and back.
            return self.own(None, None, start, end);
        }
        let dependency = span.dependency.as_ref().or_else(|| self.forest.callee(hop, &self.run.spans));
        let (from, to) = (self.forest.to_own_clock(hop, start), self.forest.to_own_clock(hop, end));
        let mut rest = end - start;
        // What is told of lies at its place as far as both clocks run alike, and what is not told of lies between.
        self.behind = start.wrapping_sub(from);
        let mut at = from;
        if let Some(call) = &span.call {
            for tile in call.timeline.within(from, to) {
                // A moved clock that met its limits must not make time.
                let time = (tile.end - tile.start).min(rest);
                rest -= time;
                self.lies(at, tile.start, span.kind, dependency, Phase::Wait, hop);
                at = tile.start + time;
                match tile.phase {
                    Phase::Own => self.own(None, None, tile.start, at),
                    Phase::Stall => self.stalled(tile.start, at, tile.cause),
                    phase => {
                        self.add(span.kind, dependency, phase, hop, time, span.inferred);
                        self.lies(tile.start, at, span.kind, dependency, phase, hop);
                    }
                }
            }
        }
        self.add(span.kind, dependency, Phase::Wait, hop, rest, true);
        self.lies(at, from.wrapping_add(end - start), span.kind, dependency, Phase::Wait, hop);
        self.behind = 0;
    }

    /// The caller's own time, which is a stall where the caller was blocked. Of start-up the named part that it is of.
    fn own(&mut self, kind: Option<Kind>, part: Option<&'a Name>, start: Nanos, end: Nanos) {
        let blocks = std::mem::take(&mut self.blocks);
        blocks.split(start, end, |start, end, stall| {
            let phase = if stall.is_some() { Phase::Stall } else { Phase::Own };
            match stall {
                Some(stall) => self.blocked(kind, Blocker::of(stall), end - start),
                None => self.add(kind, None, phase, NONE, end - start, false),
            }
            self.lies(start, end, kind, None, phase, NONE);
            if let Some(part) = part.filter(|_| start < end) {
                let at = self.row(kind, None, phase);
                self.rows[at].add_part_of_startup(part, end - start);
            }
        });
        self.blocks = blocks;
    }

    fn stalled(&mut self, start: Nanos, end: Nanos, cause: Option<StallCause>) {
        let blocker = self.blocks.blocker(start, end, cause);
        self.blocked(None, blocker, end - start);
        self.lies(start, end, None, None, Phase::Stall, NONE);
    }

    fn blocked(&mut self, kind: Option<Kind>, blocker: Blocker<'a>, time: Nanos) {
        let row = self.row(kind, None, Phase::Stall);
        let row = &mut self.rows[row];
        row.time += time;
        match row.blockers.iter_mut().find(|(known, _)| *known == blocker) {
            Some((_, sum)) => *sum += time,
            None => row.blockers.push((blocker, time)),
        }
    }

    fn add(&mut self, kind: Option<Kind>, dependency: Option<&'a Name>, phase: Phase, span: u32, time: Nanos, inferred: bool) {
        if time == 0 {
            return;
        }
        let at = self.row(kind, dependency, phase);
        let row = &mut self.rows[at];
        row.time += time;
        row.inferred += if inferred { time } else { 0 };
        let Some(call) = self.run.spans.get(span as usize) else { return };
        row.internal &= call.call.as_ref().is_some_and(|call| call.internal);
        // A call without anything below it has one section, so that its parts of a row follow each other.
        let last = row.parts.len().checked_sub(1).filter(|&last| row.parts[last].span == span);
        let known = || if self.forest.children(span).is_empty() { None } else { self.places.get(&(at, span)).copied() };
        match last.or_else(known).and_then(|place| row.parts.get_mut(place)) {
            Some(part) => part.time += time,
            None => {
                if !self.forest.children(span).is_empty() {
                    self.places.insert((at, span), row.parts.len());
                }
                row.parts.push(Part { span, time });
            }
        }
    }

    fn row(&mut self, kind: Option<Kind>, dependency: Option<&'a Name>, phase: Phase) -> usize {
        // Most runs have few rows, and names are shared: most look-ups end here.
        const FEW: usize = 16;
        let is_it = |row: &Row<'_>| row.phase == phase && row.kind == kind && shared(row.dependency, dependency);
        if let Some(at) = self.rows.iter().take(FEW).position(is_it) {
            return at;
        }
        let key = (kind, dependency.map(|name| &**name), phase);
        *self.index.entry(key).or_insert_with(|| {
            let blockers = Vec::new();
            let internal = dependency.is_some();
            self.rows.push(Row {
                kind,
                dependency,
                phase,
                time: 0,
                inferred: 0,
                parts: Vec::new(),
                internal,
                usual: None,
                blockers,
                parts_of_startup: Vec::new(),
            });
            self.rows.len() - 1
        })
    }
}

/// Whether a span stands for a call: one to another service, or one that has phases although it stays inside (the wait at a gate).
fn is_call(span: &Span) -> bool {
    span.role == Role::Client || (span.role == Role::Internal && span.call.is_some())
}

/// Whether two names are one and the same; equal ones that are not shared are told apart here, and found by hash.
fn shared(a: Option<&Name>, b: Option<&Name>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Calls that a server inside the run's own process tree made while it was being called: they belong below that call, so that what
/// the server waited for is seen instead of the server.
fn nested(run: &Run, horizon: Nanos) -> Vec<(u32, u32)> {
    /// Calls that began before are looked at this far back; deeper overlaps stay side by side.
    const LOOK_BACK: usize = 64;
    let end = |span: &Span| span.end_or(horizon);
    let pid = |span: &Span| span.call.as_ref().and_then(|call| call.client.pid);
    let is_internal = |span: &Span| span.call.as_ref().is_some_and(|call| call.internal);
    let mut outer: Vec<u32> = (0..run.spans.len() as u32).filter(|&at| is_internal(&run.spans[at as usize])).collect();
    if outer.is_empty() {
        return Vec::new();
    }
    outer.sort_by_key(|&at| run.spans[at as usize].start);
    let mut nested = Vec::new();
    for (at, inner) in run.spans.iter().enumerate().filter(|(_, span)| pid(span).is_some()) {
        let before = outer.partition_point(|&other| run.spans[other as usize].start <= inner.start);
        let contains = |other: &&u32| {
            let other = &run.spans[**other as usize];
            // Strictly longer, so that two calls never end up inside each other.
            let longer = end(other) - other.start > end(inner) - inner.start;
            longer && end(other) >= end(inner) && other.parent == inner.parent && pid(other).is_some() && pid(other) != pid(inner)
        };
        let around = outer[..before].iter().rev().take(LOOK_BACK).filter(contains);
        if let Some(&shortest) = around.min_by_key(|&&other| end(&run.spans[other as usize]) - run.spans[other as usize].start) {
            nested.push((at as u32, shortest));
        }
    }
    nested
}
