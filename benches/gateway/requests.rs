//! Small answers: CPU time a request, throughput, and what is added to a call.

use crate::load::{Seen, ask, ask_at};
use crate::sides::Side;
use crate::spread::{differences, percentile, ratios, shown};
use crate::upstream;
use std::time::Duration;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_500);

/// One side's rounds.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Answers a second.
    pub(crate) rates: Vec<f64>,
    /// Microseconds of CPU time an answer.
    pub(crate) cpu: Vec<f64>,
    pub(crate) medians: Vec<f64>,
    pub(crate) tails: Vec<f64>,
}

impl Rounds {
    /// One more round of a side.
    pub(crate) fn add(&mut self, side: &Side, round: impl FnOnce(&Side) -> Seen) {
        let before = side.cpu();
        let mut seen = round(side);
        let cpu = side.cpu() - before;
        self.rates.push(seen.answers as f64 / seen.took.as_secs_f64());
        self.cpu.push(cpu.as_secs_f64() * 1e6 / seen.answers as f64);
        self.medians.push(percentile(&mut seen.times, 0.5));
        self.tails.push(percentile(&mut seen.times, 0.99));
    }
}

/// Rounds of all sides, in turns.
pub(crate) fn in_turns(sides: &[Side], rounds: usize, round: impl Fn(&Side) -> Seen) -> Vec<Rounds> {
    let mut all: Vec<Rounds> = sides.iter().map(|_| Rounds::default()).collect();
    // The first one warms up.
    for nth in 0..=rounds {
        for (side, rounds) in sides.iter().zip(&mut all) {
            let mut one = Rounds::default();
            one.add(side, &round);
            if nth > 0 {
                rounds.rates.append(&mut one.rates);
                rounds.cpu.append(&mut one.cpu);
                rounds.medians.append(&mut one.medians);
                rounds.tails.append(&mut one.tails);
            }
        }
    }
    all
}

/// The sides that speak HTTP; the first is direct, the last hopwatch.
pub(crate) fn of_http(upstream: std::net::SocketAddr) -> [Side; 4] {
    [Side::direct(upstream), Side::nginx(upstream), Side::haproxy(upstream), Side::hopwatch(upstream)]
}

/// Small answers.
pub(crate) fn requests() {
    let upstream = upstream::answers();
    let sides = of_http(upstream.address);
    let mut fastest = 0.0;
    for connections in [1, 32] {
        let all = in_turns(&sides, ROUNDS, |side| ask(side.address, "/", connections, ROUND));
        println!("\nsmall answers, {connections} connection(s), {ROUNDS} rounds of {ROUND:?}");
        print(&sides, &all);
        fastest = crate::spread::quartiles(&all[3].rates).1;
    }
    let rate = fastest / 2.0;
    let all = in_turns(&sides, ROUNDS, |side| ask_at(side.address, "/", rate, 32, ROUND));
    println!("\nsmall answers at {rate:.0} a second, half of hopwatch's maximum, 32 connections");
    for (side, rounds) in sides.iter().zip(&all) {
        println!(
            "  {:<9} CPU {} us each   p50 {} us   p99 {} us   added p50 {} us   added p99 {} us",
            side.name,
            shown(&rounds.cpu, 2),
            shown(&rounds.medians, 0),
            shown(&rounds.tails, 0),
            shown(&differences(&rounds.medians, &all[0].medians), 0),
            shown(&differences(&rounds.tails, &all[0].tails), 0),
        );
    }
    println!("  hopwatch / HAProxy: CPU {}", shown(&ratios(&all[3].cpu, &all[2].cpu), 3));
}

/// What the sides came to, and hopwatch by HAProxy.
pub(crate) fn print(sides: &[Side], all: &[Rounds]) {
    for (side, rounds) in sides.iter().zip(all) {
        println!(
            "  {:<9} {} a second   CPU {} us each   p50 {} us   p99 {} us",
            side.name,
            shown(&rounds.rates, 0),
            shown(&rounds.cpu, 2),
            shown(&rounds.medians, 0),
            shown(&rounds.tails, 0),
        );
    }
    let [_, _, haproxy, hopwatch] = all else { return };
    println!(
        "  hopwatch / HAProxy: CPU {}   throughput {}",
        shown(&ratios(&hopwatch.cpu, &haproxy.cpu), 3),
        shown(&ratios(&hopwatch.rates, &haproxy.rates), 3)
    );
}
