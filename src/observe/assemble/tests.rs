//! Scripts of records, and what becomes of them.

mod exchange;
mod failure;
mod join;
mod opaque;
mod properties;
mod query;
mod tree;
mod unread;

use super::{Assembled, Assembler, Ending, ProcessId};
use crate::model::clock::Anchor;
use crate::model::naming::Rule;
use crate::model::{Call as HopCall, Kind, Naming, Nanos, Phase, Role, Span};
use crate::observe::ring::{Entry, Lost, Maker, Thread};
use crate::observer::layout::{AGE_UNKNOWN, Call, Event, Record, flag};
use crate::sock_diag::Queue;
use std::net::{IpAddr, Ipv6Addr};

/// One millisecond.
pub(super) const MS: Nanos = 1_000_000;
pub(super) const DOCS: (&str, u16) = ("127.0.0.1", 40001);

/// A process that a test scripts. Times are milliseconds.
pub(super) struct Script {
    assembler: Assembler,
    anchor: Anchor,
    process: ProcessId,
    pub(super) tid: u32,
    pub(super) flags: u16,
    positions: std::collections::HashMap<(ProcessId, u32, bool, bool), u64>,
    pub(super) threads: Vec<Thread>,
    /// Since when every thread waits for events.
    pub(super) idle_since: Option<f64>,
}

impl Script {
    pub(super) fn new() -> Self {
        let (host, port) = Rule::parse_host("127.0.0.1:40001").unwrap();
        let rule = Rule { kind: Some(Kind::Retrieval), name: "docs".into(), host, port };
        let naming = Naming { rules: vec![rule], base_urls: Vec::new() };
        let mut script = Self {
            assembler: Assembler::new(naming),
            anchor: Anchor::at(0, 0),
            process: 0,
            tid: 7,
            flags: 0,
            positions: Default::default(),
            threads: Vec::new(),
            idle_since: None,
        };
        script.process = script.begin(100, 1);
        script
    }

    pub(super) fn begin(&mut self, pid: u32, ppid: u32) -> ProcessId {
        let maker = Maker { pid, ppid, program: "agent".into(), start: 0, forked: false };
        self.assembler.begin(&maker)
    }

    /// What follows is done by this process.
    pub(super) fn act_as(&mut self, process: ProcessId) {
        self.process = process;
    }

