use crate::model::{Outcome, Phase};
use crate::observe::assemble::tests::{DOCS, Script, answer, call, get, ms};
use crate::observer::layout::Call;

fn asked() -> Script {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 2.0, 100.0, &get("/search"), &answer(200, "[]"));
    script
}

#[test]
fn a_hop_is_told_once_and_soon_after_its_end() {
    let mut script = asked();
    assert_eq!(script.settled(900.0), []);
    let told = script.settled(1_200.0);
    assert_eq!(told.len(), 1);
    assert_eq!(call(&told[0]).outcome, Some(Outcome::Ok));
    assert_eq!(script.settled(5_000.0), []);
    assert_eq!(script.hops(6_000.0), told);
}

#[test]
fn a_failure_waits_for_another_try_and_is_told_with_it() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 2.0, 100.0, &get("/search"), &answer(503, "busy"));
    assert_eq!(script.settled(3_000.0), []);
    script.exchange(1, 4_000.0, 4_100.0, &get("/search"), &answer(200, "[]"));
    let told = script.settled(6_000.0);
    assert_eq!(told.len(), 1);
    assert_eq!(call(&told[0]).attempts.len(), 2);
    assert_eq!(script.hops(7_000.0), told);
}

#[test]
fn a_failure_that_nobody_tries_again_is_told_after_a_while() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 2.0, 100.0, &get("/search"), &answer(503, "busy"));
    assert_eq!(script.settled(9_000.0), []);
    assert_eq!(script.settled(11_000.0).len(), 1);
    // A try that comes later joins it in the report, and is no second hop to whoever counts.
    script.exchange(1, 12_000.0, 12_100.0, &get("/search"), &answer(200, "[]"));
    assert_eq!(script.settled(60_000.0), []);
    assert_eq!(script.hops(61_000.0).len(), 1);
}

#[test]
fn the_end_of_the_process_settles_everything() {
    let mut script = Script::new();
    script.connect(1, DOCS, 0.0, 1.0);
    script.exchange(1, 2.0, 100.0, &get("/search"), &answer(503, "busy"));
    script.exit(150.0);
    assert_eq!(script.settled(160.0).len(), 1);
    assert_eq!(script.settled(170.0), []);
}

#[test]
fn a_hop_of_a_loop_waits_until_the_loop_does() {
    let mut script = Script::new();
    script.flags |= crate::observer::layout::flag::LOOP;
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 2.0, &get("/search"));
    script.read_late(1, 1_500.0, &answer(200, "[]"), 1_400);
    // The loop is busy: what blocked it is not known yet.
    assert_eq!(script.settled(3_000.0), []);
    script.busy(50.0, 3_100.0, Call::Sleep, 3_000);
    script.idle_since = Some(3_100.0);
    let told = script.settled(3_200.0);
    assert_eq!(told.len(), 1);
    assert!(ms(&told[0], Phase::Stall).is_some_and(|stalled| stalled > 1_000.0), "{told:?}");
    assert_eq!(script.hops(4_000.0), told);
}
