//! Inside TLS: plaintext, and which session is on which connection.

use crate::support::{Place, python};
use hopwatch::observer::layout::{Event, flag};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const SERVER: &str = "
import asyncio, ssl, sys
async def answer(r, w):
    try:
        while True:
            path = (await r.readuntil(b'\\r\\n\\r\\n')).split()[1]
            await asyncio.sleep(0.01)
            w.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(path) + path)
    except Exception: w.close()
async def main():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1], sys.argv[2])
    s = await asyncio.start_server(answer, '127.0.0.1', 0, ssl=c)
    print(s.sockets[0].getsockname()[1], flush=True)
    await s.serve_forever()
asyncio.run(main())
";

/// A TLS server, ended with the test.
struct Server {
    child: Child,
    port: String,
    certificate: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server(place: &Place) -> Option<Server> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (place.file("certificate.pem"), place.file("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut child =
        Command::new(python()?).arg("-c").arg(SERVER).args([&certificate, &key]).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
    Some(Server { child, port: port.trim().to_owned(), certificate: certificate.to_string_lossy().into_owned() })
}

#[test]
fn a_blocking_client_is_read_inside_tls() {
    let place = Place::new();
    let Some(server) = server(&place) else { return };
    let script = "import http.client, ssl, sys\n\
        c = http.client.HTTPSConnection('localhost', int(sys.argv[1]), context=ssl.create_default_context(cafile=sys.argv[2]))\n\
        c.request('GET', '/hello', headers={'api-key': 'secret'}); assert c.getresponse().read() == b'/hello'; c.close()";
    place.python(script, &[&server.port, &server.certificate]);
    let ring = place.ring();
    let plain: Vec<_> = ring.entries.iter().filter(|entry| entry.has(flag::PLAINTEXT)).collect();
    let conn = ring.of(Event::ConnectStart)[0].record.conn;
    assert!(plain.iter().all(|entry| entry.record.conn == conn));
    assert!(plain[0].text().starts_with("GET /hello HTTP/1.1\r\n") && plain[0].text().contains("api-key: ******\r\n"));
    assert!(plain[1].text().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(ring.of(Event::TlsName)[0].text(), "localhost");
    let (start, end) = (ring.of(Event::TlsStart)[0], ring.of(Event::TlsEnd)[0]);
    assert_eq!((end.record.rc, end.record.aux, end.record.conn), (1, start.record.aux, conn));
    assert!(start.record.t == end.record.t && end.end() <= plain[0].record.t);
    assert!(!ring.of(Event::TlsContext).is_empty() && !ring.of(Event::TlsAuthorities).is_empty());
    assert_eq!(ring.of(Event::TlsFree)[0].record.aux, start.record.aux);
    // Below TLS there are counts, not bytes.
    let raw: Vec<_> = ring.entries.iter().filter(|entry| entry.has(flag::CIPHERTEXT)).collect();
    assert!(raw.len() > 4 && raw.iter().all(|entry| entry.payload.is_empty() && entry.record.conn == conn));
}

#[test]
fn every_session_of_a_crowded_loop_is_on_its_own_connection() {
    let place = Place::new();
    let Some(server) = server(&place) else { return };
    let script = "import asyncio, ssl, sys\n\
        context = ssl.create_default_context(cafile=sys.argv[2])\n\
        async def one(i):\n\
        \x20   r, w = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]), ssl=context, server_hostname='localhost')\n\
        \x20   for k in range(3):\n\
        \x20       w.write(b'GET /%d/%d HTTP/1.1\\r\\n\\r\\n' % (i, k)); await r.readuntil(b'\\r\\n\\r\\n')\n\
        \x20       assert await r.readexactly(len('/%d/%d' % (i, k))) == b'/%d/%d' % (i, k)\n\
        \x20   own = w.get_extra_info('sockname')[1]; w.close(); return i, own\n\
        async def main():\n\
        \x20   for first in (0, 30):\n\
        \x20       for i, own in await asyncio.gather(*[one(first + i) for i in range(30)]): print(i, own)\n\
        asyncio.run(main())";
    let Some(output) = place.python(script, &[&server.port, &server.certificate]) else {
        return;
    };
    let ring = place.ring();
    let ports: HashMap<u32, u16> = ring
        .of(Event::ConnectEnd)
        .iter()
        .map(|entry| (entry.record.conn, u16::from_le_bytes([entry.payload[2], entry.payload[3]])))
        .collect();
    let expected: HashMap<String, u16> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(index, port)| (index.to_owned(), port.parse().unwrap()))
        .collect();
    let mut requests = 0;
    for entry in ring.entries.iter().filter(|entry| entry.has(flag::PLAINTEXT) && entry.record.rc > 0) {
        let text = entry.text();
        let index = text.split('/').nth(if entry.event == Event::Write { 1 } else { 2 }).unwrap().to_owned();
        assert_eq!(ports.get(&entry.record.conn), expected.get(&index), "{text}");
        requests += usize::from(entry.event == Event::Write);
    }
    assert_eq!((requests, expected.len(), ring.lost), (180, 60, 0));
    assert_eq!(ring.of(Event::TlsBind).len(), 60);
}

#[test]
fn a_handshake_that_fails_ends() {
    let place = Place::new();
    let Some(server) = server(&place) else { return };
    // The certificate is not trusted.
    let script = "import socket, ssl, sys\n\
        try: ssl.create_default_context().wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))), server_hostname='localhost')\n\
        except ssl.SSLCertVerificationError: pass";
    place.python(script, &[&server.port]);
    let ring = place.ring();
    let end = ring.of(Event::TlsEnd)[0];
    assert!(end.record.rc <= 0 && end.record.conn != 0);
}
