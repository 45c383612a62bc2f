//! A hop's time as disjoint tiles.

use super::{Nanos, Phase, StallCause};
use serde::{Deserialize, Serialize};

/// One part of a timeline: from the end of the tile before (or the timeline's start) to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// The phase.
    pub phase: Phase,
    /// Where it ends.
    pub end: Nanos,
    /// What blocked, for [`Phase::Stall`].
    pub cause: Option<StallCause>,
}

/// A stretch of time tiled by phases without gap or overlap: the phases sum to the whole by construction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Timeline {
    start: Nanos,
    tiles: Vec<Tile>,
}

/// A timeline as it was written down, by whoever.
#[derive(Deserialize)]
struct Written {
    start: Nanos,
    tiles: Vec<Tile>,
}

impl From<Written> for Timeline {
    fn from(written: Written) -> Self {
        let mut line = Self::new(written.start);
        written.tiles.into_iter().for_each(|tile| line.extend(tile));
        line
    }
}

/// A tile with both of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The phase.
    pub phase: Phase,
    /// Where it starts.
    pub start: Nanos,
    /// Where it ends.
    pub end: Nanos,
    /// What blocked, for [`Phase::Stall`].
    pub cause: Option<StallCause>,
}

impl Timeline {
    /// Most tiles a timeline keeps; beyond, the last tile grows, so that a stream of any length needs bounded memory.
    pub const MAX_TILES: usize = 4096;

    /// An empty timeline that starts at `start`.
    #[must_use]
    pub const fn new(start: Nanos) -> Self {
        Self { start, tiles: Vec::new() }
    }

    /// The time up to `until` was `phase`. An `until` that is not after the end so far adds nothing.
    pub fn push(&mut self, phase: Phase, until: Nanos) {
        self.extend(Tile { phase, end: until, cause: None });
    }

    /// The time up to `until` was a stall for this cause.
    pub fn push_stall(&mut self, cause: StallCause, until: Nanos) {
        self.extend(Tile { phase: Phase::Stall, end: until, cause: Some(cause) });
    }

    /// Appends another timeline; the time between the two is `between`. What overlaps is left out.
    pub fn append(&mut self, between: Phase, other: &Self) {
        self.push(between, other.start);
        for tile in &other.tiles {
            self.extend(*tile);
        }
    }

    /// The same time with `[from, to)` re-labelled as a stall wherever it lies inside this timeline.
    #[must_use]
    pub fn with_stall(&self, cause: StallCause, from: Nanos, to: Nanos) -> Self {
        self.relabelled(Phase::Stall, Some(cause), from, to)
    }

    /// The same time with `[from, to)` in another phase wherever it lies inside this timeline.
    #[must_use]
    pub fn with(&self, phase: Phase, from: Nanos, to: Nanos) -> Self {
        self.relabelled(phase, None, from, to)
    }

    fn relabelled(&self, phase: Phase, cause: Option<StallCause>, from: Nanos, to: Nanos) -> Self {
        let mut out = Self::new(self.start);
        for part in self.stretches() {
            let (lo, hi) = (from.clamp(part.start, part.end), to.clamp(part.start, part.end));
            let whole = Tile { phase: part.phase, end: part.end, cause: part.cause };
            if lo < hi {
                out.extend(Tile { end: lo, ..whole });
                out.extend(Tile { phase, end: hi, cause });
            }
            out.extend(whole);
        }
        out
    }

    /// Where it starts.
    #[must_use]
    pub const fn start(&self) -> Nanos {
        self.start
    }

    /// Where it ends so far.
    #[must_use]
    pub fn end(&self) -> Nanos {
        self.tiles.last().map_or(self.start, |tile| tile.end)
    }

