//! A waterfall in cells of text.

use super::ink::{Ink, Line};
use crate::export::report::axis::ticks;
use crate::export::report::columns::{left, right, width};
use crate::export::report::human;
use crate::export::report::waterfall::{Row, Stretch, Waterfall};
use crate::model::Phase;

/// Widest name of a row.
const LABEL: usize = 30;
/// Cells of a time, and of what is said behind it where there is room.
const TIME: usize = 10;
const SAID: usize = 16;
/// Narrower than this, nothing is said.
const SAID_FROM: usize = 72;
/// Deepest hop that is set in.
const DEPTH_MAX: usize = 6;

/// How a waterfall stands in so many columns.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Fall<'a> {
    waterfall: &'a Waterfall,
    deadline_ms: Option<f64>,
    label: usize,
    plot: usize,
    said: usize,
    color: bool,
}

impl<'a> Fall<'a> {
    pub(in crate::cli) fn new(waterfall: &'a Waterfall, deadline_ms: Option<f64>, columns: usize, color: bool) -> Self {
        let longest = waterfall.rows.iter().map(|row| indent(row) + width(&row.label)).max().unwrap_or(0);
        let label = longest.min(LABEL).min(columns / 3);
        let said = if columns >= SAID_FROM { SAID } else { 0 };
        let plot = columns.saturating_sub(2 + label + 1 + TIME + said).max(1);
        Self { waterfall, deadline_ms, label, plot, said, color }
    }

    /// Marks on the axis.
    pub(in crate::cli) fn axis(&self) -> Line {
        let mut cells = vec![' '; self.plot];
        for tick in ticks(self.waterfall.end_ms, (self.plot / 10).max(1)) {
            let at = self.cell(tick.at_ms);
            let text: Vec<char> = format!("|{}", tick.label).chars().collect();
            // A label that would run into the next, or out of the picture, is left out.
            if at + text.len() <= self.plot && cells[at..at + text.len()].iter().all(|&cell| cell == ' ') {
                cells[at..at + text.len()].copy_from_slice(&text);
            }
        }
        Line::of(Ink::Plain, &" ".repeat(2 + self.label + 1)).with(Ink::Faint, &cells.into_iter().collect::<String>())
    }

    /// A row; `chosen` is the one that keys act on.
    pub(in crate::cli) fn row(&self, row: &Row, chosen: bool) -> Line {
        let indent = indent(row);
        let label = " ".repeat(indent) + &left(&row.label, self.label.saturating_sub(indent));
        let ink = if row.hop.is_none() { Ink::Strong } else { Ink::Plain };
        let mut line = Line::of(Ink::Strong, if chosen { "> " } else { "  " }).with(ink, &left(&label, self.label));
        line.push(Ink::Plain, " ");
        self.bar(row, &mut line);
        line.push(Ink::Plain, &right(&human(row.duration_ms), TIME));
        if self.said > 0 {
            let (ink, said) = match (row.failed, row.main_phase()) {
                (Some(outcome), _) => (Ink::Bad, format!("x {outcome}")),
                (None, _) if row.open => (Ink::Strong, "goes on".to_owned()),
                (None, phase) => (Ink::Faint, phase.map_or_else(String::new, |phase| phase.to_string())),
            };
            line.push(ink, &left(&format!(" {said}"), self.said));
        }
        line.chosen = chosen;
        line
    }

