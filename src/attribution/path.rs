//! The critical path: what the run was waiting for at each moment, found by walking back from its end.

use super::forest::Forest;
use crate::model::{Nanos, Span, SpanId};

/// A stretch of the critical path that one span accounts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Index of the span in the slice.
    pub span: usize,
    /// Where it starts, on the root's clock.
    pub start: Nanos,
    /// Where it ends.
    pub end: Nanos,
    /// Whose time it is.
    pub charge: Charge,
}

/// Whose time a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// The span's own service.
    Own,
    /// Whoever the span calls: what a call takes beyond its visible server time (wire, queue, accept, proxy) is the callee's.
    Callee,
}

/// One root with its critical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Index of the root span.
    pub root: usize,
    /// Where the root starts.
    pub start: Nanos,
    /// Where it ends, or is cut.
    pub end: Nanos,
    /// Sections from the last to the first: without gap or overlap, from `end` down to `start`.
    pub sections: Vec<Section>,
}

/// Every tree of a set of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decomposition {
    /// The longest root, which is the run, then the others, longest first. Spans whose parent is missing come last unless they were adopted.
    pub trees: Vec<Tree>,
    /// Spans left out because their id was taken.
    pub duplicates: u64,
    /// Parent edges left out because they closed a cycle.
    pub cycles_cut: u64,
    /// Spans whose parent is missing that hang off the run's root, since they lie inside it.
    pub orphans: u64,
}

/// Cuts spans into the sections of their critical paths.
///
/// Open spans reach to `horizon`, or to the latest time seen; roots are cut at `horizon`. The sections of a tree are disjoint and
/// sum to its length on any input. Near-linear in the number of spans, without recursion.
#[must_use]
pub fn decompose(spans: &[Span], horizon: Option<Nanos>) -> Decomposition {
    decomposition(&Forest::build(spans, horizon, &[]), horizon)
}

/// The paths of a forest.
pub(super) fn decomposition(forest: &Forest, horizon: Option<Nanos>) -> Decomposition {
    let mut walk = Walk { forest, frames: Vec::new(), candidates: Vec::new() };
    let trees = forest.roots.iter().map(|&root| {
        let start = forest.start[root as usize];
        let end = horizon.map_or(forest.end[root as usize], |horizon| forest.end[root as usize].min(horizon)).max(start);
        Tree { root: root as usize, start, end, sections: walk.run(root, start, end) }
    });
    Decomposition {
        trees: trees.collect(),
        duplicates: forest.duplicates,
        cycles_cut: forest.cycles_cut,
        orphans: forest.orphans,
    }
}

/// A span whose window is being walked back.
struct Frame {
    span: u32,
    lo: Nanos,
    hi: Nanos,
    /// Everything from here to `hi` is accounted for.
    at: Nanos,
    /// Its children are `candidates[base..end]`; those before `next` are done.
    base: usize,
    next: usize,
    end: usize,
}

/// A child with time left in its parent's window. The order is that in which children are preferred; the id decides what nothing else
/// does, so that the order in which spans arrive never matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    end: Nanos,
    leaves: bool,
    start: Nanos,
    id: std::cmp::Reverse<SpanId>,
    span: u32,
}

struct Walk<'a> {
    forest: &'a Forest,
    frames: Vec<Frame>,
    candidates: Vec<Candidate>,
}

impl Walk<'_> {
    fn run(&mut self, root: u32, lo: Nanos, hi: Nanos) -> Vec<Section> {
        let mut sections = Vec::new();
        self.enter(root, lo, hi, &mut sections);
        while let Some(frame) = self.frames.last_mut() {
            let taken = self.candidates[frame.next..frame.end].iter().enumerate().find_map(|(skipped, child)| {
                // Children in series may overlap a little; others that reach past this point ran in parallel.
                let over = child.end.saturating_sub(frame.at);
                let fits = over == 0 || (child.start < frame.at && u128::from(over) * 100 <= u128::from(frame.hi - frame.lo));
                fits.then(|| (skipped, child.span, child.start.max(frame.lo), child.end.min(frame.at)))
            });
            let charge = charge(self.forest, frame.span);
            let Some((skipped, child, start, end)) = taken else {
                push(&mut sections, frame.span, frame.lo, frame.at, charge);
                self.candidates.truncate(frame.base);
                self.frames.pop();
                continue;
            };
            push(&mut sections, frame.span, end, frame.at, charge);
            frame.next += skipped + 1;
            frame.at = start;
            self.enter(child, start, end, &mut sections);
        }
        sections
    }

    /// Starts on a span's window; a span without children is done at once.
    fn enter(&mut self, span: u32, lo: Nanos, hi: Nanos, sections: &mut Vec<Section>) {
        let forest = self.forest;
        let base = self.candidates.len();
        for &child in forest.children(span) {
            let start = forest.start[child as usize];
            let end = forest.end[child as usize].min(hi);
            if start.max(lo) < end && !forest.is_apart(child) {
                let leaves = forest.leaves_service(child);
                let id = std::cmp::Reverse(forest.id[child as usize]);
                self.candidates.push(Candidate { end, leaves, start, id, span: child });
            }
        }
        let end = self.candidates.len();
        if base == end {
            return push(sections, span, lo, hi, charge(forest, span));
        }
        self.candidates[base..].sort_unstable_by(|a, b| b.cmp(a));
        self.frames.push(Frame { span, lo, hi, at: hi, base, next: base, end });
    }
}

fn charge(forest: &Forest, span: u32) -> Charge {
    if forest.is_client(span) { Charge::Callee } else { Charge::Own }
}

fn push(sections: &mut Vec<Section>, span: u32, start: Nanos, end: Nanos, charge: Charge) {
    if start < end {
        sections.push(Section { span: span as usize, start, end, charge });
    }
}
