//! TLS that is linked into the program, of which only record heads are seen.

use super::*;
use crate::model::{FailedBy, Outcome};

fn record(kind: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [&[kind, 3, 3, high, low][..], &vec![0; usize::from(length)]].concat()
}

fn data(length: u16) -> Vec<u8> {
    record(23, length)
}

fn hello() -> Vec<u8> {
    let name = b"api.example.com";
    let mut extension = vec![0, 0, 0, name.len() as u8 + 5, 0, name.len() as u8 + 3, 0, 0, name.len() as u8];
    extension.extend_from_slice(name);
    let mut body = vec![3, 3];
    body.extend_from_slice(&[9; 32]);
    body.extend_from_slice(&[0, 0, 2, 19, 1, 1, 0]);
    body.extend_from_slice(&(extension.len() as u16).to_be_bytes());
    body.extend_from_slice(&extension);
    let length = body.len() as u8;
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

/// A handshake from 5 to 16 ms on a connection that took 5 ms.
fn shaken() -> Script {
    let mut script = Script::new();
    script.connect(1, ("10.1.1.1", 443), 0.0, 5.0);
    script.write(1, 5.0, &hello());
    script.read(1, 15.0, &[22, 3, 3, 0, 1, 2, 23, 3, 3, 0, 1, 0]);
    script.write(1, 16.0, &[record(20, 1), data(53)].concat());
    script
}

#[test]
fn tls_linked_into_the_program_is_timed_by_its_record_heads() {
    let mut script = shaken();
    script.write(1, 17.0, &data(100));
    // Two session tickets, the second after an acknowledgement that the system held back.
    script.read(1, 26.0, &data(200));
    script.read(1, 60.0, &data(200));
    script.read(1, 117.0, &data(60));
    script.read(1, 137.0, &data(60));
    script.close(1, 140.0);
    let hop = script.hop(200.0);
    assert_eq!(phases(&hop), [(Phase::Connect, 5), (Phase::Tls, 11), (Phase::Send, 1), (Phase::Wait, 100), (Phase::Stream, 20)]);
    assert_eq!(hop.dependency.as_deref(), Some("api.example.com"));
    assert!(hop.inferred && call(&hop).opaque && call(&hop).status.is_none());
    assert_eq!((call(&hop).outcome, call(&hop).gap), (Some(Outcome::Ok), Some(20 * MS)));
}

#[test]
fn exchanges_on_one_connection_are_told_apart() {
    let mut script = shaken();
    for start in [100.0, 300.0] {
        script.write(1, start, &data(100));
        script.read(1, start + 50.0, &data(60));
        script.read(1, start + 60.0, &data(600));
        script.read(1, start + 100.0, &data(60));
    }
    // A goodbye is no call.
    script.write(1, 500.0, &data(19));
    script.close(1, 500.1);
    let hops = script.hops(600.0);
    assert_eq!(hops.len(), 2);
    assert_eq!(phases(&hops[1]), [(Phase::Wait, 50), (Phase::Stream, 50)]);
    assert_eq!(call(&hops[1]).gap, Some(40 * MS));
    assert_eq!(hops[1].operation.as_ref(), "tls");
}

#[test]
fn records_of_which_little_was_kept_are_stepped_over() {
    let mut script = shaken();
    let cut = |script: &mut Script, event, at: f64, offset, bytes: &[u8]| {
        let fill = |record: &mut Record| {
            (record.conn, record.rc, record.offset, record.head) = (1, bytes.len() as i64, offset, 1_024);
        };
        script.record(event, at, at, fill, &bytes[..1_024]);
    };
    let (sent, received) = (hello().len() as u64 + 6 + 58, 12);
    cut(&mut script, Event::Write, 100.0, sent, &data(9_000));
    cut(&mut script, Event::Read, 200.0, received, &data(16_000));
    // A record of the observer's own was lost with 3,000 bytes of a record of TLS.
    cut(&mut script, Event::Read, 260.0, received + 16_005 + 3_000, &[vec![0; 2_000], data(30)].concat());
    script.close(1, 261.0);
    let hop = script.hop(300.0);
    assert_eq!(phases(&hop)[3..], [(Phase::Wait, 100), (Phase::Stream, 60)]);
}

#[test]
fn a_client_that_does_not_trust_the_certificate_failed_in_tls() {
    for (alert, error_type) in [
        (vec![21, 3, 3, 0, 2, 2, 48], "certificate_unknown_issuer"),
        (vec![21, 3, 3, 0, 2, 2, 45], "certificate_expired"),
        (vec![21, 3, 3, 0, 2, 2, 46], "certificate"),
        // Encrypted.
        ([record(20, 1), data(19)].concat(), "tls_alert"),
    ] {
        let mut script = Script::new();
        script.connect(1, ("10.1.1.1", 443), 0.0, 5.0);
        script.write(1, 5.0, &hello());
        script.read(1, 15.0, &[22, 3, 3, 0, 1, 2, 23, 3, 3, 0, 1, 0]);
        script.write(1, 16.0, &alert);
        script.close(1, 16.5);
        let hop = script.hop(100.0);
        assert_eq!((call(&hop).outcome, call(&hop).failed_by), (Some(Outcome::Tls), Some(FailedBy::Peer)));
        assert_eq!(call(&hop).error_type.as_deref(), Some(error_type));
        assert_eq!(phases(&hop), [(Phase::Connect, 5), (Phase::Tls, 11)]);
    }
}

#[test]
fn a_peer_that_does_not_speak_tls_says_so_by_its_answer() {
    let mut script = Script::new();
    script.connect(1, ("10.1.1.1", 8443), 0.0, 5.0);
    script.write(1, 5.0, &hello());
    script.read(1, 15.0, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    script.close(1, 16.0);
    let hop = script.hop(100.0);
    assert_eq!((call(&hop).outcome, call(&hop).error_type.as_deref()), (Some(Outcome::Tls), Some("not_tls")));
}

#[test]
fn a_handshake_that_the_caller_leaves_is_its_timeout() {
    let mut script = Script::new();
    script.connect(1, ("10.1.1.1", 443), 0.0, 5.0);
    script.write(1, 5.0, &hello());
    script.close(1, 505.0);
    let hop = script.hop(600.0);
    assert_eq!((call(&hop).outcome, call(&hop).failed_by), (Some(Outcome::Timeout), Some(FailedBy::Caller)));
    assert_eq!(phases(&hop), [(Phase::Connect, 5), (Phase::Tls, 500)]);
}