    fn bar(&self, row: &Row, line: &mut Line) {
        let mut cells = vec![Cell::default(); self.plot];
        for segment in &row.segments {
            self.cover(segment.stretch, |cell, time| cells[cell].phases[segment.phase as usize] += time);
        }
        for &stretch in &row.critical {
            self.cover(stretch, |cell, time| cells[cell].critical += time);
        }
        let first = self.cell(row.start_ms);
        let last = self.last_cell(row.end_ms()).max(first);
        let deadline = self.deadline_ms.map(|deadline| self.cell(deadline));
        for (index, cell) in cells.iter().enumerate() {
            let is_inside = (first..=last).contains(&index);
            match cell.phase().filter(|_| is_inside) {
                Some(phase) => line.push(Ink::Phase(phase), &cell.drawn(phase, self.color).to_string()),
                // What is short is seen too.
                None if is_inside => line.push(Ink::Faint, "-"),
                None if index == last + 1 && row.failed.is_some() => line.push(Ink::Bad, "x"),
                None if index == last + 1 && row.open => line.push(Ink::Strong, ">"),
                None if deadline == Some(index) => line.push(Ink::Faint, "|"),
                None => line.push(Ink::Plain, " "),
            }
        }
    }

    /// Calls `add` with each cell that a stretch lies in, and for how long.
    fn cover(&self, stretch: Stretch, mut add: impl FnMut(usize, f64)) {
        let long = self.waterfall.end_ms / self.plot as f64;
        for cell in self.cell(stretch.start_ms)..=self.cell(stretch.end_ms()) {
            let start = cell as f64 * long;
            let time = stretch.end_ms().min(start + long) - stretch.start_ms.max(start);
            if time > 0.0 {
                add(cell, time);
            }
        }
    }

    /// The cell of a moment.
    fn cell(&self, ms: f64) -> usize {
        (self.at(ms) as usize).min(self.plot - 1)
    }

    /// The last cell of what ends then: on a border it does not reach into the next.
    fn last_cell(&self, ms: f64) -> usize {
        (self.at(ms).ceil() as usize).saturating_sub(1).min(self.plot - 1)
    }

    fn at(&self, ms: f64) -> f64 {
        ms.max(0.0) / self.waterfall.end_ms * self.plot as f64
    }

    /// What the phases that appear look like.
    pub(in crate::cli) fn legend(&self) -> Line {
        let mut line = Line::of(Ink::Plain, "  ");
        for phase in self.waterfall.phases() {
            let sample = if self.color { "█".to_owned() } else { letter(phase).to_string() };
            line.push(Ink::Phase(phase), &sample);
            line.push(Ink::Faint, &format!(" {phase}  "));
        }
        line.with(Ink::Faint, if self.color { "░ off the critical path" } else { "capitals: critical path" })
    }
}

/// What lies in a cell of a bar, in ms.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// By the number of the phase.
    phases: [f64; Phase::ALL.len()],
    critical: f64,
}

impl Cell {
    /// The phase that fills most of it.
    fn phase(&self) -> Option<Phase> {
        let time = |phase: &Phase| self.phases[*phase as usize];
        Phase::ALL.iter().copied().filter(|phase| time(phase) > 0.0).max_by(|a, b| time(a).total_cmp(&time(b)))
    }

    fn drawn(&self, phase: Phase, color: bool) -> char {
        let is_critical = self.critical * 2.0 >= self.phases.iter().sum();
        match (color, is_critical) {
            (true, true) => '█',
            (true, false) => '░',
            (false, true) => letter(phase).to_ascii_uppercase(),
            (false, false) => letter(phase),
        }
    }
}

fn indent(row: &Row) -> usize {
    // Hops stand below their run.
    row.depth.min(DEPTH_MAX) + usize::from(row.hop.is_some())
}

/// A phase where there is no colour: no two have the same.
pub(in crate::cli) const fn letter(phase: Phase) -> char {
    match phase {
        Phase::Gate => 'g',
        Phase::Pool => 'p',
        Phase::Dns => 'd',
        Phase::Connect => 'c',
        Phase::Proxy => 'y',
        Phase::Tls => 't',
        Phase::Send => 's',
        Phase::Wait => 'w',
        Phase::FirstToken => 'f',
        Phase::Stream => 'r',
        Phase::Backoff => 'b',
        Phase::Stall => 'l',
        Phase::Own => 'o',
    }
}
