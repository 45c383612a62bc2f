//! The event loop and other waits.

use crate::support::Place;
use hopwatch::observer::layout::{Call, Event};

const MS: u64 = 1_000_000;

#[test]
fn a_sleep_in_the_loop_is_a_busy_span_of_a_sleep() {
    let place = Place::new();
    let script = "import asyncio, time\n\
        async def main():\n\
        \x20   await asyncio.sleep(0.01); time.sleep(0.3); await asyncio.sleep(0.01)\n\
        asyncio.run(main())";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    let busy = ring.of(Event::Busy);
    let busy = busy.iter().max_by_key(|entry| entry.record.dur).unwrap();
    assert!(busy.record.dur >= 290 * MS && busy.record.aux >= 285 * MS);
    assert_eq!(busy.record.rc, Call::Sleep as i64);
    assert!(busy.record.offset < 100 * MS, "{} ns of CPU", busy.record.offset);
    assert!(ring.slots.iter().any(|slot| slot.is_loop));
}

#[test]
fn work_in_the_loop_is_a_busy_span_of_cpu() {
    let place = Place::new();
    let script = "import asyncio, time\n\
        async def main():\n\
        \x20   await asyncio.sleep(0.01)\n\
        \x20   end = time.thread_time() + 0.2\n\
        \x20   while time.thread_time() < end: pass\n\
        asyncio.run(main())";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    let busy = ring.of(Event::Busy);
    let busy = busy.iter().max_by_key(|entry| entry.record.dur).unwrap();
    assert!(busy.record.offset >= 190 * MS && busy.record.aux < 100 * MS, "{:?}", busy.record);
}

#[test]
fn sleeps_in_pool_threads_are_no_busy_spans() {
    let place = Place::new();
    let script = "import asyncio, time\n\
        async def main():\n\
        \x20   loop = asyncio.get_running_loop()\n\
        \x20   await asyncio.gather(*[loop.run_in_executor(None, time.sleep, 0.3) for _ in range(4)])\n\
        asyncio.run(main())";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    assert!(ring.of(Event::Busy).iter().all(|entry| entry.record.rc != Call::Sleep as i64));
    let sleeps = ring.of(Event::Block).into_iter().filter(|entry| entry.record.aux == Call::Sleep as u64);
    assert_eq!(sleeps.filter(|entry| entry.record.dur >= 290 * MS).count(), 4);
}

#[test]
fn waits_are_named() {
    let place = Place::new();
    let script = "import select, socket, subprocess, threading\n\
        threading.Event().wait(0.05)\n\
        subprocess.run(['/bin/sleep', '0.05'])\n\
        a, b = socket.socketpair()\n\
        select.select([a], [], [], 0.05)\n\
        p = select.poll(); p.register(a); p.modify(a, select.POLLIN); p.poll(50)";
    if place.python(script, &[]).is_none() {
        return;
    }
    let rings = place.rings();
    let calls: Vec<_> = rings[0].of(Event::Block).iter().map(|entry| entry.record.aux).collect();
    for call in [Call::Semaphore, Call::Child, Call::Select, Call::Poll] {
        assert!(calls.contains(&(call as u64)), "{call:?} in {calls:?}");
    }
}

#[test]
fn an_exception_is_named_without_its_message() {
    let place = Place::new();
    let Some(python) = crate::support::python() else {
        return;
    };
    let script = "import socket\nraise socket.gaierror('secret')";
    let output = place.command(python).args(["-c", script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let ring = place.ring();
    let names: Vec<_> = ring.of(Event::ErrorType).iter().map(|entry| entry.text()).collect();
    assert_eq!(names, ["socket.gaierror"]);
    assert!(ring.opens > 0 && ring.of(Event::Open).iter().any(|entry| entry.text().contains("socket")));
}
