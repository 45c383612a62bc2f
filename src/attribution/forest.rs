//! Spans as index arrays: who belongs to whom, on one clock. Whatever was sent becomes a forest.

use crate::model::{Name, Nanos, Role, Span, SpanId};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::sync::Arc;

/// No span.
pub(super) const NONE: u32 = u32::MAX;

/// The trees of a set of spans, by index into the slice they were built from.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// The span each one belongs to; [`NONE`] for roots and for dropped duplicates.
    pub(super) parent: Vec<u32>,
    /// The id of each span.
    pub(super) id: Vec<SpanId>,
    /// Every span that was kept, parents before children.
    pub(super) order: Vec<u32>,
    /// Where each span starts, on the clock of its root.
    pub(super) start: Vec<Nanos>,
    /// Where it ends; open spans end at the horizon. Never before the start.
    pub(super) end: Vec<Nanos>,
    /// What else is known of each span.
    traits: Vec<Traits>,
    /// The child in another service, where there is exactly one such service.
    callee: Vec<u32>,
    /// How far each span was moved to its root's clock; empty when none was.
    shift: Vec<i128>,
    /// Roots, the run's first, then longest first.
    pub(super) roots: Vec<u32>,
    /// Children of span `i` are `children[first[i]..first[i + 1]]`.
    first: Vec<u32>,
    children: Vec<u32>,
    /// Spans that carried an id already seen.
    pub(super) duplicates: u64,
    /// Parent edges that closed a cycle.
    pub(super) cycles_cut: u64,
    /// Orphans that hang off the run's root.
    pub(super) orphans: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    /// The span stands for a call: its uncovered time is the callee's.
    client: bool,
    /// It, or something below it, calls another service.
    leaves: bool,
    /// The parent does not wait for it.
    apart: bool,
    /// Has children in several other services.
    several: bool,
}

impl Forest {
    /// Builds the forest. `nested` are parents that are known better than the spans say: `(child, parent)`.
    pub(super) fn build(spans: &[Span], horizon: Option<Nanos>, nested: &[(u32, u32)]) -> Self {
        let count = spans.len();
        let id = spans.iter().map(|span| span.id).collect();
        let mut forest = Self { parent: vec![NONE; count], id, ..Self::default() };
        let (kept, orphaned) = forest.link(spans, nested);
        forest.cut_cycles(spans);
        forest.set_times(spans, horizon);
        forest.choose_roots(spans, horizon, &kept, &orphaned);
        forest.list_children();
        forest.arrange(spans);
        forest.mark(spans);
        forest
    }

    /// Children of a span, whether it waits for them or not.
    pub(super) fn children(&self, span: u32) -> &[u32] {
        let at = span as usize;
        &self.children[self.first[at] as usize..self.first[at + 1] as usize]
    }

    /// Whether a span's uncovered time is its callee's.
    pub(super) fn is_client(&self, span: u32) -> bool {
        self.traits[span as usize].client
    }

    /// Whether a span or something below it calls another service.
    pub(super) fn leaves_service(&self, span: u32) -> bool {
        self.traits[span as usize].leaves
    }

    /// Whether a span's parent goes on without it.
    pub(super) fn is_apart(&self, span: u32) -> bool {
        self.traits[span as usize].apart
    }

