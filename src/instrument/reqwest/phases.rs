//! From the marks of a call to its phases. Pure.

use super::connecting::Marks;
use crate::model::{Nanos, Phase, Timeline};
use tokio::time::Instant;

/// What is known of a call's course.
#[derive(Debug)]
pub(super) struct Course<'a> {
    /// The connects that it started, in order: more than one after a redirect or a retry inside the client.
    pub(super) connects: &'a [Marks],
    /// Another call's connect was waited for until then.
    pub(super) awaited: Option<Instant>,
    /// The connection took the first of a streamed body.
    pub(super) assigned: Option<Instant>,
    /// The connection took the last of it.
    pub(super) sent: Option<Instant>,
    /// The answer's head came.
    pub(super) head: Option<Instant>,
    /// The first content came.
    pub(super) content: Option<Instant>,
    /// The phase that an error tells it failed in.
    pub(super) failed: Option<Phase>,
}

/// The phases from `start` to `now`.
pub(super) fn timeline(course: &Course<'_>, start: Nanos, now: Nanos, at: impl Fn(Instant) -> Nanos) -> Timeline {
    let mut timeline = Timeline::new(start);
    let until = course.head.map_or(now, |head| at(head).min(now));
    for (index, marks) in course.connects.iter().enumerate() {
        if index > 0 {
            // Before a further connect an answer was waited for: a redirect, or a refusal that the client tries again.
            timeline.push(Phase::Wait, at(marks.start).min(until));
        }
        let is_last = index + 1 == course.connects.len();
        // Nothing comes after a last connect that failed: what is left belongs to it.
        let end = marks.end.filter(|&(_, open)| open || !is_last || course.head.is_some());
        connect(&mut timeline, &Marks { end, ..*marks }, course.failed.filter(|_| is_last), until, &at);
    }
    // Without a connect that could be seen, an error alone tells that there was one.
    let set_up = course
        .failed
        .filter(|phase| course.connects.is_empty() && matches!(phase, Phase::Dns | Phase::Connect | Phase::Proxy | Phase::Tls));
    if let Some(phase) = set_up {
        timeline.push(phase, until);
    }
    if let Some(awaited) = course.awaited {
        timeline.push(Phase::Pool, at(awaited).min(until));
    }
    if let Some(assigned) = course.assigned {
        // A connection was there, or was just made: what is left is the wait for a stream slot on it.
        timeline.push(Phase::Pool, at(assigned).min(until));
        timeline.push(Phase::Send, course.sent.map_or(until, |sent| at(sent).min(until)));
    }
    timeline.push(Phase::Wait, until);
    if course.head.is_some() {
        timeline.push(Phase::FirstToken, course.content.map_or(now, |content| at(content).min(now)));
        timeline.push(Phase::Stream, now);
    }
    timeline
}

fn connect(timeline: &mut Timeline, marks: &Marks, failed: Option<Phase>, until: Nanos, at: &impl Fn(Instant) -> Nanos) {
    if let Some(orphaned) = marks.orphaned {
        // It waited for any connection; another one was there first.
        return timeline.push(Phase::Pool, at(orphaned).min(until));
    }
    let end = marks.end.map_or(until, |(end, _)| at(end).min(until));
    let open = marks.end.is_some_and(|(_, open)| open);
    let failed = failed.filter(|_| !open);
    if marks.lookup.is_some() {
        let resolved = marks.resolved.filter(|_| failed != Some(Phase::Dns));
        timeline.push(Phase::Dns, resolved.map_or(end, |resolved| at(resolved).min(end)));
    }
    match marks.handshake {
        Some(handshake) => {
            timeline.push(Phase::Connect, at(handshake).min(end));
            timeline.push(Phase::Tls, end);
        }
        // Where nothing saw the handshake begin, a failed one takes the opening of the connection with it.
        None => timeline.push(failed.filter(|&phase| phase != Phase::Dns).unwrap_or(Phase::Connect), end),
    }
}

