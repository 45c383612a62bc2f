//! Where a run's time went, laid out in rows: what a terminal and a picture draw alike.

use super::{HopReport, PathPieceReport, PhaseTimes, RunReport, component};
use crate::model::{Outcome, Phase};
use std::collections::HashMap;

/// Less than the report's own rounding, in ms.
const NOTHING: f64 = 0.000_5;

/// The rows of a run: itself first, then its hops, each below the one that it is a part of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waterfall {
    /// To where the axis goes, in ms after the run's start; above 0.
    pub(crate) end_ms: f64,
    pub(crate) rows: Vec<Row>,
}

/// What one row shows. Times are in ms after the run's start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// The hop, by its place in the report; `None` = the run itself.
    pub(crate) hop: Option<usize>,
    /// How many hops are around it.
    pub(crate) depth: usize,
    pub(crate) label: String,
    pub(crate) start_ms: f64,
    pub(crate) duration_ms: f64,
    /// Its phases, by their start. Of the run itself those on the critical path that are no dependency's.
    pub(crate) segments: Vec<Segment>,
    /// Where it lies on the critical path, by the start.
    pub(crate) critical: Vec<Stretch>,
    /// It goes on.
    pub(crate) open: bool,
    /// How it failed.
    pub(crate) failed: Option<Outcome>,
}

/// Time in one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) phase: Phase,
    pub(crate) stretch: Stretch,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) start_ms: f64,
    pub(crate) duration_ms: f64,
}

impl Stretch {
    pub(crate) fn end_ms(&self) -> f64 {
        self.start_ms + self.duration_ms
    }
}

impl Row {
    pub(crate) fn end_ms(&self) -> f64 {
        self.start_ms + self.duration_ms
    }

    /// The phase that most of its time went to.
    pub(crate) fn main_phase(&self) -> Option<Phase> {
        let total = |phase: &Phase| {
            self.segments.iter().filter(|one| one.phase == *phase).map(|one| one.stretch.duration_ms).sum::<f64>()
        };
        let phases = Phase::ALL.iter().filter(|phase| total(phase) > 0.0);
        phases.max_by(|a, b| total(a).total_cmp(&total(b))).copied()
    }
}

impl Waterfall {
    /// Lays a run out.
    pub(crate) fn of(run: &RunReport) -> Self {
        let ends = run.hops.iter().map(|hop| hop.started_ms + hop.duration_ms);
        let end_ms = ends.fold(run.duration_ms, f64::max).max(NOTHING);
        let mut rows = vec![of_run(run)];
        let critical = critical(run);
        rows.extend(in_order(&run.hops).into_iter().map(|(index, depth)| {
            let critical = critical.get(run.hops[index].id.as_str()).cloned().unwrap_or_default();
            of_hop(&run.hops[index], index, depth, critical)
        }));
        Self { end_ms, rows }
    }

    /// At most so many rows: those on the critical path first, then what failed, what goes on, and what took longest. Tells how many
    /// were left out.
    pub(crate) fn keep(&mut self, most: usize) -> usize {
        let left_out = self.rows.len().saturating_sub(most);
        if left_out > 0 {
            let mut ranked: Vec<usize> = (0..self.rows.len()).collect();
            let rank = |index: &usize| {
                let row = &self.rows[*index];
                (row.hop.is_some(), row.critical.is_empty(), row.failed.is_none(), !row.open)
            };
            ranked.sort_by(|a, b| {
                rank(a).cmp(&rank(b)).then_with(|| self.rows[*b].duration_ms.total_cmp(&self.rows[*a].duration_ms))
            });
            ranked.truncate(most);
            ranked.sort_unstable();
            self.rows = ranked.into_iter().map(|index| self.rows[index].clone()).collect();
        }
        left_out
    }

    /// The phases that appear, in their order.
    pub(crate) fn phases(&self) -> impl Iterator<Item = Phase> {
        let appears = |phase: &Phase| self.rows.iter().flat_map(|row| &row.segments).any(|one| one.phase == *phase);
        Phase::ALL.iter().copied().filter(appears)
    }
}

fn of_run(run: &RunReport) -> Row {
    let own = run.critical_path.iter().filter(|part| part.hop_id.is_none());
    let segment = |part: &PathPieceReport| {
        let stretch = Stretch { start_ms: part.started_ms, duration_ms: part.duration_ms };
        Segment { phase: part.phase, stretch }
    };
    let segments: Vec<Segment> = own.filter(|part| part.duration_ms > 0.0).map(segment).collect();
    Row {
        hop: None,
        depth: 0,
        label: run.name.clone(),
        start_ms: 0.0,
        duration_ms: run.duration_ms,
        critical: segments.iter().map(|segment| segment.stretch).collect(),
        segments,
        open: run.open,
        failed: Some(run.outcome).filter(|&outcome| outcome != Outcome::Ok),
    }
}

