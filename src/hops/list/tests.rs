use super::*;
use crate::hops::{Judged, MILLI, peer_failed};
use crate::model::naming::Named;
use crate::model::{FailedBy, Kind, Origin, SpanId, Timeline};
use proptest::prelude::*;

/// A call of this caller from `start` on, 10 ms long, in milliseconds.
fn attempt(id: u64, caller: CallerId, path: &str, start: u64, judged: Judged) -> Try {
    let mut timeline = Timeline::new(start * MILLI);
    timeline.push(Phase::Wait, (start + 10) * MILLI);
    let named = Named { kind: Kind::Http, name: "api".into(), explicit: false };
    Try {
        is_loop: true,
        key: Key { method: "GET".into(), path: path.into(), digest: 0, target: 1 },
        ..Try::bare(Origin::Gateway, (caller, "shop".into()), id, named, path.into(), timeline, Some(judged))
    }
}

const fn fine() -> Judged {
    Judged::plain(Outcome::Ok, None)
}

const fn reset() -> Judged {
    peer_failed(Outcome::Reset, None)
}

const fn refused_for_good() -> Judged {
    Judged::plain(Outcome::ClientError, Some(FailedBy::Peer))
}

/// A source without an end, as the gateway tells it: each exchange when it is over.
struct Source {
    hops: Hops,
    now: u64,
    exchanges: u64,
    told: BTreeMap<SpanId, usize>,
}

impl Source {
    fn new() -> Self {
        Self { hops: Hops::endless(), now: 1_000, exchanges: 0, told: BTreeMap::new() }
    }

    fn exchange(&mut self, caller: CallerId, path: &str, judged: Judged) {
        self.exchanges += 1;
        let attempt = attempt(self.exchanges, caller, path, self.now, judged);
        self.hops.begin();
        let candidate = Candidate {
            caller,
            dependency: &attempt.named.name,
            key: &attempt.key,
            retry: None,
            tid: 0,
            is_loop: true,
            start: attempt.timeline.start(),
            is_new: false,
            is_ambiguous: false,
        };
        let joined = self.hops.claim(candidate, &|_, _| true);
        if judged.outcome == Outcome::Ok {
            self.hops.succeeded(caller, &attempt.named.name, &attempt.key, None, attempt.timeline.start());
        }
        self.hops.put(attempt, joined);
        self.now += 20;
        self.holds();
    }

    /// Takes what is over for good.
    fn look(&mut self) {
        let now = self.now * MILLI;
        for hop in self.hops.settled(&|hop, awaited| awaited && hop.may_change(now, true)) {
            *self.told.entry(hop.span.id).or_default() += hop.attempts();
        }
        self.holds();
    }

    #[track_caller]
    fn holds(&self) {
        let Losses { started, recorded, open, dropped, .. } = self.hops.losses((0, 0), BTreeMap::new());
        assert_eq!(started, recorded + open + dropped.values().sum::<u64>());
    }

    /// Hops that are remembered, awaited or not yet taken.
    fn held(&self) -> usize {
        self.hops.list.len() + self.hops.over.len() + self.hops.waiting.values().map(VecDeque::len).sum::<usize>()
    }
}

#[test]
fn without_an_end_only_what_may_change_is_remembered() {
    let mut source = Source::new();
    for round in 0..20_000 {
        let judged = match round % 7 {
            0 => reset(),
            1 => refused_for_good(),
            _ => fine(),
        };
        source.exchange(round % 50, ["/a", "/b", "/c"][round % 3], judged);
        if round % 5 == 0 {
            source.look();
        }
        // A failure waits 10 s for another try: 500 exchanges here, one of seven of which fails.
        assert!(source.held() <= 2 * 500, "{} held after {round} rounds", source.held());
    }
    source.now += 11_000;
    source.look();
    assert_eq!(source.held(), 0);
    assert!(source.hops.waiting.is_empty());
    assert_eq!(source.told.values().sum::<usize>(), 20_000, "each try is told, once");
}

#[test]
fn what_nobody_takes_is_dropped_and_counted_where_there_is_no_more_room() {
    let mut source = Source::new();
    source.hops.limit(50);
    (0..60).for_each(|_| source.exchange(1, "/a", fine()));
    (0..60).for_each(|caller| source.exchange(100 + caller, "/a", reset()));
    let losses = source.hops.losses((0, 0), BTreeMap::new());
    assert_eq!((losses.recorded, losses.dropped.get("hops_full")), (100, Some(&20)));
    source.now += 11_000;
    source.look();
    assert_eq!((source.told.len(), source.held()), (100, 0));
    source.exchange(1, "/a", fine());
    source.look();
    assert_eq!(source.told.len(), 101, "there is room again");
}

#[test]
fn tries_of_one_call_are_told_together_and_once() {
    let mut source = Source::new();
    source.exchange(1, "/a", reset());
    source.look();
    source.exchange(1, "/a", reset());
    source.look();
    source.exchange(1, "/a", fine());
    source.look();
    source.now += 60_000;
    source.look();
    assert_eq!(source.told, BTreeMap::from([(SpanId(1), 3)]));
    assert_eq!(source.hops.losses((0, 0), BTreeMap::new()).recorded, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Exchange { caller: CallerId, path: &'static str, judged: Judged },
    Look,
    Pause(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let judged = prop::sample::select(vec![fine(), fine(), reset(), refused_for_good()]);
    prop_oneof![
        6 => (0..3_usize, prop::sample::select(vec!["/a", "/b"]), judged)
            .prop_map(|(caller, path, judged)| Step::Exchange { caller, path, judged }),
        2 => Just(Step::Look),
        1 => (0..15_000_u64).prop_map(Step::Pause),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_each_try_is_told_once_and_the_counts_hold(steps in prop::collection::vec(step(), 0..120)) {
        let mut source = Source::new();
        for step in steps {
            match step {
                Step::Exchange { caller, path, judged } => source.exchange(caller, path, judged),
                Step::Look => source.look(),
                Step::Pause(millis) => source.now += millis,
            }
        }
        source.now += 11_000;
        source.look();
        source.look();
        prop_assert_eq!(source.told.values().sum::<usize>(), source.exchanges as usize);
        prop_assert_eq!(source.told.len() as u64, source.hops.losses((0, 0), BTreeMap::new()).recorded);
        prop_assert_eq!(source.held(), 0);
    }
}