    /// The service that a client span without a peer name calls, by its child there.
    pub(super) fn callee<'a>(&self, span: u32, spans: &'a [Span]) -> Option<&'a Name> {
        spans.get(self.callee[span as usize] as usize).map(|child| &child.service)
    }

    /// An instant of the root's clock on the span's own clock.
    pub(super) fn to_own_clock(&self, span: u32, at: Nanos) -> Nanos {
        self.shift.get(span as usize).map_or(at, |shift| moved(at, -shift))
    }

    /// Resolves parents; tells which spans are kept, and which name a parent that is not there.
    fn link(&mut self, spans: &[Span], nested: &[(u32, u32)]) -> (Vec<bool>, Vec<bool>) {
        let mut by_id: FxHashMap<SpanId, u32> = FxHashMap::with_capacity_and_hasher(spans.len(), FxBuildHasher);
        let mut kept = vec![true; spans.len()];
        let mut orphaned = vec![false; spans.len()];
        for (index, span) in spans.iter().enumerate() {
            let first = *by_id.entry(span.id).or_insert(index as u32);
            if first != index as u32 {
                kept[index] = false;
                self.duplicates += 1;
            }
        }
        for (index, span) in spans.iter().enumerate() {
            if let Some(parent) = span.parent.filter(|_| kept[index]) {
                match by_id.get(&parent) {
                    Some(&parent) => self.parent[index] = parent,
                    None => orphaned[index] = true,
                }
            }
        }
        for &(child, parent) in nested.iter().filter(|&&(child, parent)| kept[child as usize] && kept[parent as usize]) {
            self.parent[child as usize] = parent;
        }
        (kept, orphaned)
    }

    /// Makes the earliest span of each cycle a root.
    fn cut_cycles(&mut self, spans: &[Span]) {
        let mut walked = vec![NONE; spans.len()];
        for from in 0..spans.len() as u32 {
            let mut at = from;
            while at != NONE && walked[at as usize] == NONE {
                walked[at as usize] = from;
                at = self.parent[at as usize];
            }
            // A walk that meets itself has gone round; one that meets an older walk has not.
            if at == NONE || walked[at as usize] != from {
                continue;
            }
            let (mut earliest, mut next) = (at, self.parent[at as usize]);
            while next != at {
                if spans[next as usize].start < spans[earliest as usize].start {
                    earliest = next;
                }
                next = self.parent[next as usize];
            }
            self.parent[earliest as usize] = NONE;
            self.cycles_cut += 1;
        }
    }

    fn set_times(&mut self, spans: &[Span], horizon: Option<Nanos>) {
        let seen = || spans.iter().map(|span| span.end.unwrap_or(0).max(span.start)).max().unwrap_or(0);
        let limit = horizon.unwrap_or_else(seen);
        self.start = spans.iter().map(|span| span.start).collect();
        self.end = spans.iter().map(|span| span.end_or(limit)).collect();
    }

    /// The longest root is the run; orphans inside it hang off it, all others have trees of their own.
    fn choose_roots(&mut self, spans: &[Span], horizon: Option<Nanos>, kept: &[bool], orphaned: &[bool]) {
        let cut = |at: Nanos| horizon.map_or(at, |horizon| at.min(horizon));
        let length = |span: u32| cut(self.end[span as usize]).saturating_sub(self.start[span as usize]);
        let is_root = |span: &u32| kept[*span as usize] && self.parent[*span as usize] == NONE;
        let mut roots: Vec<u32> = (0..spans.len() as u32).filter(is_root).collect();
        // A true root comes before an orphan that is longer: the orphan's own caller is known to be missing.
        let rank = |span: &u32| (orphaned[*span as usize], std::cmp::Reverse(length(*span)), self.start[*span as usize], *span);
        if roots.len() > 1 {
            roots.sort_unstable_by_key(rank);
        }
        if let Some((&run, others)) = roots.split_first() {
            let (lo, hi) = (self.start[run as usize], self.end[run as usize]);
            let inside = |span: u32| orphaned[span as usize] && self.start[span as usize] >= lo && self.end[span as usize] <= hi;
            let adopted: Vec<u32> = others.iter().copied().filter(|&span| inside(span)).collect();
            for &span in &adopted {
                self.parent[span as usize] = run;
            }
            self.orphans = adopted.len() as u64;
        }
        roots.retain(|&span| self.parent[span as usize] == NONE);
        self.roots = roots;
    }

    fn list_children(&mut self) {
        let count = self.parent.len();
        self.first = vec![0; count + 1];
        for &parent in self.parent.iter().filter(|&&parent| parent != NONE) {
            self.first[parent as usize + 1] += 1;
        }
        for at in 0..count {
            self.first[at + 1] += self.first[at];
        }
        self.children = vec![0; self.first[count] as usize];
        let mut next = self.first.clone();
        for (child, &parent) in self.parent.iter().enumerate() {
            if parent != NONE {
                self.children[next[parent as usize] as usize] = child as u32;
                next[parent as usize] += 1;
            }
        }
    }

    /// Orders parents before children and brings every span to its root's clock on the way.
    fn arrange(&mut self, spans: &[Span]) {
        let mut order = Vec::with_capacity(spans.len());
        order.extend_from_slice(&self.roots);
        let mut at = 0;
        while at < order.len() {
            let parent = order[at];
            at += 1;
            let (from, to) = (self.first[parent as usize] as usize, self.first[parent as usize + 1] as usize);
            order.extend_from_slice(&self.children[from..to]);
            if let [only] = self.children[from..to] {
                self.centre(spans, parent, only);
            }
            if !self.shift.is_empty() {
                for child in from..to {
                    self.follow(parent, self.children[child]);
                }
            }
        }
        self.order = order;
    }

    /// A server span that is not inside the client span that called it has another clock: in the middle is the best guess.
    fn centre(&mut self, spans: &[Span], parent: u32, child: u32) {
        let (client, server) = (&spans[parent as usize], &spans[child as usize]);
        let is_pair = match (client.role, server.role) {
            (Role::Client, Role::Server) => true,
            (Role::Client | Role::Internal, Role::Server | Role::Internal) => !same(&client.service, &server.service),
            _ => false,
        };
        if !is_pair || server.follows_from || client.is_open() || server.is_open() {
            return;
        }
        let times = |span: u32| (self.start[span as usize], self.end[span as usize]);
        let ((client_start, client_end), (start, end)) = (times(parent), times(child));
        let inherited = self.shift.get(parent as usize).copied().unwrap_or(0);
        let (start, end) = (moved(start, inherited), moved(end, inherited));
        let (outer, inner) = (i128::from(client_end - client_start), i128::from(end - start));
        let inside = start >= client_start && end <= client_end;
        if inside || inner == 0 || inner * 100 > outer * 101 {
            return;
        }
        if self.shift.is_empty() {
            self.shift = vec![0; spans.len()];
        }
        // Kept apart from what is inherited, which `follow` adds.
        self.shift[child as usize] = i128::from(client_start) + (outer - inner) / 2 - i128::from(start);
    }

    fn follow(&mut self, parent: u32, child: u32) {
        let shift = self.shift[child as usize] + self.shift[parent as usize];
        self.shift[child as usize] = shift;
        self.start[child as usize] = moved(self.start[child as usize], shift);
        self.end[child as usize] = moved(self.end[child as usize], shift);
    }

    /// Finds the client spans, and those that leave the service, from the leaves upwards.
    fn mark(&mut self, spans: &[Span]) {
        self.traits = vec![Traits::default(); spans.len()];
        self.callee = vec![NONE; spans.len()];
        for &at in self.order.iter().rev() {
            let span = &spans[at as usize];
            // Every child has been seen by now, since children come later in the order.
            let own = &mut self.traits[at as usize];
            let calls = self.callee[at as usize] != NONE && !own.several && span.kind.is_none();
            own.client = span.role == Role::Client || (span.role == Role::Internal && calls);
            own.leaves |= own.client;
            let leaves = own.leaves;
            let parent = self.parent[at as usize];
            let Some(caller) = spans.get(parent as usize) else { continue };
            let apart = span.follows_from || (caller.role == Role::Producer && span.role == Role::Consumer);
            self.traits[at as usize].apart = apart;
            if apart {
                continue;
            }
            let above = &mut self.traits[parent as usize];
            above.leaves |= leaves;
            if !same(&caller.service, &span.service) {
                above.leaves = true;
                let callee = &mut self.callee[parent as usize];
                above.several |= spans.get(*callee as usize).is_some_and(|other| !same(&other.service, &span.service));
                *callee = at;
            }
        }
    }
}

fn same(a: &Name, b: &Name) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn moved(at: Nanos, by: i128) -> Nanos {
    (i128::from(at) + by).clamp(0, i128::from(Nanos::MAX)) as Nanos
}