    /// How long it is so far.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        self.end() - self.start
    }

    /// The time in one phase; `None` when the phase was not there at all.
    #[must_use]
    pub fn total(&self, phase: Phase) -> Option<Nanos> {
        self.stretches().filter(|part| part.phase == phase).map(|part| part.end - part.start).reduce(|a, b| a + b)
    }

    /// The time in each phase that was there, by the number of the phase, in one pass.
    #[must_use]
    pub fn totals(&self) -> [Option<Nanos>; Phase::ALL.len()] {
        let mut totals = [None; Phase::ALL.len()];
        for part in self.stretches() {
            *totals[part.phase as usize].get_or_insert(0) += part.end - part.start;
        }
        totals
    }

    /// The phase it ends in.
    #[must_use]
    pub fn last_phase(&self) -> Option<Phase> {
        self.tiles.last().map(|tile| tile.phase)
    }

    /// The tiles with both ends, in time order.
    pub fn stretches(&self) -> impl DoubleEndedIterator<Item = Stretch> + '_ {
        self.tiles.iter().enumerate().map(|(index, tile)| Stretch {
            phase: tile.phase,
            start: if index == 0 { self.start } else { self.tiles[index - 1].end },
            end: tile.end,
            cause: tile.cause,
        })
    }

    /// The tiles that have time in `[from, to)`, clipped to it, in time order. Found by bisection, since a timeline may be long.
    pub fn within(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = Stretch> + '_ {
        let first = self.tiles.partition_point(|tile| tile.end <= from);
        let start = if first == 0 { self.start } else { self.tiles[first - 1].end };
        self.tiles[first..]
            .iter()
            .scan(start, |start, tile| {
                let part = Stretch { phase: tile.phase, start: *start, end: tile.end, cause: tile.cause };
                *start = tile.end;
                Some(part)
            })
            .take_while(move |part| part.start < to)
            .map(move |part| Stretch { start: part.start.max(from), end: part.end.min(to), ..part })
            .filter(|part| part.start < part.end)
    }

    fn extend(&mut self, tile: Tile) {
        if tile.end <= self.end() {
            return;
        }
        let full = self.tiles.len() >= Self::MAX_TILES;
        match self.tiles.last_mut() {
            Some(last) if full || (last.phase == tile.phase && last.cause == tile.cause) => last.end = tile.end,
            _ => self.tiles.push(tile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_sum_to_the_duration_whatever_is_pushed() {
        let mut timeline = Timeline::new(10);
        timeline.push(Phase::Connect, 15);
        timeline.push(Phase::Send, 12);
        timeline.push(Phase::Wait, 40);
        timeline.push(Phase::Wait, 50);
        assert_eq!(timeline.total(Phase::Connect), Some(5));
        assert_eq!(timeline.total(Phase::Send), None);
        assert_eq!(timeline.total(Phase::Wait), Some(35));
        assert_eq!(timeline.duration(), 40);
    }

    #[test]
    fn a_stall_replaces_only_its_own_time() {
        let mut timeline = Timeline::new(0);
        timeline.push(Phase::Wait, 100);
        timeline.push(Phase::Stream, 200);
        let stalled = timeline.with_stall(StallCause::Sleep, 80, 120);
        assert_eq!(stalled.total(Phase::Wait), Some(80));
        assert_eq!(stalled.total(Phase::Stall), Some(40));
        assert_eq!(stalled.total(Phase::Stream), Some(80));
        assert_eq!(stalled.duration(), 200);
    }

    #[test]
    fn a_window_is_cut_out_of_the_tiles() {
        let mut timeline = Timeline::new(10);
        timeline.push(Phase::Connect, 20);
        timeline.push(Phase::Send, 30);
        timeline.push(Phase::Wait, 60);
        let parts = |from, to| timeline.within(from, to).map(|part| (part.phase, part.start, part.end)).collect::<Vec<_>>();
        assert_eq!(parts(25, 40), [(Phase::Send, 25, 30), (Phase::Wait, 30, 40)]);
        assert_eq!(parts(0, 12), [(Phase::Connect, 10, 12)]);
        assert_eq!(parts(60, 90), []);
        assert_eq!(parts(40, 40), []);
    }

    #[test]
    fn a_full_timeline_grows_its_last_tile() {
        let mut timeline = Timeline::new(0);
        for end in 1..=2 * Timeline::MAX_TILES as u64 {
            timeline.push(if end % 2 == 0 { Phase::Stream } else { Phase::Wait }, end);
        }
        assert_eq!(timeline.stretches().count(), Timeline::MAX_TILES);
        assert_eq!(timeline.duration(), 2 * Timeline::MAX_TILES as u64);
    }
}
