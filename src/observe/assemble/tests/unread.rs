//! Answers that lie unread while the hop is open.

use super::*;
use crate::model::StallCause;

fn in_call(call: Call, conn: u32, is_loop: bool) -> Vec<Thread> {
    vec![Thread { tid: 7, call: call as u32, since: 2 * MS, conn, is_loop }]
}

/// A request at 1 ms, looked at by `look`, until it is killed at 1000 ms.
fn killed(flags: u16, threads: Vec<Thread>, look: impl FnOnce(&mut Script)) -> Vec<(Phase, u64)> {
    let mut script = Script::new();
    (script.flags, script.threads) = (flags, threads);
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/a"));
    look(&mut script);
    script.ended(1000.0, Ending::Killed);
    let hop = script.hop(1000.0);
    assert!(hop.is_open());
    phases(&hop)
}

const CONNECT: (Phase, u64) = (Phase::Connect, 1);

#[test]
fn an_open_hop_whose_answer_lies_unread_is_the_callers_stall() {
    let sleeping = in_call(Call::Sleep, 0, false);
    let seen = killed(0, sleeping, |script| {
        script.settle(500.0, 43, 400.0);
        // More came meanwhile: the first is what counts.
        script.settle(900.0, 86, 10.0);
        let open = script.open(950.0);
        assert_eq!(phases(&open[0]), [CONNECT, (Phase::Wait, 99), (Phase::Stall, 850)]);
        let cause = call(&open[0]).timeline.stretches().last().unwrap().cause;
        assert_eq!(cause, Some(StallCause::Sleep));
    });
    assert_eq!(seen, [CONNECT, (Phase::Wait, 99), (Phase::Stall, 900)]);
    // In no call at all: it computes, or nobody knows.
    let seen = killed(flag::LOOP, Vec::new(), |script| script.settle(500.0, 43, 400.0));
    assert_eq!(seen, [CONNECT, (Phase::Wait, 99), (Phase::Stall, 900)]);
}

#[test]
fn an_open_hop_without_bytes_is_still_waiting() {
    let seen = killed(0, in_call(Call::Sleep, 0, false), |script| script.settle(500.0, 0, 400.0));
    assert_eq!(seen, [CONNECT, (Phase::Wait, 999)]);
    // What came before the request is no answer to it.
    let seen = killed(0, in_call(Call::Sleep, 0, false), |script| script.settle(500.0, 43, 499.5));
    assert_eq!(seen, [CONNECT, (Phase::Wait, 999)]);
    // The thread is about to read it.
    for waits in [Call::Read, Call::Poll] {
        let seen = killed(0, in_call(waits, 1, false), |script| script.settle(500.0, 43, 400.0));
        assert_eq!(seen, [CONNECT, (Phase::Wait, 999)]);
    }
}

#[test]
fn a_loop_that_waits_is_not_stalled_by_what_it_does_not_read() {
    let seen = killed(flag::LOOP, in_call(Call::Epoll, 0, true), |script| script.settle(500.0, 43, 400.0));
    assert_eq!(seen, [CONNECT, (Phase::Wait, 99), (Phase::Own, 900)]);
}

#[test]
fn session_tickets_are_no_answer() {
    let look = |bytes| move |script: &mut Script| script.settle(500.0, bytes, 400.0);
    let seen = killed(flag::PLAINTEXT, in_call(Call::Sleep, 0, false), look(510));
    assert_eq!(seen.last(), Some(&(Phase::Wait, 999)));
    let seen = killed(flag::PLAINTEXT, in_call(Call::Sleep, 0, false), look(5100));
    assert_eq!(seen.last(), Some(&(Phase::Stall, 900)));
}

#[test]
fn what_is_read_in_the_end_is_told_by_the_read() {
    let mut script = Script::new();
    script.threads = in_call(Call::Sleep, 0, false);
    script.connect(1, DOCS, 0.0, 1.0);
    script.write(1, 1.0, &get("/a"));
    script.settle(500.0, 43, 400.0);
    script.read_late(1, 600.0, &answer(200, "x"), 500);
    script.settle(650.0, 43, 10.0);
    assert_eq!(phases(&script.hop(700.0)), [CONNECT, (Phase::Wait, 99), (Phase::Own, 500)]);
}
