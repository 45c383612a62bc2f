//! Self time: what a span took while none of its children ran.

use super::forest::Forest;
use crate::model::{Nanos, Span};

/// Each span's duration without the union of its children, which are clipped to it. Spans left out as duplicates have none.
#[must_use]
pub fn self_times(spans: &[Span]) -> Vec<Nanos> {
    let forest = Forest::build(spans, None, &[]);
    let mut times = vec![0; spans.len()];
    let mut inner: Vec<(Nanos, Nanos)> = Vec::new();
    for &at in &forest.order {
        let (lo, hi) = (forest.start[at as usize], forest.end[at as usize]);
        inner.clear();
        inner.extend(
            forest.children(at).iter().map(|&child| (forest.start[child as usize].max(lo), forest.end[child as usize].min(hi))),
        );
        inner.sort_unstable();
        let (mut covered, mut reached) = (0, lo);
        for &(start, end) in &inner {
            let start = start.max(reached);
            if start < end {
                covered += end - start;
                reached = end;
            }
        }
        times[at as usize] = hi - lo - covered;
    }
    times
}