fn of_hop(hop: &HopReport, index: usize, depth: usize, critical: Vec<Stretch>) -> Row {
    Row {
        hop: Some(index),
        depth,
        label: component(Some(hop.kind), Some(&hop.dependency)),
        start_ms: hop.started_ms,
        duration_ms: hop.duration_ms,
        segments: segments(hop),
        critical,
        open: hop.open,
        failed: hop.outcome.filter(|&outcome| outcome != Outcome::Ok),
    }
}

/// Where hops lie on the critical path, by their ids. What touches is one stretch.
fn critical(run: &RunReport) -> HashMap<&str, Vec<Stretch>> {
    let mut found: HashMap<&str, Vec<Stretch>> = HashMap::new();
    for part in run.critical_path.iter().filter(|part| part.duration_ms > 0.0) {
        let Some(id) = part.hop_id.as_deref() else { continue };
        let stretches = found.entry(id).or_default();
        match stretches.last_mut().filter(|last| (last.end_ms() - part.started_ms).abs() < 2.0 * NOTHING) {
            Some(last) => last.duration_ms += part.duration_ms,
            None => stretches.push(Stretch { start_ms: part.started_ms, duration_ms: part.duration_ms }),
        }
    }
    found
}

/// The hops with how many are around each: parts stand below their whole, by their start.
fn in_order(hops: &[HopReport]) -> Vec<(usize, usize)> {
    let by_id: HashMap<&str, usize> = hops.iter().enumerate().rev().map(|(index, hop)| (hop.id.as_str(), index)).collect();
    let mut parts: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut stack = Vec::new();
    for (index, hop) in hops.iter().enumerate().rev() {
        match hop.parent_id.as_deref().and_then(|id| by_id.get(id)) {
            Some(&whole) if whole != index => parts.entry(whole).or_default().push(index),
            _ => stack.push((index, 0)),
        }
    }
    let mut order = Vec::with_capacity(hops.len());
    while let Some((index, depth)) = stack.pop() {
        order.push((index, depth));
        stack.extend(parts.remove(&index).unwrap_or_default().into_iter().map(|part| (part, depth + 1)));
    }
    if order.len() < hops.len() {
        // Senders may tell circles: what is in one stands at the end.
        let mut is_in = vec![false; hops.len()];
        order.iter().for_each(|&(index, _)| is_in[index] = true);
        order.extend((0..hops.len()).filter(|&index| !is_in[index]).map(|index| (index, 0)));
    }
    order
}

/// The phases of a hop: those of its attempts as these tell them, and what lies between them.
fn segments(hop: &HopReport) -> Vec<Segment> {
    // What the attempts tell is theirs.
    let told = |phase| hop.attempts.iter().filter_map(|attempt| attempt.phases.of(phase)).sum::<f64>();
    let rest = times(&hop.phases).map(|(phase, time)| (phase, time - told(phase))).collect();
    let mut out = Segments { rest, at: hop.started_ms, segments: Vec::new() };
    for (index, attempt) in hop.attempts.iter().enumerate() {
        out.fill(attempt.started_ms, index > 0);
        out.at = attempt.started_ms;
        times(&attempt.phases).for_each(|(phase, time)| out.push(phase, time));
    }
    out.fill(hop.started_ms + hop.duration_ms, false);
    out.segments
}

/// The phases that took some time, in their order.
fn times(phases: &PhaseTimes) -> impl Iterator<Item = (Phase, f64)> {
    Phase::ALL.iter().filter_map(|&phase| Some((phase, phases.of(phase).filter(|&time| time > 0.0)?)))
}

/// The segments of a hop as they are laid down.
struct Segments {
    /// What no attempt tells of.
    rest: Vec<(Phase, f64)>,
    /// To where they go.
    at: f64,
    segments: Vec<Segment>,
}

impl Segments {
    /// The time up to `until`, which no attempt tells of: between two it is the backoff first, elsewhere last.
    fn fill(&mut self, until: f64, between: bool) {
        self.rest.sort_by_key(|&(phase, _)| ((phase == Phase::Backoff) != between, phase));
        for index in 0..self.rest.len() {
            let (phase, left) = self.rest[index];
            let time = left.min(until - self.at);
            if time > NOTHING {
                self.rest[index].1 -= time;
                self.push(phase, time);
            }
        }
    }

    fn push(&mut self, phase: Phase, time: f64) {
        self.segments.push(Segment { phase, stretch: Stretch { start_ms: self.at, duration_ms: time } });
        self.at += time;
    }
}

#[cfg(test)]
pub(crate) mod tests;
