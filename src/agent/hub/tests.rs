use super::*;
use crate::model::{Call, FailedBy, Kind, Origin, Outcome, Phase, Role, SpanId, Timeline};
use proptest::prelude::*;

pub(in crate::agent) const MS: Nanos = 1_000_000;
/// When everything here begins.
pub(in crate::agent) const T0: Nanos = 1_700_000_000_000 * MS;

/// A call that takes 100 ms, as yet open.
pub(in crate::agent) fn open(id: u64, dependency: &str) -> Span {
    let mut timeline = Timeline::new(T0);
    timeline.push(Phase::Wait, T0 + 100 * MS);
    Span {
        role: Role::Client,
        kind: Some(Kind::Retrieval),
        dependency: Some(dependency.into()),
        call: Some(Box::new(Call::new(Origin::Gateway, timeline))),
        ..Span::new(id, None, "shop".into(), "GET /search".into(), T0, None)
    }
}

/// The same, ended.
pub(in crate::agent) fn ended(id: u64, dependency: &str, outcome: Outcome) -> Span {
    let mut span = open(id, dependency);
    let failed_by = (outcome != Outcome::Ok).then_some(FailedBy::Peer);
    span.call = span.call.map(|call| Box::new(call.ended(outcome, failed_by, None)));
    span.end = Some(T0 + 100 * MS);
    span
}

/// A run of these calls, which ended.
pub(in crate::agent) fn run(name: &str, calls: &[Span]) -> Run {
    let end = T0 + 200 * MS;
    let root = Span { role: Role::Server, ..Span::new(1_000_000, None, name.into(), name.into(), T0, Some(end)) };
    let inside = |span: &Span| Span { parent: Some(root.id), ..span.clone() };
    let spans = std::iter::once(root.clone()).chain(calls.iter().map(inside)).collect();
    Run { name: name.into(), start: T0, end: Some(end), seen_until: end, spans, ..Run::default() }
}

fn losses(recorded: u64, open: u64) -> Losses {
    Losses { recorded, open, ..Losses::default() }.balanced()
}

/// A hub, and what its own source is going to tell.
struct Subject {
    hub: Hub,
    own: Arc<Mutex<Live>>,
}

fn handed(id: &str, before: u64, ended: Vec<Span>, losses: Losses) -> Handed {
    let (name, started) = (id.into(), T0);
    Handed { name, started, deadline: None, before, ended, open: Vec::new(), losses, whole: None, exported: false }
}

impl Subject {
    fn new() -> Self {
        Self::with(SILENCE, true)
    }

    fn with(silence: Duration, loose: bool) -> Self {
        let own: Arc<Mutex<Live>> = Arc::default();
        let (told, taken) = (Arc::clone(&own), Arc::clone(&own));
        let hub = Hub::new(HubOptions {
            anchor: Anchor::new(0),
            source: "agent",
            take: Some(Box::new(move || std::mem::take(&mut taken.lock().unwrap().ended))),
            ask: Box::new(move || {
                let mut live = told.lock().unwrap();
                Live { ended: std::mem::take(&mut live.ended), ..live.clone() }
            }),
            loose,
            connections: None,
            exporter: None,
            keep_runs: 10,
            keep_for: Duration::from_secs(3600),
            silence,
        });
        Self { hub: hub.unwrap(), own }
    }

    fn told(&self, live: Live) {
        *self.own.lock().unwrap() = live;
    }

    /// A word of a run.
    fn word(&self, id: &str, before: u64, told: &[Span], losses: Losses) -> Result<(), Unheard> {
        let (open, ended): (Vec<_>, Vec<_>) = told.iter().cloned().partition(Span::is_open);
        self.hub.hand_over(id, Handed { open, whole: None, ..handed(id, before, ended, losses) })
    }

    /// Its last one.
    fn end(&self, id: &str, before: u64, told: &[Span], run: Run, losses: Losses) -> Result<(), Unheard> {
        self.hub.hand_over(id, Handed { whole: Some(run), ..handed(id, before, told.to_vec(), losses) })
    }

