//! Connections: what is recorded of them, in which order, with which bytes.

use crate::support::{Place, read_head, serve};
use hopwatch::observer::layout::{AGE_UNKNOWN, Event, FIRST_HEAD, FIRST_TAIL, LATER_HEAD, LATER_TAIL, SOCKADDR_BYTES, flag};
use std::io::{Read, Write};

const ECONNREFUSED: i32 = 111;

#[test]
fn a_request_is_recorded_from_name_to_close() {
    let place = Place::new();
    let port = serve(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    });
    let script = "import http.client, sys\n\
        c = http.client.HTTPConnection('localhost', int(sys.argv[1]))\n\
        c.request('GET', '/a?token=secret', headers={'Authorization': 'Bearer secret'})\n\
        assert c.getresponse().read() == b'hello'\n\
        c.close()";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    let start = ring.of(Event::ConnectStart).into_iter().find(|entry| entry.payload[2..4] == port.to_le_bytes()).unwrap();
    assert_eq!(start.payload.len(), SOCKADDR_BYTES);
    let conn = start.record.conn;
    let story = ring.story(conn);
    assert_eq!(story[..3], [Event::ConnectStart, Event::ConnectEnd, Event::Write]);
    assert!(story[3..story.len() - 1].iter().all(|&event| event == Event::Read) && story.len() >= 5);
    assert_eq!(story.last(), Some(&Event::Close));

    let resolved = ring.of(Event::ResolveEnd);
    let resolved = resolved.iter().find(|entry| entry.text().ends_with("localhost")).unwrap();
    assert_eq!(resolved.payload.len(), resolved.record.aux as usize * 16 + "localhost".len());
    assert!(resolved.record.aux >= 1 && resolved.record.rc == 0);

    let write = ring.of(Event::Write)[0];
    assert!(write.has(flag::TURN) && !write.has(flag::ACCEPTED));
    assert!(write.text().starts_with("GET /a?************ HTTP/1.1\r\n"), "{}", write.text());
    assert!(write.text().contains("Authorization: ****** ******\r\n"));
    let reads: String = ring.of(Event::Read).iter().map(|entry| entry.text()).collect();
    assert!(reads.starts_with("HTTP/1.1 200 OK\r\nSet-Cookie: ******\r\n") && reads.ends_with("hello"), "{reads}");
    let close = ring.of(Event::Close)[0];
    assert_eq!(close.record.offset, write.record.rc as u64);
    assert_eq!(close.record.aux, ring.of(Event::Read).iter().map(|entry| entry.record.rc as u64).sum::<u64>());
    assert!(!format!("{:?}", ring.entries.iter().map(crate::support::Entry::text).collect::<Vec<_>>()).contains("secret"));
    assert_eq!(ring.lost, 0);
}

#[test]
fn long_transfers_keep_their_ends_and_their_offsets() {
    let place = Place::new();
    let port = serve(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
    });
    let script = "import socket, sys\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        s.send(b'a' * 5000 + b'b' * 5000)\n\
        s.send(b'c' * 3000 + b'd' * 3000)\n\
        s.sendmsg([b'e' * 10, b'f' * 20])\n\
        s.close()";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    let writes = ring.of(Event::Write);
    let sizes: Vec<_> = writes.iter().map(|entry| (entry.record.offset, entry.record.rc)).collect();
    assert_eq!(sizes, [(0, 10_000), (10_000, 6000), (16_000, 30)]);
    assert_eq!(writes[0].text(), "a".repeat(FIRST_HEAD) + &"b".repeat(FIRST_TAIL));
    assert_eq!(writes[1].text(), "c".repeat(LATER_HEAD) + &"d".repeat(LATER_TAIL));
    assert_eq!(writes[2].text(), "e".repeat(10) + &"f".repeat(20));
    assert_eq!(writes.iter().map(|entry| entry.has(flag::TURN)).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn refused_connects_end_with_their_error() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = "import asyncio, socket, sys\n\
        port = int(sys.argv[1])\n\
        for timeout in (None, 5):\n\
        \x20   try: socket.create_connection(('127.0.0.1', port), timeout)\n\
        \x20   except ConnectionRefusedError: pass\n\
        async def late():\n\
        \x20   try: await asyncio.open_connection('127.0.0.1', port)\n\
        \x20   except ConnectionRefusedError: pass\n\
        asyncio.run(late())";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    let ends: Vec<_> = ring.of(Event::ConnectEnd).iter().map(|entry| entry.record.errno).collect();
    assert_eq!(ends, [ECONNREFUSED; 3]);
    for conn in 1..=3 {
        assert_eq!(ring.story(conn), [Event::ConnectStart, Event::ConnectEnd, Event::Close]);
    }
    assert!(ring.of(Event::Close).iter().all(|entry| !entry.has(flag::CONNECTING)));
}

