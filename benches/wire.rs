//! What the readers cost that every byte of a tunnel or of a route to a database passes; the bar is gigabytes a second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hopwatch::wire::Direction::{Request, Response};
use hopwatch::wire::{Chunk, postgres, tls};
use std::hint::black_box;

/// As much as a relay moves at once.
const CHUNK: usize = 64 * 1024;

/// A record that carries so many bytes.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]][..], body].concat()
}

/// A connection on which a request is answered.
fn answering_tls() -> tls::Connection {
    let mut connection = tls::Connection::new();
    let client = [&[1, 0, 0, 43, 3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, 0]].concat();
    let server = [&[2, 0, 0, 46, 3, 3][..], &[7; 32], &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat();
    for (direction, bytes) in [
        (Request, record(22, &client)),
        (Response, [record(22, &server), record(23, &[0; 900])].concat()),
        (Request, [record(23, &[0; 53]), record(23, &[0; 100])].concat()),
    ] {
        connection.feed(direction, Chunk::whole(0, &bytes), &mut |_| {});
    }
    assert!(connection.handshake_ended().is_some());
    connection
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// A connection on which a query is answered.
fn answering_postgres() -> postgres::Connection {
    let mut connection = postgres::Connection::new();
    for (direction, bytes) in [
        (Request, b"\0\0\0\x10\0\x03\0\0user\0me\0".to_vec()),
        (Response, [message(b'R', &[0; 4]), message(b'Z', b"I")].concat()),
        (Request, message(b'Q', b"select * from t\0")),
    ] {
        connection.feed(direction, Chunk::whole(0, &bytes), &mut |_| {});
    }
    assert!(connection.is_ready());
    connection
}

/// Messages or records one after the other, up to a chunk's size.
fn chunk_of(one: &[u8]) -> Vec<u8> {
    one.repeat(CHUNK / one.len())
}

fn readers(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls");
    for length in [16_384, 1_024, 64] {
        let bytes = chunk_of(&record(23, &vec![5; length]));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("records_of_{length}"), |b| {
            // Long after the handshake.
            let (mut connection, mut at) = (answering_tls(), 1_000_000_000);
            b.iter(|| {
                at += 1_000;
                connection.feed(Response, Chunk::whole(at, black_box(&bytes)), &mut |fact| {
                    black_box(fact);
                });
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("postgres");
    for length in [8_192, 100] {
        let bytes = chunk_of(&message(b'D', &vec![5; length]));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("rows_of_{length}"), |b| {
            let (mut connection, mut at) = (answering_postgres(), 0);
            b.iter(|| {
                at += 1_000;
                connection.feed(Response, Chunk::whole(at, black_box(&bytes)), &mut |fact| {
                    black_box(fact);
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, readers);
criterion_main!(benches);
