//! The limit against a server whose knee is known: so many workers, a queue before them.

use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MS: Nanos = 1_000_000;

/// Clients that call through the gate, and a server of `workers`, each taking about `service`.
struct World {
    adapt: Adapt,
    now: Nanos,
    workers: usize,
    service: Nanos,
    /// Calls beyond which the server refuses.
    refuses_above: usize,
    clients: usize,
    in_flight: usize,
    /// Ends of calls: when, when they began, in flight then, refused.
    ends: BinaryHeap<Reverse<(Nanos, Nanos, usize, bool)>>,
    /// When each worker is free.
    free: Vec<Nanos>,
    seed: u64,
}

impl World {
    fn new(min: usize, max: usize, workers: usize, clients: usize) -> Self {
        Self {
            adapt: Adapt::new(min, max),
            now: 0,
            workers,
            service: 100 * MS,
            refuses_above: usize::MAX,
            clients,
            in_flight: 0,
            ends: BinaryHeap::new(),
            free: vec![0; workers],
            seed: 7,
        }
    }

    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / (1_u64 << 31) as f64
    }

    fn knee(&mut self, workers: usize) {
        self.workers = workers;
        self.free = vec![self.now; workers];
    }

    fn call(&mut self) {
        self.in_flight += 1;
        if self.in_flight > self.refuses_above {
            self.ends.push(Reverse((self.now + MS, self.now, self.in_flight, true)));
            return;
        }
        let service = self.service as f64 * (0.7 + 0.6 * self.random());
        let worker = (0..self.workers).min_by_key(|&worker| self.free[worker]).unwrap();
        let end = self.free[worker].max(self.now) + service as Nanos;
        self.free[worker] = end;
        self.ends.push(Reverse((end, self.now, self.in_flight, false)));
    }

    /// Runs so many calls; the limits over the last half of them, ordered.
    fn run(&mut self, calls: usize) -> Vec<usize> {
        let mut limits = Vec::new();
        for done in 0..calls {
            while self.in_flight < self.adapt.limit().min(self.clients) {
                self.call();
            }
            let Reverse((now, begun, in_flight, overloaded)) = self.ends.pop().unwrap();
            self.now = now;
            self.in_flight -= 1;
            let limit = self.adapt.sample(Sample { begun, ended: now, in_flight, overloaded });
            if done >= calls / 2 {
                limits.push(limit);
            }
        }
        limits.sort_unstable();
        limits
    }

    fn settled(&mut self, calls: usize) -> (usize, usize, usize) {
        let limits = self.run(calls);
        let at = |part: f64| limits[((limits.len() - 1) as f64 * part) as usize];
        (at(0.05), at(0.5), at(0.95))
    }
}

/// Close to the knee: never below nine tenths of it, and what may queue beyond it is a third of it and four calls.
fn assert_near(knee: usize, (low, middle, high): (usize, usize, usize)) {
    assert!(low * 10 >= knee * 9, "knee {knee}: {low}..{middle}..{high}");
    assert!(high <= knee * 4 / 3 + 4, "knee {knee}: {low}..{middle}..{high}");
}

#[test]
fn it_settles_near_the_knee() {
    for knee in [1, 2, 4, 8, 16, 32, 64, 128] {
        let mut world = World::new(1, 1_000, knee, 2_000);
        assert_near(knee, world.settled(40_000));
    }
}

#[test]
fn it_follows_a_knee_that_moves() {
    let mut world = World::new(1, 1_000, 40, 2_000);
    assert_near(40, world.settled(20_000));
    for knee in [10, 80, 25] {
        world.knee(knee);
        assert_near(knee, world.settled(20_000));
    }
}

#[test]
fn a_server_that_gets_slower_for_good_keeps_its_knee() {
    let mut world = World::new(1, 1_000, 40, 2_000);
    assert_near(40, world.settled(20_000));
    world.service = 300 * MS;
    assert_near(40, world.settled(60_000));
    world.service = 50 * MS;
    assert_near(40, world.settled(60_000));
}

#[test]
fn a_load_below_the_limit_moves_it_no_further() {
    let mut world = World::new(2, 1_000, 40, 5);
    let (low, _, high) = world.settled(20_000);
    assert!(low >= 5, "five clients find room: {low}");
    assert!(high <= 10, "nothing is learnt beyond what was tried: {high}");
}

#[test]
fn refusals_keep_it_below_what_the_server_takes() {
    let mut world = World::new(1, 1_000, 100, 2_000);
    world.refuses_above = 20;
    let (low, middle, high) = world.settled(40_000);
    assert!(high <= 40 && (8..=21).contains(&middle), "{low}..{middle}..{high}");
}

#[test]
fn it_stays_between_its_limits() {
    let mut world = World::new(5, 12, 64, 2_000);
    assert_eq!(world.settled(20_000).2, 12);
    world.knee(1);
    let (low, _, high) = world.settled(20_000);
    assert!(low >= 5 && high <= 12, "a knee below the lower limit is not seen: {low}..{high}");
    let mut odd = Adapt::new(0, 0);
    assert_eq!(odd.limit(), 1);
    for at in 0..1_000 {
        odd.sample(Sample { begun: at, ended: at, in_flight: 1, overloaded: at % 7 == 0 });
        assert_eq!(odd.limit(), 1, "no latency at all, and failures");
    }
}

#[test]
fn calls_of_an_earlier_limit_cut_it_once() {
    let mut adapt = Adapt::new(8, 100);
    adapt.limit = 40.0;
    let timeout = |begun| Sample { begun, ended: 1_000, in_flight: 40, overloaded: true };
    assert_eq!(adapt.sample(timeout(500)), 30);
    assert_eq!(adapt.sample(timeout(600)), 30, "it was under way when the limit was cut");
    assert_eq!(adapt.sample(timeout(1_000)), 22);
}