#[test]
fn a_connect_that_is_given_up_shows_at_close() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // A queue of one, filled: further connects get no answer.
    // SAFETY: shortens the queue of a listening socket.
    let shortened = unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    assert_eq!(shortened, 0);
    let address = listener.local_addr().unwrap();
    let _full = std::net::TcpStream::connect(address).unwrap();
    let script = "import asyncio, socket, sys\n\
        port = int(sys.argv[1])\n\
        async def given_up():\n\
        \x20   try: await asyncio.wait_for(asyncio.open_connection('127.0.0.1', port), 0.2)\n\
        \x20   except asyncio.TimeoutError: pass\n\
        asyncio.run(given_up())\n\
        try: socket.create_connection(('127.0.0.1', port), 0.2)\n\
        except socket.timeout: pass";
    if place.python(script, &[&address.port().to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    for conn in 1..=2 {
        let mut story = ring.story(conn);
        // The wait of the one that blocks.
        story.retain(|&event| event != Event::Block);
        assert_eq!(story, [Event::ConnectStart, Event::Close]);
    }
    assert!(ring.of(Event::Close).iter().all(|entry| entry.has(flag::CONNECTING)));
}

#[test]
fn a_connect_whose_success_nobody_looked_at_ends_at_close() {
    let place = Place::new();
    let port = serve(|_| {});
    let script = "import socket, sys, time\n\
        s = socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1', int(sys.argv[1]))); time.sleep(0.1); s.close()";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    assert_eq!(ring.story(1), [Event::ConnectStart, Event::ConnectEnd, Event::Close]);
    assert_eq!(ring.of(Event::ConnectEnd)[0].record.errno, 0);
    assert!(!ring.of(Event::Close)[0].has(flag::CONNECTING));
}

#[test]
fn what_a_server_accepts_is_marked() {
    let place = Place::new();
    let script = "import socket, threading\n\
        l = socket.create_server(('127.0.0.1', 0))\n\
        def client():\n\
        \x20   c = socket.create_connection(l.getsockname()); c.sendall(b'ping'); c.recv(9); c.close()\n\
        t = threading.Thread(target=client); t.start()\n\
        s, _ = l.accept(); assert s.recv(9) == b'ping'; s.sendall(b'pong'); t.join(); assert s.recv(9) == b''; s.close()";
    if place.python(script, &[]).is_none() {
        return;
    }
    let ring = place.ring();
    let accept = ring.of(Event::Accept)[0];
    assert_eq!(accept.payload.len(), 2 * SOCKADDR_BYTES);
    let story: Vec<_> = ring.entries.iter().filter(|entry| entry.record.conn == accept.record.conn).collect();
    assert!(story.iter().all(|entry| entry.has(flag::ACCEPTED)));
    assert_eq!(
        story.iter().map(|entry| (entry.event, entry.text())).collect::<Vec<_>>()[1..3],
        [(Event::Read, "ping".to_owned()), (Event::Write, "pong".to_owned())]
    );
    // The peer's close is a read of nothing.
    assert!(story.iter().any(|entry| entry.event == Event::Read && entry.record.rc == 0 && entry.record.errno == 0));
}

#[test]
fn the_kernel_is_asked_when_unread_bytes_came() {
    let place = Place::new();
    let port = serve(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"late").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let script = "import socket, sys, time\n\
        s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
        s.sendall(b'\\r\\n\\r\\n'); time.sleep(0.5); s.recv(9)";
    if place.python(script, &[&port.to_string()]).is_none() {
        return;
    }
    let ring = place.ring();
    let read = ring.of(Event::Read)[0];
    assert!(read.record.age_ms >= 300 && read.record.age_ms != AGE_UNKNOWN, "{}", read.record.age_ms);
}