/// When the peer last moved, as of `now`.
pub(super) fn last_move(course: &Course<'_>, last: Option<Instant>, start: Nanos, at: impl Fn(Instant) -> Nanos) -> Nanos {
    let connects = course.connects.iter().flat_map(|marks| {
        let open = marks.end.filter(|&(_, open)| open && marks.orphaned.is_none()).map(|(end, _)| end);
        [marks.resolved, marks.handshake, open]
    });
    connects.chain([course.head, last]).flatten().map(at).max().unwrap_or(start).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Case {
        zero: Instant,
        connects: Vec<Marks>,
    }

    impl Case {
        fn new() -> Self {
            Self { zero: Instant::now(), connects: Vec::new() }
        }

        fn at(&self, millis: u64) -> Instant {
            self.zero + Duration::from_millis(millis)
        }

        fn connect(mut self, marks: impl FnOnce(&Self, &mut Marks)) -> Self {
            let mut fresh = Marks { start: self.zero, lookup: None, resolved: None, handshake: None, end: None, orphaned: None };
            marks(&self, &mut fresh);
            self.connects.push(fresh);
            self
        }

        fn course(&self) -> Course<'_> {
            Course {
                connects: &self.connects,
                awaited: None,
                assigned: None,
                sent: None,
                head: None,
                content: None,
                failed: None,
            }
        }

        /// Phases with their ends in milliseconds, up to `now`.
        fn phases(&self, course: &Course<'_>, now: u64) -> Vec<(Phase, u64)> {
            let line = timeline(course, 0, now, |instant| (instant - self.zero).as_millis() as u64);
            assert_eq!(line.duration(), now, "the phases sum to the call");
            line.stretches().map(|part| (part.phase, part.end)).collect()
        }
    }

    #[test]
    fn a_fresh_connection_has_all_phases() {
        let case = Case::new().connect(|case, marks| {
            (marks.lookup, marks.resolved, marks.handshake) = (Some(case.at(0)), Some(case.at(30)), Some(case.at(32)));
            marks.end = Some((case.at(90), true));
        });
        let course = Course { head: Some(case.at(130)), content: Some(case.at(140)), ..case.course() };
        let expected = [
            (Phase::Dns, 30),
            (Phase::Connect, 32),
            (Phase::Tls, 90),
            (Phase::Wait, 130),
            (Phase::FirstToken, 140),
            (Phase::Stream, 200),
        ];
        assert_eq!(case.phases(&course, 200), expected);
        assert_eq!(case.phases(&Course { content: None, ..course }, 135).last(), Some(&(Phase::FirstToken, 135)));
    }

    #[test]
    fn an_open_call_is_in_the_phase_that_its_connect_is_in() {
        let case = |resolved: bool, handshake: bool| {
            Case::new().connect(|case, marks| {
                marks.lookup = Some(case.at(0));
                marks.resolved = resolved.then(|| case.at(10));
                marks.handshake = handshake.then(|| case.at(20));
            })
        };
        for (resolved, handshake, phase) in [(false, false, Phase::Dns), (true, false, Phase::Connect), (true, true, Phase::Tls)]
        {
            let case = case(resolved, handshake);
            assert_eq!(case.phases(&case.course(), 50).last(), Some(&(phase, 50)));
        }
    }

    #[test]
    fn an_orphaned_connect_was_a_wait_for_any_connection() {
        let case = Case::new().connect(|case, marks| {
            (marks.lookup, marks.resolved) = (Some(case.at(0)), Some(case.at(3)));
            (marks.orphaned, marks.end) = (Some(case.at(40)), Some((case.at(500), true)));
        });
        let course = Course { head: Some(case.at(46)), content: Some(case.at(46)), ..case.course() };
        assert_eq!(case.phases(&course, 50), [(Phase::Pool, 40), (Phase::Wait, 46), (Phase::Stream, 50)]);
    }

    #[test]
    fn another_calls_connect_is_waited_for_in_the_pool() {
        let case = Case::new();
        let course = Course { awaited: Some(case.at(69)), head: Some(case.at(80)), ..case.course() };
        assert_eq!(case.phases(&course, 80), [(Phase::Pool, 69), (Phase::Wait, 80)]);
    }

    #[test]
    fn a_redirect_to_another_host_connects_again() {
        let open = |case: &Case, marks: &mut Marks, from: u64, to: u64| {
            (marks.start, marks.end) = (case.at(from), Some((case.at(to), true)));
        };
        let case = Case::new().connect(|case, marks| open(case, marks, 0, 5)).connect(|case, marks| open(case, marks, 20, 30));
        let course = Course { head: Some(case.at(50)), ..case.course() };
        assert_eq!(case.phases(&course, 50), [(Phase::Connect, 5), (Phase::Wait, 20), (Phase::Connect, 30), (Phase::Wait, 50)]);
    }

    #[test]
    fn a_streamed_body_tells_sending_from_waiting() {
        let case = Case::new();
        let course = Course { assigned: Some(case.at(10)), ..case.course() };
        assert_eq!(case.phases(&course, 40), [(Phase::Pool, 10), (Phase::Send, 40)]);
        let course = Course { sent: Some(case.at(30)), ..course };
        assert_eq!(case.phases(&course, 40), [(Phase::Pool, 10), (Phase::Send, 30), (Phase::Wait, 40)]);
    }

    #[test]
    fn an_error_tells_the_phase_where_nothing_else_does() {
        let case = Case::new();
        let course = Course { failed: Some(Phase::Tls), ..case.course() };
        assert_eq!(case.phases(&course, 40), [(Phase::Tls, 40)]);
        // A look-up was seen: what followed it is the handshake that failed.
        let case = Case::new().connect(|case, marks| {
            (marks.lookup, marks.resolved) = (Some(case.at(0)), Some(case.at(10)));
            marks.end = Some((case.at(40), false));
        });
        let course = Course { failed: Some(Phase::Tls), ..case.course() };
        assert_eq!(case.phases(&course, 40), [(Phase::Dns, 10), (Phase::Tls, 40)]);
        let course = Course { failed: Some(Phase::Dns), ..case.course() };
        assert_eq!(case.phases(&course, 40), [(Phase::Dns, 40)]);
    }

    mod any {
        use super::*;
        use proptest::option::of;
        use proptest::prelude::*;

        fn marks() -> impl Strategy<Value = [Option<u64>; 6]> {
            let mark = || of(0..200_u64);
            (mark(), mark(), mark(), mark(), mark(), mark()).prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
        }

        proptest! {
            #[test]
            fn the_phases_sum_to_the_call_whatever_was_seen(
                connects in prop::collection::vec((marks(), any::<bool>()), 0..4),
                call in marks(),
                failed in of(prop::sample::select(Phase::ALL)),
                now in 0..200_u64,
            ) {
                let zero = Instant::now();
                let at = |mark: Option<u64>| mark.map(|mark| zero + Duration::from_nanos(mark));
                let connects: Vec<Marks> = connects
                    .into_iter()
                    .map(|([start, lookup, resolved, handshake, end, orphaned], open)| Marks {
                        start: at(start).unwrap_or(zero),
                        lookup: at(lookup),
                        resolved: at(resolved),
                        handshake: at(handshake),
                        end: at(end).map(|end| (end, open)),
                        orphaned: at(orphaned),
                    })
                    .collect();
                let [awaited, assigned, sent, head, content, _] = call.map(at);
                let course = Course { connects: &connects, awaited, assigned, sent, head, content, failed };
                let nanos = |instant: Instant| (instant - zero).as_nanos() as u64;
                let line = timeline(&course, 0, now, nanos);
                prop_assert_eq!(line.duration(), now);
                prop_assert!(last_move(&course, None, 0, nanos) <= 200);
            }
        }
    }
}