    pub(super) fn record(&mut self, event: Event, start: f64, end: f64, fill: impl FnOnce(&mut Record), payload: &[u8]) {
        let (t, end) = ((start * 1e6) as u64, (end * 1e6) as u64);
        let mut record = Record {
            event: event as u16,
            tid: self.tid,
            flags: self.flags,
            t,
            dur: end - t,
            age_ms: AGE_UNKNOWN,
            ..Record::default()
        };
        record.head = payload.len() as u32;
        fill(&mut record);
        let entry = Entry { record, payload: payload.to_vec() };
        self.assembler.record(self.process, &entry, &self.anchor);
        let losses = self.assembler.losses();
        assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>(), "{record:?}");
    }

    pub(super) fn resolve(&mut self, name: &str, addresses: &[&str], start: f64, end: f64) {
        self.record(Event::ResolveStart, start, start, |_| {}, name.as_bytes());
        let mut payload: Vec<u8> = addresses.iter().flat_map(|text| mapped(text)).collect();
        payload.extend_from_slice(name.as_bytes());
        let (rc, count) = (if addresses.is_empty() { -2 } else { 0 }, addresses.len() as u64);
        self.record(Event::ResolveEnd, start, end, |record| (record.rc, record.aux) = (rc, count), &payload);
    }

    pub(super) fn connect_start(&mut self, conn: u32, to: (&str, u16), at: f64) {
        self.record(Event::ConnectStart, at, at, |record| record.conn = conn, &endpoint(to));
    }

    pub(super) fn connect_end(&mut self, conn: u32, errno: i32, start: f64, end: f64) {
        let own = endpoint(("127.0.0.1", 50_000 + conn as u16));
        self.record(Event::ConnectEnd, start, end, |record| (record.conn, record.errno) = (conn, errno), &own);
    }

    pub(super) fn connect(&mut self, conn: u32, to: (&str, u16), start: f64, end: f64) {
        self.connect_start(conn, to, start);
        self.connect_end(conn, 0, start, end);
    }

    fn moved(&mut self, event: Event, conn: u32, start: f64, end: f64, bytes: &[u8], age: Option<u32>) {
        let plain = self.flags & flag::PLAINTEXT != 0;
        let position = self.positions.entry((self.process, conn, plain, event == Event::Write)).or_default();
        let offset = *position;
        *position += bytes.len() as u64;
        let kept = if self.flags & flag::CIPHERTEXT != 0 { &[] } else { bytes };
        let fill = |record: &mut Record| {
            record.conn = conn;
            record.rc = bytes.len() as i64;
            record.offset = offset;
            record.age_ms = age.unwrap_or(AGE_UNKNOWN);
        };
        self.record(event, start, end, fill, kept);
    }

    pub(super) fn write(&mut self, conn: u32, at: f64, bytes: &[u8]) {
        self.moved(Event::Write, conn, at, at, bytes, None);
    }

    pub(super) fn read(&mut self, conn: u32, at: f64, bytes: &[u8]) {
        self.moved(Event::Read, conn, at, at, bytes, None);
    }

    /// A read of bytes that had arrived `age` ms before.
    pub(super) fn read_late(&mut self, conn: u32, at: f64, bytes: &[u8], age: u32) {
        self.moved(Event::Read, conn, at, at, bytes, Some(age));
    }

    pub(super) fn read_failed(&mut self, conn: u32, at: f64, errno: i32) {
        let rc = if errno == 0 { 0 } else { -1 };
        self.record(Event::Read, at, at, |record| (record.conn, record.errno, record.rc) = (conn, errno, rc), &[]);
    }

    pub(super) fn close(&mut self, conn: u32, at: f64) {
        self.record(Event::Close, at, at, |record| record.conn = conn, &[]);
    }

    pub(super) fn busy(&mut self, start: f64, end: f64, call: Call, blocked_ms: u64) {
        let fill = |record: &mut Record| {
            (record.aux, record.rc, record.offset, record.age_ms) = (blocked_ms * MS, call as i64, u64::MAX, 0);
        };
        self.record(Event::Busy, start, end, fill, &[]);
    }

    pub(super) fn block(&mut self, call: Call, start: f64, end: f64) {
        self.record(Event::Block, start, end, |record| record.aux = call as u64, &[]);
    }

    /// A request with an answer on a connection: the request goes at `start`, the answer is there at `end`.
    pub(super) fn exchange(&mut self, conn: u32, start: f64, end: f64, request: &[u8], answer: &[u8]) {
        self.write(conn, start, request);
        self.read(conn, end, answer);
    }

    pub(super) fn exit(&mut self, at: f64) {
        self.ended(at, Ending::Exit);
    }

    pub(super) fn ended(&mut self, at: f64, ending: Ending) {
        self.assembler.end(self.process, (at * 1e6) as u64, ending, Lost::default());
    }

    pub(super) fn open(&mut self, at: f64) -> Vec<Span> {
        let threads = self.threads.clone();
        self.assembler.open((at * 1e6) as u64, &|_| threads.clone())
    }

    pub(super) fn settled(&mut self, at: f64) -> Vec<Span> {
        let idle_since = self.idle_since.map(|since| (since * 1e6) as u64);
        self.assembler.settled((at * 1e6) as u64, &|_, _| idle_since)
    }

    /// At `at`, `bytes` lie in every connection, the last of which came `age` ms ago.
    pub(super) fn settle(&mut self, at: f64, bytes: u32, age: f64) {
        let threads = self.threads.clone();
        let queue = Queue { bytes, age: (age * 1e6) as u64, inode: 1, ended: false };
        self.assembler.settle((at * 1e6) as u64, &|_| threads.clone(), &mut |_, _| Some(queue));
    }

    pub(super) fn finish(self, at: f64) -> Assembled {
        let threads = self.threads;
        let out = self.assembler.finish((at * 1e6) as u64, &|_| threads.clone());
        let losses = &out.losses;
        assert_eq!(losses.started, losses.recorded + losses.open + losses.dropped.values().sum::<u64>());
        let hops: Vec<&Span> = out.spans.iter().filter(|span| span.role == Role::Client).collect();
        assert_eq!(hops.iter().filter(|hop| hop.is_open()).count() as u64, losses.open);
        assert_eq!(hops.iter().filter(|hop| !hop.is_open()).count() as u64, losses.recorded);
        out
    }

    /// The only hop.
    pub(super) fn hop(self, at: f64) -> Span {
        let mut hops = self.hops(at);
        assert_eq!(hops.len(), 1, "{hops:#?}");
        hops.remove(0)
    }

    pub(super) fn hops(self, at: f64) -> Vec<Span> {
        self.finish(at).spans.into_iter().filter(|span| span.role == Role::Client).collect()
    }
}

pub(super) fn mapped(text: &str) -> [u8; 16] {
    match text.parse::<IpAddr>().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address),
    }
}

pub(super) fn endpoint((address, port): (&str, u16)) -> Vec<u8> {
    let family = if address.contains(':') { libc::AF_INET6 } else { libc::AF_INET };
    let mut bytes = (family as u16).to_le_bytes().to_vec();
    bytes.extend_from_slice(&port.to_le_bytes());
    bytes.extend_from_slice(&mapped(address));
    bytes
}

pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:40001\r\n\r\n").into_bytes()
}

pub(super) fn post(path: &str, retry: Option<u32>, body: &str) -> Vec<u8> {
    let retry =
        retry.map_or(String::new(), |retry| format!("x-stainless-retry-count: {retry}\r\nx-stainless-read-timeout: 0.5\r\n"));
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:40001\r\n{retry}content-length: {length}\r\n\r\n{body}").into_bytes()
}

pub(super) fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub(super) fn call(span: &Span) -> &HopCall {
    span.call.as_deref().unwrap()
}

/// Time in a phase in ms.
pub(super) fn ms(span: &Span, phase: Phase) -> Option<f64> {
    call(span).timeline.total(phase).map(crate::model::millis)
}

/// The phases in order, with their lengths in whole ms.
pub(super) fn phases(span: &Span) -> Vec<(Phase, u64)> {
    let line = &call(span).timeline;
    assert_eq!(line.start(), span.start);
    if let Some(end) = span.end {
        assert_eq!(line.end(), end);
    }
    line.stretches().map(|part| (part.phase, (part.end - part.start) / MS)).collect()
}