    /// The sum of a metric over its series.
    fn metric(&self, name: &str) -> f64 {
        let text = self.hub.metrics();
        let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        text.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// What was counted as `(started, recorded, open, dropped)`, and that it adds up.
    #[track_caller]
    fn counts(&self) -> [u64; 4] {
        let Losses { started, recorded, open, dropped, .. } = self.hub.losses();
        let dropped = dropped.values().sum();
        assert_eq!(started, recorded + open + dropped);
        [started, recorded, open, dropped]
    }

    fn calls(&self) -> u64 {
        self.hub.report(None).dependencies.iter().map(|dependency| dependency.calls).sum()
    }
}

#[test]
fn hops_that_were_told_before_their_run_ended_are_counted_once() {
    let subject = Subject::new();
    let (one, two) = (ended(1, "docs", Outcome::Ok), ended(2, "docs", Outcome::ServerError));
    subject.word("agent.py", 0, &[one.clone(), two.clone(), open(3, "model")], losses(2, 1)).unwrap();
    assert_eq!((subject.calls(), subject.counts()), (2, [3, 2, 1, 0]));
    assert_eq!(subject.metric("hopwatch_hop_in_flight"), 1.0);
    let open = subject.hub.open();
    assert_eq!((open.hops.len(), open.hops[0].run.as_deref()), (1, Some("agent.py")));

    let three = ended(3, "model", Outcome::Ok);
    let run = run("agent.py", &[one, two, three.clone()]);
    subject.end("agent.py", 2, &[three], run, losses(3, 0)).unwrap();
    assert_eq!((subject.calls(), subject.counts()), (3, [3, 3, 0, 0]));
    assert_eq!(subject.metric("hopwatch_hop_calls_total"), 3.0);
    assert_eq!(subject.metric("hopwatch_hop_duration_seconds_count"), 3.0);
    assert_eq!(subject.metric("hopwatch_hop_in_flight"), 0.0);
    assert_eq!(subject.metric("hopwatch_runs_total"), 1.0);
    let report = subject.hub.report(None);
    assert_eq!((report.runs.len(), report.runs[0].hops.len()), (1, 3));
}

#[test]
fn what_is_told_again_since_the_answer_was_lost_is_counted_once() {
    let subject = Subject::new();
    let calls: Vec<Span> = (1..=5).map(|id| ended(id, "docs", Outcome::Ok)).collect();
    subject.word("run", 0, &calls[..2], losses(2, 0)).unwrap();
    subject.word("run", 0, &calls[..2], losses(2, 0)).unwrap();
    assert_eq!(subject.calls(), 2);
    subject.word("run", 0, &calls[..4], losses(4, 0)).unwrap();
    assert_eq!(subject.calls(), 4);
    subject.word("run", 4, &[], losses(4, 0)).unwrap();
    subject.end("run", 2, &calls[2..], run("run", &calls), losses(5, 0)).unwrap();
    assert_eq!((subject.calls(), subject.counts()), (5, [5, 5, 0, 0]));
}

#[test]
fn a_run_ends_once() {
    let subject = Subject::new();
    let call = ended(1, "docs", Outcome::Ok);
    let end = || subject.end("run", 0, std::slice::from_ref(&call), run("run", std::slice::from_ref(&call)), losses(1, 0));
    assert_eq!((end(), end()), (Ok(()), Err(Unheard::Over)));
    assert_eq!(subject.word("run", 1, &[ended(2, "docs", Outcome::Ok)], losses(2, 0)), Err(Unheard::Over));
    assert_eq!((subject.calls(), subject.counts(), subject.hub.report(None).runs.len()), (1, [1, 1, 0, 0], 1));
}

#[test]
fn what_was_open_when_its_run_ended_is_recorded_with_it() {
    let subject = Subject::new();
    let hung = open(1, "docs");
    subject.word("run", 0, std::slice::from_ref(&hung), losses(0, 1)).unwrap();
    subject.end("run", 0, &[], run("run", &[hung]), losses(0, 1)).unwrap();
    assert_eq!(subject.counts(), [1, 1, 0, 0]);
    assert!(subject.hub.open().hops.is_empty());
    assert!(subject.hub.report(None).runs[0].hops[0].open);
}

#[test]
fn a_run_that_tells_nothing_any_more_is_gone_with_what_it_had_open_until_it_tells_again() {
    let subject = Subject::with(Duration::ZERO, true);
    let one = ended(1, "docs", Outcome::Ok);
    subject.word("agent.py", 0, &[one.clone(), open(2, "docs"), open(3, "docs")], losses(1, 2)).unwrap();
    assert_eq!(subject.metric("hopwatch_hops_dropped_total"), 2.0);
    assert_eq!((subject.calls(), subject.counts()), (1, [3, 1, 0, 2]));
    assert_eq!(subject.hub.losses().dropped.get("run_gone"), Some(&2));
    assert!(subject.hub.open().hops.is_empty());
    let notes = subject.hub.report(None).notes;
    assert!(notes.len() == 1 && notes[0].starts_with("agent.py told nothing any more"), "{notes:?}");

    // It was stopped (Ctrl-Z), and goes on.
    let two = ended(2, "docs", Outcome::Ok);
    subject.word("agent.py", 1, &[two.clone(), open(3, "docs")], losses(2, 1)).unwrap();
    assert_eq!((subject.hub.losses().dropped.get("run_gone"), subject.counts()), (None, [3, 2, 1, 0]));
    let three = ended(3, "docs", Outcome::Ok);
    let run = run("agent.py", &[one, two, three.clone()]);
    subject.end("agent.py", 2, &[three], run, losses(3, 0)).unwrap();
    assert_eq!((subject.calls(), subject.counts(), subject.hub.report(None).runs.len()), (3, [3, 3, 0, 0], 1));
    assert!(subject.hub.report(None).notes.is_empty());
}

#[test]
fn more_runs_than_there_is_room_for_are_refused_and_counts_outlive_their_runs() {
    let subject = Subject::new();
    let word = |id: usize| subject.word(&format!("run-{id}"), 0, &[], losses(1, 1));
    assert!((0..10_000).all(|id| word(id).is_ok()));
    assert_eq!((word(10_000), word(9_999)), (Err(Unheard::Full), Ok(())));
    for id in 0..5_000 {
        subject.end(&format!("run-{id}"), 0, &[], run("run", &[]), losses(2, 0)).unwrap();
    }
    assert_eq!(word(10_000), Ok(()));
    assert_eq!(subject.counts(), [2 * 10_001, 2 * 5_000 + 5_001, 5_001, 0]);
}

#[test]
fn calls_of_its_own_source_are_counted_and_a_failure_is_judged_as_a_run() {
    let subject = Subject::new();
    let calls = vec![ended(1, "docs", Outcome::Ok), ended(2, "docs", Outcome::Reset)];
    subject.told(Live { ended: calls, open: vec![open(3, "docs")], losses: losses(2, 1), now: T0 });
    let report = subject.hub.report(None);
    assert_eq!(report.runs.len(), 1, "{report:?}");
    assert_eq!(report.runs[0].verdict.as_ref().unwrap().dependency.as_deref(), Some("docs"));
    assert_eq!((subject.calls(), subject.counts()), (2, [3, 2, 1, 0]));
    assert_eq!(subject.metric("hopwatch_verdicts_total"), 1.0);
    assert_eq!(subject.metric("hopwatch_runs_total"), 0.0, "it was no run");
    assert_eq!(subject.hub.open().hops[0].run, None);
}

#[test]
fn calls_of_a_run_that_will_be_told_are_no_runs_of_their_own() {
    let subject = Subject::with(SILENCE, false);
    subject.hub.keep_fresh();
    subject.told(Live {
        ended: vec![ended(1, "docs", Outcome::Reset)],
        open: vec![open(2, "docs")],
        losses: losses(1, 1),
        now: T0,
    });
    assert!(subject.hub.report(None).runs.is_empty());
    assert_eq!((subject.calls(), subject.metric("hopwatch_verdicts_total")), (1, 0.0));
    let (fresh, open) = subject.hub.take_fresh();
    assert_eq!((fresh[0].id, open[0].id), (SpanId(1), SpanId(2)));
    assert!(subject.hub.take_fresh().0.is_empty());
}

#[test]
fn what_went_through_the_gateway_is_counted_by_the_record_below_alone() {
    let subject = Subject::new();
    let relayed = |mut span: Span| {
        span.call.as_mut().unwrap().relayed = true;
        span
    };
    let told = [relayed(ended(1, "docs", Outcome::Ok)), ended(2, "docs", Outcome::Ok), relayed(open(3, "docs")), open(4, "docs")];
    subject.word("run", 0, &told, losses(2, 2)).unwrap();
    assert_eq!((subject.calls(), subject.metric("hopwatch_hop_calls_total")), (1, 1.0));
    assert_eq!(subject.metric("hopwatch_hop_in_flight"), 1.0);
}

#[derive(Clone, Debug)]
enum Step {
    Word { run: usize, ended: usize, again: bool },
    End { run: usize },
    Own { ended: usize, is_batch: bool },
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_usize, 0..4_usize, any::<bool>()).prop_map(|(run, ended, again)| Step::Word { run, ended, again }),
        (0..4_usize).prop_map(|run| Step::End { run }),
        (0..3_usize, any::<bool>()).prop_map(|(ended, is_batch)| Step::Own { ended, is_batch }),
        Just(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_hop_is_counted_once_and_the_counts_hold_at_any_time(
        steps in prop::collection::vec(step(), 0..40),
        silence in prop_oneof![Just(Duration::ZERO), Just(SILENCE)],
    ) {
        let subject = Subject::with(silence, true);
        // Hops that each run told, and whether it is over.
        let mut runs: [(Vec<Span>, bool); 4] = Default::default();
        let (mut next, mut own) = (0, 0);
        for step in steps {
            match step {
                Step::Word { run, ended: count, again } => {
                    let (told, over) = &mut runs[run];
                    let before = told.len();
                    let fresh: Vec<Span> = (0..count).map(|_| { next += 1; ended(next, "docs", Outcome::Ok) }).collect();
                    let losses = losses((before + count) as u64, 1);
                    let id = format!("run-{run}");
                    let word = || subject.word(&id, before as u64, &fresh, losses.clone());
                    prop_assert_eq!(word().is_err(), *over);
                    if again {
                        prop_assert_eq!(word().is_err(), *over);
                    }
                    if !*over {
                        told.extend(fresh);
                    }
                }
                Step::End { run: number } => {
                    let (told, over) = &mut runs[number];
                    let name = format!("run-{number}");
                    let count = told.len() as u64;
                    prop_assert_eq!(subject.end(&name, count, &[], run(&name, told), losses(count, 0)).is_err(), *over);
                    *over = true;
                }
                Step::Own { ended: count, is_batch } => {
                    own += count as u64;
                    let calls = (0..count).map(|_| { next += 1; ended(next, "docs", Outcome::Ok) }).collect();
                    subject.told(Live { ended: calls, open: Vec::new(), losses: losses(own, 0), now: T0 });
                    if is_batch {
                        subject.hub.take();
                    }
                    subject.hub.look();
                }
                Step::Look => subject.hub.look(),
            }
            let [_, recorded, ..] = subject.counts();
            let told: usize = runs.iter().map(|(told, _)| told.len()).sum();
            prop_assert_eq!(recorded, told as u64 + own);
        }
        let all = runs.iter().map(|(told, _)| told.len() as u64).sum::<u64>() + own;
        prop_assert_eq!(subject.calls(), all);
        prop_assert_eq!(subject.metric("hopwatch_hop_calls_total"), all as f64);
        let told = subject.hub.report(None).runs;
        prop_assert_eq!(told.iter().filter(|run| !run.open).count(), runs.iter().filter(|(_, over)| *over).count());
        let ids: std::collections::HashSet<&str> = told.iter().map(|run| &*run.id).collect();
        prop_assert_eq!(ids.len(), told.len());
    }
}
