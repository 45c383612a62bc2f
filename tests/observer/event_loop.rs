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
}

#[test]
fn what_comes_after_a_loop_is_no_busy_span() {
    let place = Place::new();
    let script = "import asyncio, time\n\
        async def short(): await asyncio.sleep(0.01)\n\
        async def blocked(): await asyncio.sleep(0.01); time.sleep(0.2); await asyncio.sleep(0.01)\n\
        asyncio.run(short()); time.sleep(0.3)\n\
        asyncio.run(blocked()); time.sleep(0.3)\n\
        loop = asyncio.new_event_loop(); loop.run_until_complete(short()); time.sleep(0.3); loop.close()\n\
        asyncio.run(short())";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    let sleeps: Vec<_> =
        ring.of(Event::Busy).iter().map(|entry| entry.record).filter(|record| record.rc == Call::Sleep as i64).collect();
    assert_eq!(sleeps.len(), 1, "{sleeps:?}");
    assert!(sleeps[0].aux < 290 * MS, "{sleeps:?}");
    assert!(ring.slots.iter().all(|slot| !slot.is_loop));
}

#[test]
fn a_loop_is_over_however_its_descriptor_was_closed() {
    let place = Place::new();
    // libuv closes by the system call itself (3), so that only what comes after shows it.
    let script = "import ctypes, os, select, time\n\
        libc = ctypes.CDLL(None); close = lambda fd: libc.syscall(3, fd); kept = []\n\
        ways = [lambda e: e.close(), lambda e: os.closerange(e.fileno(), e.fileno() + 1), lambda e: os.dup2(0, e.fileno()),\n\
        \x20   lambda e: close(e.fileno())]\n\
        for end in ways:\n\
        \x20   e = select.epoll(); kept.append(e); e.poll(0); end(e); time.sleep(0.1)\n\
        \x20   e = select.epoll(); e.poll(0); e.close()\n\
        first, second = select.epoll(), select.epoll()\n\
        first.poll(0); close(first.fileno()); time.sleep(0.1); second.poll(0)";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    let busy = ring.of(Event::Busy);
    assert!(busy.is_empty(), "{busy:?}");
}

#[test]
fn a_loop_goes_on_whatever_else_is_closed() {
    let place = Place::new();
    let script = "import os, select, subprocess, time\n\
        first, second = select.epoll(), select.epoll()\n\
        first.poll(0)\n\
        os.close(os.open('/', 0)); subprocess.run(['/bin/true'], check=True)\n\
        pid = os.fork()\n\
        if pid == 0: first.close(); os._exit(0)\n\
        os.waitpid(pid, 0)\n\
        time.sleep(0.2); first.poll(0)\n\
        time.sleep(0.1); second.poll(0)\n\
        os._exit(0)";
    if place.python(script, &[]).is_none() {
        return;
    }
    let rings = place.rings();
    let ring = &rings[0];
    let busy: Vec<_> = ring.of(Event::Busy).iter().map(|entry| (entry.record.rc, entry.record.aux / (50 * MS))).collect();
    assert_eq!(busy.len(), 2, "{busy:?}");
    assert!(busy.iter().all(|&(call, longest)| call == Call::Sleep as i64 && longest >= 2), "{busy:?}");
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
